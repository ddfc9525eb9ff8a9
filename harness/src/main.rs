//! The command `udvla-eval`, without libtorch: where the model is needed, it becomes
//! `udvla-eval-model`.

use std::process::ExitCode;

fn main() -> ExitCode {
    udvla_eval::program::main(udvla_eval::commands::run)
}
