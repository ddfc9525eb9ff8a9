//! What is tested: the policy that was asked for, opened and checked against the simulator.

use anyhow::{Context, Result};
#[cfg(feature = "torch")]
use udvla_policies::udvla::{UdVla, UdVlaOptions, checkpoint::Checkpoint};
use udvla_policies::{Expert, Idle, Policy, PolicySpec, Random};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::Protocol;

use crate::cli::PolicyName;
use crate::exit::Refused;
#[cfg(feature = "torch")]
use crate::model;
use crate::plan::Plan;

/// Opens the policy of a plan: one, or a replica per device.
///
/// # Errors
/// [`Refused`] when its checkpoint or a device is missing or unfit.
pub fn open(plan: &Plan) -> Result<Vec<Box<dyn Policy>>> {
    let idle = idle_action(&plan.protocol)?;
    let signs = plan.protocol.environment.get("action_signs").cloned();
    let signs = signs.map(serde_json::from_value).transpose();
    let signs = signs.context("the protocol's signs")?.unwrap_or_default();
    if plan.run.save_futures && plan.run.policy != PolicyName::Udvla {
        let text =
            format!("policy `{}` expects to see nothing", crate::plan::name(plan.run.policy));
        return Err(Refused::new(text).hint("`--save-futures` goes with `--policy udvla`").into());
    }
    Ok(match plan.run.policy {
        PolicyName::Expert => vec![Box::new(Expert::new(idle.len()))],
        PolicyName::Random => vec![Box::new(Random::new(idle.len(), signs))],
        PolicyName::Idle => vec![Box::new(Idle::new(idle))],
        PolicyName::Udvla => open_udvla(plan)?,
    })
}

/// What replicas of one policy are together.
///
/// # Panics
/// If there is none.
pub fn spec(policies: &[Box<dyn Policy>]) -> PolicySpec {
    let mut spec = policies[0].spec().clone();
    let settings = policies.iter().map(|policy| &policy.spec().setting);
    let devices: Vec<String> =
        settings.filter_map(|setting| setting.get("device").cloned()).collect();
    if !devices.is_empty() {
        spec.setting.insert("device".into(), devices.join(","));
    }
    spec
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
fn open_udvla(plan: &Plan) -> Result<Vec<Box<dyn Policy>>> {
    let run = &plan.run;
    let Some(directory) = &run.checkpoint else {
        return Err(Refused::new("the policy `udvla` needs a checkpoint")
            .hint("pass `--checkpoint DIR`; `udvla-eval make-checkpoint DIR` writes a small one to try with, `--policy expert` needs none")
            .into());
    };
    let options = UdVlaOptions {
        futures: run.save_futures,
        ..model::options(&run.model, &plan.protocol.benchmark)?
    };
    let one = std::slice::from_ref(&run.model.device);
    let devices = if run.devices.is_empty() { one } else { &run.devices };
    let opened = Checkpoint::open(directory)
        .and_then(|checkpoint| UdVla::replicas(&checkpoint, &options, devices));
    let policies = opened.map_err(|error| {
        let text = format!("the checkpoint `{}` cannot be used", directory.display());
        model::refused(text, error)
    })?;
    Ok(policies.into_iter().map(|policy| Box::new(policy) as Box<dyn Policy>).collect())
}

#[cfg(not(feature = "torch"))]
fn open_udvla(_: &Plan) -> Result<Vec<Box<dyn Policy>>> {
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
