//! The command line as it is typed. What it means is decided in [`crate::plan`].

mod calvin;
mod command;
mod libero;
mod policy;
mod results;
mod run;
mod simpler;

pub use calvin::{CalvinAdapter, CalvinArguments, CalvinReset, CalvinSimulator};
pub use command::{
    Benchmark, Cli, Command, DoctorArguments, GoldenArguments, Preset, ResumeArguments,
};
pub use libero::{LiberoArguments, LiberoSimulator, ResetMode, Suite};
pub use policy::{DecodingName, ModelArguments, PrefixCacheName, SamplerName};
pub use results::*;
pub use run::{PolicyName, RunArguments, WorkerArguments};
pub use simpler::{
    SimplerAdapter, SimplerArguments, SimplerRenderer, SimplerSimulator, SimplerSuccess, WidowxTask,
};
