//! The same command with the model, which is started by `udvla-eval`.

use std::process::ExitCode;

use udvla_eval::{commands, model, program};

fn main() -> ExitCode {
    model::install(commands::MODEL_CODE);
    program::main(commands::run_with_model)
}
