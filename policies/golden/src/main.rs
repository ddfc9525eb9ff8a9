//! `udvla-golden`: recomputes recorded outputs of the released code and compares.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use udvla_golden::Golden;
use udvla_policies::with_causes;

/// Recompute recorded outputs of the released code and compare
///
/// Exit code 0: all files are equal; 1: a file differs; 2: a file was not compared.
#[derive(Debug, Parser)]
#[command(name = "udvla-golden", version)]
struct Arguments {
    /// Files to recompute
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare nothing; print what was recomputed as JSON. Files need not have outputs
    #[arg(long)]
    emit: bool,
    /// Folder with a folder per FAST tokenizer [$UDVLA_TEST_DATA/udvla]
    #[arg(long, value_name = "DIR")]
    tokenizers: Option<PathBuf>,
    /// Where the models are recomputed: auto, cpu, cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

const DIFFERENT: u8 = 1;
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let default = || std::env::var_os("UDVLA_TEST_DATA").map(|d| PathBuf::from(d).join("udvla"));
    let tokenizers = arguments.tokenizers.clone().or_else(default);
    match Golden::new(tokenizers.as_deref()).on(&arguments.device) {
        Ok(golden) => run(golden, &arguments).into(),
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| "`udvla-golden --help`".into());
            refuse("nothing can be compared there", &error, Some(&hint));
            REFUSED.into()
        }
    }
}

/// Compares all files, even after one that cannot be.
fn run(mut golden: Golden, arguments: &Arguments) -> u8 {
    let mut code = 0;
    for file in &arguments.files {
        let name = file.display();
        let result = match arguments.emit {
            true => golden.emit(file).map(|outputs| println!("{outputs:#}")),
            false => golden.check(file).map(|difference| match difference {
                None => println!("{name}: equal"),
                Some(difference) => {
                    println!("{name}: differs: {difference}");
                    code = code.max(DIFFERENT);
                }
            }),
        };
        if let Err(error) = result {
            refuse(&format!("`{name}` was not compared"), &error, error.hint());
            code = REFUSED;
        }
    }
    code
}

fn refuse(message: &str, error: &dyn Error, hint: Option<&str>) {
    eprintln!("error: {message}: {}", with_causes(error));
    if let Some(hint) = hint {
        eprintln!("\nhint: {hint}");
    }
}
