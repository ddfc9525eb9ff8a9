//! One simulator outside a run, for `doctor` and `replay`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use udvla_sims::observation::SimSpec;
use udvla_sims::process::{Worker, WorkerCommand};
use udvla_sims::protocol::Protocol;
use udvla_sims::wire::{OpenConfig, Reply};

use crate::benchmarks;
use crate::exit::Refused;
use crate::locked;
use crate::plan::SimulatorPlan;

const START: Duration = Duration::from_secs(600);

/// An open simulator with a folder of its own, which is removed unless it is kept for its log.
pub struct Simulator {
    /// The worker, to be asked.
    pub worker: Worker,
    /// What the simulator offers.
    pub spec: SimSpec,
    /// What the adapter reports: versions, renderer, assets.
    pub setting: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

/// What a simulator is opened for.
pub struct Purpose {
    /// Suites to be played; empty for whichever are installed.
    pub suites: Vec<String>,
    /// Whether observations need images.
    pub images: bool,
    /// Whether videos are made.
    pub video: bool,
}

impl Simulator {
    /// Starts a worker as a run would.
    ///
    /// # Errors
    /// [`Refused`] when it does not start; its log is kept then, and named.
    pub fn open(plan: &SimulatorPlan, protocol: &Protocol, purpose: Purpose) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("udvla-eval-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let log = folder.path().join("worker.log");
        let command = WorkerCommand { log, ..plan.command()? };
        let config = OpenConfig {
            protocol: protocol.clone(),
            suites: purpose.suites,
            images: purpose.images,
            last_look: false,
            video: purpose.video,
            scratch: folder.path().to_string_lossy().into_owned(),
            options: plan.adapter_options()?,
        };
        match Worker::open(&command, config, START, |_| {}) {
            Ok((worker, Reply::Ready { spec, mut setting, .. })) => {
                let benchmark = benchmarks::of_protocol(protocol)?;
                locked::judge(&mut setting, benchmark.facts().environment.lock);
                Ok(Self { worker, spec, setting, folder })
            }
            Ok((_, other)) => Err(udvla_sims::process::unexpected(&other).into()),
            Err(error) => {
                let log = folder.keep().join("worker.log");
                Err(Refused::new(format!("the simulator does not start: {error}"))
                    .hint(format!("its log is `{}`", log.display()))
                    .into())
            }
        }
    }

    /// Closes the simulator and removes its folder.
    pub fn close(self) {
        self.worker.close(Duration::from_secs(5));
    }

    /// Closes the simulator, keeps its folder, and returns the path of the log.
    pub fn close_and_keep_log(self) -> PathBuf {
        self.worker.close(Duration::from_secs(5));
        self.folder.keep().join("worker.log")
    }
}
