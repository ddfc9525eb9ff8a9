//! The registry of benchmarks: the one list that the command line, `list`, `doctor`, `setup`,
//! `resume` and the workers ask.
//!
//! A benchmark is one file here, a protocol file in `sims/protocols`, an adapter package in
//! `sims/python/udvla_sims`, and a line in [`ALL`]; `docs/add-a-benchmark.md` walks through one.

use anyhow::Result;
use udvla_sims::protocol::Protocol;

use crate::exit::Refused;

mod benchmark;
mod calvin;
mod libero;
mod range;
mod simpler;
mod toy;

pub use benchmark::{
    ActionNumber, Benchmark, Choices, Demonstrations, Facts, OwnCheckpoint, Selection, Simulator,
    fetch_command, value_name,
};
pub use range::{Numbers, numbers};
pub use simpler::OTHERWISE;

/// Every benchmark, in the order of `list`.
pub const ALL: &[&dyn Benchmark] =
    &[&libero::Libero, &calvin::Calvin, &simpler::Simpler, &toy::Toy];

/// The benchmark of that name.
pub fn find(name: &str) -> Option<&'static dyn Benchmark> {
    ALL.iter().copied().find(|benchmark| benchmark.name() == name)
}

/// The benchmarks that help and lists show.
pub fn listed() -> impl Iterator<Item = &'static dyn Benchmark> {
    ALL.iter().copied().filter(|benchmark| benchmark.facts().is_listed)
}

/// The benchmark that a protocol belongs to.
///
/// # Errors
/// [`Refused`] when this version does not have it.
pub fn of_protocol(protocol: &Protocol) -> Result<&'static dyn Benchmark> {
    find(&protocol.benchmark).ok_or_else(|| {
        let names: Vec<_> = listed().map(Benchmark::name).collect();
        Refused::new(format!("this version has no benchmark `{}`", protocol.benchmark))
            .hint(format!("it has {}", names.join(", ")))
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_catalogs_are_pinned_and_name_files() {
        for benchmark in listed() {
            let catalog = (benchmark.facts().assets.unwrap())();
            let hexadecimal =
                |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(hexadecimal(&catalog.commit), "{}", benchmark.name());
            assert!(catalog.files.len() > 40, "{}", benchmark.name());
            assert!(catalog.files.values().all(|file| hexadecimal(&file.git)));
        }
    }
}
