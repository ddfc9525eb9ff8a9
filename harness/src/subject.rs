//! What is tested: the policy that was asked for, opened and checked against the simulator.

use anyhow::{Context, Result};
use udvla_policies::{Expert, Idle, Policy, PolicySpec, Random};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::Protocol;

use crate::cli::PolicyName;
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
    };
    let policy = UdVla::open(checkpoint, &options).map_err(|error| {
        let hint =
            error.hint().unwrap_or_else(|| "docs/checkpoint.md says what belongs there".into());
        let text = format!("the checkpoint `{}` cannot be used", checkpoint.display());
        Refused::new(text).because(error).hint(hint)
    })?;
    Ok(Box::new(policy))
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
