//! What a run directory may start: a directory from elsewhere is data, and what it names is used
//! only where this installation would use the same.

use std::path::Path;

use anyhow::Result;
use clap::{ArgMatches, Command};
use udvla_policies::remote::Address;
use udvla_results::out::printable::printable_line;

use super::manifest::{Overrides, Trust};
use super::{Plan, PolicyPlan};
use crate::benchmarks::{self, Benchmark, Choices, OTHERWISE};
use crate::environment;
use crate::exit::Refused;

const HINT: &str = "pass `--trust` if you know where the directory comes from";
/// The adapter option that holds what renders.
const RENDERER: &str = "renderer";

impl PolicyPlan {
    /// The policy's server, unless it is on this machine: it would get the user's key.
    pub fn distant_server(&self) -> Option<&Address> {
        match self {
            Self::Remote(remote) => Some(&remote.address).filter(|address| !address.is_local()),
            Self::Weightless { .. } => None,
            #[cfg(feature = "torch")]
            Self::Udvla(_) => None,
        }
    }
}

impl Plan {
    /// Replaces the interpreter and the workers' variables of a stored plan by those of this
    /// installation, with a note where they differ. `overrides` are the user's own choices.
    ///
    /// # Errors
    /// [`Refused`] when the directory names a program, or a folder with Python packages, that is
    /// not of this installation.
    pub fn distrust(&mut self, overrides: &Overrides) -> Result<()> {
        if overrides.trust == Trust::Directory {
            return Ok(());
        }
        if let Some(address) = self.policy.distant_server() {
            let text = format!("the run asks a policy server on another machine, `{address}`");
            return Err(Refused::new(text).hint(HINT).into());
        }
        let benchmark = benchmarks::of_protocol(&self.protocol)?;
        match &self.simulator.program {
            Some(program) if !environment::is_beside(program) => {
                let text = format!("the run starts another program, `{}`", program.display());
                return Err(Refused::new(text).hint(HINT).into());
            }
            Some(_) => {}
            None => {
                self.refuse_packages(benchmark, overrides)?;
                if overrides.python.is_none() {
                    self.use_python(&environment::python(benchmark.facts().environment, None)?);
                }
            }
        }
        self.use_variables(benchmark)
    }

    /// Whether a resume needs `--trust`, since the user chose something that no installation has.
    pub fn needs_trust(&self) -> bool {
        if self.policy.distant_server().is_some() {
            return true;
        }
        let own = |path: &Path| {
            let environment = benchmarks::of_protocol(&self.protocol).ok()?.facts().environment;
            Some(environment::folder(environment).ok()?.join("bin/python") == path)
        };
        match (&self.simulator.program, &self.simulator.python) {
            (Some(program), _) => !environment::is_beside(program),
            (None, Some(python)) => own(python) != Some(true) || self.has_packages(),
            (None, None) => false,
        }
    }

    /// The renderer that was asked for: only `auto` stores other variables beside it.
    fn renderer(&self) -> Option<&str> {
        let options = &self.simulator.options;
        let stored = options.get(RENDERER).map(String::as_str);
        if options.contains_key(OTHERWISE) { Some("auto") } else { stored }
    }

    /// Whether the adapter imports packages from a folder that the plan names.
    fn has_packages(&self) -> bool {
        self.simulator.options.get("adapter").is_some_and(|name| name == "upstream")
    }

    fn refuse_packages(&self, benchmark: &dyn Benchmark, overrides: &Overrides) -> Result<()> {
        if !self.has_packages() || overrides.data.is_some() {
            return Ok(());
        }
        let folder =
            benchmark.facts().data_option.and_then(|name| self.simulator.options.get(name));
        let folder = folder.map_or("a folder", String::as_str);
        let text = format!("the run imports Python packages from `{folder}`");
        Err(Refused::new(text).hint(format!("name the folder with `--data`, or {HINT}")).into())
    }

    /// What the loader and Python obey is this installation's choice.
    fn use_variables(&mut self, benchmark: &dyn Benchmark) -> Result<()> {
        let choices = Choices { without_files: true, ..Choices::default() };
        let own = benchmark.simulator(&flags(benchmark, self.renderer()), &choices)?;
        let stored = &mut self.simulator;
        let otherwise = stored.options.remove(OTHERWISE);
        if own.variables != stored.variables || own.options.get(OTHERWISE) != otherwise.as_ref() {
            eprintln!("note: the workers' variables are those of this installation, not the run's");
        }
        stored.variables = own.variables;
        if otherwise.is_some() {
            let chosen = own.options.into_iter();
            stored
                .options
                .extend(chosen.filter(|(name, _)| [OTHERWISE, RENDERER].contains(&&**name)));
        }
        Ok(())
    }

    fn use_python(&mut self, own: &Path) {
        let stored = self.simulator.python.replace(own.to_owned());
        if let Some(stored) = stored.filter(|stored| stored != own) {
            let (stored, own) = (stored.display(), own.display());
            let text =
                format!("Python `{own}` instead of the run's `{stored}`; `--trust` keeps that");
            eprintln!("note: {}", printable_line(&text));
        }
    }
}

/// The simulator's flags as if nothing but the renderer had been typed.
fn flags(benchmark: &dyn Benchmark, renderer: Option<&str>) -> ArgMatches {
    let command = (benchmark.facts().simulator_flags)(Command::new("simulator"));
    let known = command.get_arguments().any(|argument| argument.get_id() == "renderer");
    let words = renderer.filter(|_| known).map(|name| format!("--renderer={name}"));
    let words = ["simulator".to_owned()].into_iter().chain(words);
    let plain = command.clone();
    command.try_get_matches_from(words).unwrap_or_else(|_| plain.get_matches_from(["simulator"]))
}
