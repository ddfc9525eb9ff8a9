//! The program from outside: command lines in, run directories and exit codes out.

#[cfg(feature = "torch")]
mod assemble;
mod bench;
#[cfg(feature = "torch")]
mod broken_checkpoints;
mod calvin;
mod cli;
mod collect;
mod controls;
mod damaged;
mod early;
mod endings;
#[cfg(feature = "torch")]
mod examples;
mod faults;
mod field;
mod gpus;
#[cfg(feature = "torch")]
mod hub;
mod interruptions;
mod kills;
mod libero;
#[cfg(feature = "torch")]
mod model_options;
mod no_flock;
mod output;
mod parts;
mod published;
mod real;
mod refusals;
mod remote;
mod results;
mod resume;
mod resume_plan;
mod runs;
mod simpler;
mod slurm;
mod support;
mod toy;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod udvla;
mod view;
mod walls;
mod words;
mod worker;
