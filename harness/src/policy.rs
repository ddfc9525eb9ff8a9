//! Opens the policy of a plan, and checks it against the simulator.

use std::time::Duration;

use anyhow::{Context, Result};
use udvla_policies::remote::{RemoteOptions, RemotePolicy, ServerError};
#[cfg(feature = "torch")]
use udvla_policies::udvla::{Checkpoint, UdVla, UdVlaOptions};
use udvla_policies::{Policy, PolicySpec, weightless};
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::Protocol;

use crate::exit::Refused;
#[cfg(feature = "torch")]
use crate::plan::ModelPlan;
use crate::plan::{Execution, Plan, PolicyPlan, RemotePlan};
#[cfg(feature = "torch")]
pub use crate::preflight::refused;

/// Opens the policy of a plan: one, or a replica per device.
///
/// # Errors
/// [`Refused`] when its checkpoint or a device is missing or unfit.
pub fn open(plan: &Plan) -> Result<Vec<Box<dyn Policy>>> {
    let Execution { workers, save_futures, .. } = plan.execution;
    open_one(&plan.policy, &plan.protocol, workers, save_futures)
}

/// Opens a policy for a protocol and as many simulators; `futures`: whether its predicted images are
/// needed.
///
/// # Errors
/// As [`open`].
#[cfg_attr(not(feature = "torch"), expect(unused_variables))]
pub fn open_one(
    policy: &PolicyPlan,
    protocol: &Protocol,
    simulators: usize,
    futures: bool,
) -> Result<Vec<Box<dyn Policy>>> {
    match policy {
        PolicyPlan::Weightless { name } => Ok(vec![open_weightless(name, protocol)?]),
        PolicyPlan::Remote(remote) => Ok(vec![open_remote(remote, protocol, simulators)?]),
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(model) => (crate::model::code()?.open)(model, futures),
    }
}

/// The spec of the replicas of one policy together.
///
/// # Panics
/// If there is none.
pub fn spec(policies: &[Box<dyn Policy>]) -> PolicySpec {
    let mut spec = policies[0].spec().clone();
    let devices: Vec<String> =
        policies.iter().filter_map(|policy| policy.spec().setting.device.clone()).collect();
    if !devices.is_empty() {
        spec.setting.device = Some(devices.join(","));
    }
    spec
}

/// Checks that the simulator offers what the policy needs.
///
/// # Errors
/// [`Refused`] when action widths or cameras differ.
pub fn check_fit(policy: &PolicySpec, sim: &SimSpec) -> Result<()> {
    if policy.action_width != sim.action.len() {
        let text = format!(
            "the policy's actions have {} numbers, the simulator's {} ({})",
            policy.action_width,
            sim.action.len(),
            sim.action.join(", ")
        );
        return Err(Refused::new(text).into());
    }
    let names = |cameras: &[Camera]| -> Vec<String> {
        cameras.iter().map(|camera| camera.name.clone()).collect()
    };
    if !policy.cameras.is_empty() && names(&policy.cameras) != names(&sim.cameras) {
        let text = format!(
            "the policy needs the cameras {}, the simulator has {}",
            names(&policy.cameras).join(", "),
            names(&sim.cameras).join(", ")
        );
        return Err(Refused::new(text).into());
    }
    Ok(())
}

/// The variable with the key of a policy server.
const SERVER_KEY: &str = "UDVLA_SERVER_KEY";

fn open_remote(
    remote: &RemotePlan,
    protocol: &Protocol,
    simulators: usize,
) -> Result<Box<dyn Policy>> {
    let cameras = cameras(protocol).context("the protocol's cameras")?;
    let options = RemoteOptions {
        address: remote.address.clone(),
        protocol: remote.protocol,
        key: std::env::var(SERVER_KEY).ok().filter(|key| !key.is_empty()),
        name: remote.name.clone(),
        benchmark: protocol.benchmark.clone(),
        cameras,
        layout: remote.layout.clone(),
        execute: remote.execute,
        simulators,
        connections: remote.connections.map(usize::from),
        timeout: Duration::from_secs_f64(remote.answer_timeout),
        patience: Duration::from_secs_f64(remote.reconnect),
        max_message: usize::try_from(remote.max_message).unwrap_or(usize::MAX),
    };
    let policy = RemotePolicy::open(options).map_err(|error| {
        let hint = match &error {
            ServerError::Lost { .. } if error.to_string().contains("certificate") => {
                "SSL_CERT_FILE names a file with the certificate of the authority that signed the server's"
            }
            ServerError::Lost { .. } => {
                "start the server, or check host and port; `--server-protocol` names a protocol that is not detected"
            }
            ServerError::Answer { .. } => {
                "`--server-protocol` and `--server-layout FILE` change how it is asked (docs/bring-your-own-policy.md)"
            }
        };
        Refused::new(error.to_string()).hint(hint)
    })?;
    Ok(Box::new(policy))
}

/// The cameras in the order of an observation's images; none where the protocol has none.
pub(crate) fn cameras(protocol: &Protocol) -> Result<Vec<Camera>, serde_json::Error> {
    let cameras = protocol.environment.iter().find(|(name, _)| *name == "cameras");
    cameras.map_or(Ok(vec![]), |(_, cameras)| serde_json::from_value(cameras.clone()))
}

fn open_weightless(name: &str, protocol: &Protocol) -> Result<Box<dyn Policy>> {
    weightless::open(name, protocol)
        .context("the protocol's idle action or action signs")?
        .ok_or_else(|| Refused::new(format!("this version has no policy `{name}`")).into())
}

/// Opens the model on each of its devices.
///
/// # Errors
/// [`Refused`] when the checkpoint or a device is missing or unfit.
#[cfg(feature = "torch")]
pub fn udvla(model: &ModelPlan, futures: bool) -> Result<Vec<Box<dyn Policy>>> {
    let options = UdVlaOptions { futures, ..model.options.clone() };
    let policies = Checkpoint::open(&model.checkpoint)
        .and_then(|checkpoint| UdVla::replicas(&checkpoint, &options, &model.devices))
        .map_err(|error| {
            let path = model.checkpoint.display();
            refused(format!("the checkpoint `{path}` cannot be used"), error)
        })?;
    Ok(policies.into_iter().map(|policy| Box::new(policy) as Box<dyn Policy>).collect())
}
