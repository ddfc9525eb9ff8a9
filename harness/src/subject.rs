//! What is tested: the policy that was asked for, opened and checked against the simulator.

use anyhow::{Context, Result};
#[cfg(feature = "torch")]
use udvla_policies::udvla::{Decoding, sampler::Sampler};
use udvla_policies::{Expert, Idle, Policy, PolicySpec, Random};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::Protocol;

use crate::cli::PolicyName;
#[cfg(feature = "torch")]
use crate::cli::{DecodingName, RunArguments, SamplerName};
use crate::exit::Refused;
use crate::plan::Plan;

/// Opens the policy of a plan.
///
/// # Errors
/// [`Refused`] when its checkpoint or device is missing or unfit.
pub fn open(plan: &Plan) -> Result<Box<dyn Policy>> {
    let idle = idle_action(&plan.protocol)?;
    let signs = plan.protocol.environment.get("action_signs").cloned();
    let signs = signs.map(serde_json::from_value).transpose();
    let signs = signs.context("the protocol's signs")?.unwrap_or_default();
    Ok(match plan.run.policy {
        PolicyName::Expert => Box::new(Expert::new(idle.len())),
        PolicyName::Random => Box::new(Random::new(idle.len(), signs)),
        PolicyName::Idle => Box::new(Idle::new(idle)),
        PolicyName::Udvla => open_udvla(plan)?,
    })
}

/// The action of a protocol that does nothing.
///
/// # Errors
/// When it is no list of numbers.
pub fn idle_action(protocol: &Protocol) -> Result<Vec<f32>> {
    let names = ["idle_action", "settle_action"];
    let found = names.iter().find_map(|name| protocol.environment.get(*name));
    serde_json::from_value(found.cloned().unwrap_or_default()).context("the protocol's idle action")
}

#[cfg(feature = "torch")]
fn open_udvla(plan: &Plan) -> Result<Box<dyn Policy>> {
    use udvla_policies::udvla::{Attention, UdVla, UdVlaOptions};

    let run = &plan.run;
    let Some(checkpoint) = &run.checkpoint else {
        return Err(Refused::new("the policy `udvla` needs a checkpoint")
            .hint("pass `--checkpoint DIR`; `udvla-eval make-checkpoint DIR` writes a small one to try with, `--policy expert` needs none")
            .into());
    };
    let attention = run.attention.as_deref().map(str::parse::<Attention>).transpose();
    let attention = attention.map_err(|error| Refused::new(error.to_string()))?;
    let options = UdVlaOptions {
        benchmark: plan.protocol.benchmark.clone(),
        device: run.device.clone(),
        dtype: run.dtype.clone(),
        denoise_steps: run.denoise_steps,
        attention,
        decoding: decoding(run)?,
    };
    let policy = UdVla::open(checkpoint, &options).map_err(|error| {
        let hint =
            error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs there".into());
        let text = format!("the checkpoint `{}` cannot be used", checkpoint.display());
        Refused::new(text).because(error).hint(hint)
    })?;
    Ok(Box::new(policy))
}

/// How a chunk is generated.
///
/// # Errors
/// [`Refused`] when an option belongs to another way than the one asked for.
#[cfg(feature = "torch")]
fn decoding(run: &RunArguments) -> Result<Decoding> {
    let stray = |option: &str, of: &str, given: bool| match given {
        true => Err(Refused::new(format!("`{option}` goes with `{of}` only"))),
        false => Ok(()),
    };
    let name = run.decoding;
    let paper = run.sampler == Some(SamplerName::Paper);
    stray("--sampler paper", "--decoding jd3p", paper && name != DecodingName::Jd3p)?;
    let sequential = matches!(name, DecodingName::Ar | DecodingName::Jacobi);
    stray("--sampler", "--decoding jd3p", run.sampler.is_some() && sequential)?;
    stray("--denoise-steps", "--decoding jd3p` or `id", run.denoise_steps.is_some() && sequential)?;
    stray("--temperature", "--sampler paper", run.temperature.is_some() && !paper)?;
    stray(
        "--action-steps",
        "--decoding id",
        run.action_steps.is_some() && name != DecodingName::Id,
    )?;
    stray(
        "--jacobi-cap",
        "--decoding jacobi",
        run.jacobi_cap.is_some() && name != DecodingName::Jacobi,
    )?;
    Ok(match (name, run.temperature) {
        (DecodingName::Jd3p, Some(temperature)) => {
            Decoding::Jd3p { sampler: Sampler::Paper { temperature } }
        }
        (DecodingName::Jd3p, None) if paper => {
            return Err(Refused::new("`--sampler paper` needs `--temperature T`")
                .hint("the paper names no temperature; 1 draws from the model's own distribution, 0 takes the most probable id")
                .into());
        }
        (DecodingName::Jd3p, None) => Decoding::default(),
        (DecodingName::Id, _) => Decoding::Independent { action_steps: run.action_steps },
        (DecodingName::Ar, _) => Decoding::Autoregressive,
        (DecodingName::Jacobi, _) => Decoding::Jacobi { cap: run.jacobi_cap.map(usize::from) },
    })
}

#[cfg(not(feature = "torch"))]
fn open_udvla(_: &Plan) -> Result<Box<dyn Policy>> {
    Err(Refused::new("this build has no libtorch, so it cannot run `udvla`")
        .hint("build with the feature `torch`, or use `--policy expert`, `random` or `idle`")
        .into())
}

/// Whether the simulator offers what the policy needs.
///
/// # Errors
/// [`Refused`] when widths or cameras differ.
pub fn fits(policy: &PolicySpec, sim: &SimSpec) -> Result<()> {
    if policy.action_width != sim.action.len() {
        let text = format!(
            "the policy acts with {} numbers per step, the simulator takes {} ({})",
            policy.action_width,
            sim.action.len(),
            sim.action.join(", ")
        );
        return Err(Refused::new(text).into());
    }
    let names =
        |cameras: &[Camera]| cameras.iter().map(|camera| camera.name.clone()).collect::<Vec<_>>();
    if !policy.cameras.is_empty() && names(&policy.cameras) != names(&sim.cameras) {
        let text = format!(
            "the policy looks at {}, the simulator shows {}",
            names(&policy.cameras).join(", "),
            names(&sim.cameras).join(", ")
        );
        return Err(Refused::new(text).into());
    }
    Ok(())
}
