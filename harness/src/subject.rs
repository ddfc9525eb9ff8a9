//! What is tested: the policy that was asked for, opened and checked against the simulator.

use anyhow::{Context, Result};
use udvla_policies::{Expert, Idle, Policy, PolicySpec, Random};
use udvla_sims::observation::{Camera, SimSpec};

use crate::cli::PolicyName;
use crate::exit::Refused;
use crate::plan::Plan;

/// Opens the policy of a plan.
///
/// # Errors
/// [`Refused`] when its checkpoint or device is missing or unfit.
pub fn open(plan: &Plan) -> Result<Box<dyn Policy>> {
    let idle = plan.protocol.environment.get("settle_action").cloned().unwrap_or_default();
    let idle: Vec<f32> = serde_json::from_value(idle).context("the protocol's idle action")?;
    Ok(match plan.run.policy {
        PolicyName::Expert => Box::new(Expert::new(idle.len())),
        PolicyName::Random => Box::new(Random::new(idle.len())),
        PolicyName::Idle => Box::new(Idle::new(idle)),
        PolicyName::Udvla => open_udvla(plan)?,
    })
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
