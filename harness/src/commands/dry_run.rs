//! `--dry-run`: everything that a run does before its first episode, and what it would take.

use anyhow::Result;
use udvla_policies::PolicySpec;

use super::estimate;
use crate::benchmarks;
use crate::exit::Exit;
use crate::machine::{self, Memory};
#[cfg(feature = "torch")]
use crate::plan::ModelPlan;
use crate::plan::{Plan, PolicyPlan};
use crate::report;
use crate::simulator::{Purpose, Simulator};

/// Prints the plan, hashes the checkpoint, starts one simulator as the run would, and compares
/// memory and earlier runs with what the plan asks for. Weights are not loaded, no episode is
/// played, nothing is written.
///
/// # Errors
/// [`crate::exit::Refused`] where the run would be refused.
pub fn run(plan: &Plan) -> Result<Exit> {
    print!("{}", report::describe(plan));
    crate::run::check(plan)?;
    let weights = weights(&plan.policy)?;
    let purpose = Purpose {
        suites: plan.suites(),
        images: needs_images(plan)?,
        video: plan.execution.video != crate::plan::Video::None,
    };
    let simulator = Simulator::open(&plan.simulator, &plan.protocol, purpose)?;
    for (name, value) in &simulator.setting {
        println!("setting   {name}: {value}");
    }
    simulator.close();
    print_memory(plan, weights);
    match estimate::of(plan) {
        Some(estimate) => println!("estimate  {estimate}"),
        None => println!(
            "estimate  none: no earlier run of this policy on these suites lies beside `{}`",
            plan.directory.display()
        ),
    }
    Ok(Exit::Complete)
}

/// Bytes of this machine's memory for the policy's weights.
fn weights(policy: &PolicyPlan) -> Result<u64> {
    match policy {
        PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_) => Ok(0),
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(model) => (crate::model::code()?.describe)(model),
    }
}

/// Prints digest and devices of the model; bytes that its weight files take of this machine's memory.
#[cfg(feature = "torch")]
pub(super) fn model(model: &ModelPlan) -> Result<u64> {
    use udvla_policies::udvla::{Checkpoint, UdVla, device};

    let path = model.checkpoint.display();
    let unfit =
        |error| crate::preflight::refused(format!("the checkpoint `{path}` cannot be used"), error);
    let checkpoint = Checkpoint::open(&model.checkpoint).map_err(unfit)?;
    println!("digest    {}", checkpoint.digest().map_err(unfit)?);
    let places = UdVla::placements(&checkpoint, &model.options, &model.devices).map_err(unfit)?;
    let names = places.iter().map(|place| {
        format!("{} ({})", device::device_name(place.device), device::dtype_name(place.kind))
    });
    println!("device    {}", names.collect::<Vec<_>>().join(", "));
    let here = places.iter().filter(|place| !place.device.is_cuda()).count() as u64;
    Ok(here * machine::size_of(&checkpoint.model_folder())?)
}

/// Whether the policy sees: what a run asks of its simulators.
fn needs_images(plan: &Plan) -> Result<bool> {
    match &plan.policy {
        PolicyPlan::Weightless { .. } | PolicyPlan::Remote(_) => {
            let policies = crate::policy::open(plan)?;
            let PolicySpec { cameras, .. } = crate::policy::spec(&policies);
            Ok(!cameras.is_empty())
        }
        #[cfg(feature = "torch")]
        PolicyPlan::Udvla(_) => Ok(true),
    }
}

fn print_memory(plan: &Plan, weights: u64) {
    let Some(Memory { available, .. }) = machine::memory() else { return };
    let benchmark = benchmarks::of_protocol(&plan.protocol);
    let each = benchmark.map_or(0, |benchmark| benchmark.facts().worker_megabytes);
    let workers = plan.execution.workers as u64;
    let simulators =
        if plan.simulator.program.is_some() { 0 } else { (workers * u64::from(each)) << 20 };
    let needed = simulators + weights;
    let gigabytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    println!(
        "memory    about {:.1} GB needed ({workers} simulators{}), {:.1} GB available{}",
        gigabytes(needed),
        if weights > 0 {
            format!(", weights of {:.1} GB", gigabytes(weights))
        } else {
            String::new()
        },
        gigabytes(available),
        if needed > available { ": too little, take fewer `--workers`" } else { "" }
    );
}
