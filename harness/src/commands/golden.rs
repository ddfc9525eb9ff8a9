//! `golden`: recomputes recorded outputs of the released code and compares.

use std::path::PathBuf;

use anyhow::Result;
use udvla_policies::golden::{Golden, GoldenError};

use crate::cli::GoldenArguments;
use crate::exit::{Exit, Refused};

/// Says of every file whether it is equal, or prints what was recomputed.
///
/// # Errors
/// [`Refused`] when a file cannot be recomputed; the others are compared all the same.
pub fn run(arguments: &GoldenArguments) -> Result<Exit> {
    let mut golden = on_device(Golden::new(tokenizers(arguments).as_deref()), arguments)?;
    let mut exit = Exit::Complete;
    let mut refused = None;
    for file in &arguments.files {
        let name = file.display();
        let outcome = match arguments.emit {
            true => golden.emit(file).map(|outputs| println!("{outputs:#}")),
            false => golden.check(file).map(|difference| match difference {
                None => println!("{name}: equal"),
                Some(difference) => {
                    println!("{name}: differs: {difference}");
                    exit = Exit::Internal;
                }
            }),
        };
        if let Err(error) = outcome {
            let again = refused.replace(refusal(&file.display().to_string(), error));
            again.iter().for_each(|earlier: &Refused| eprintln!("error: {earlier}"));
        }
    }
    match refused {
        Some(refused) => Err(refused.into()),
        None => Ok(exit),
    }
}

#[cfg(feature = "torch")]
fn on_device(golden: Golden, arguments: &GoldenArguments) -> Result<Golden> {
    let placed = golden.on(&arguments.device).map_err(|error| {
        let hint = error.hint().unwrap_or_else(|| "`udvla-eval golden --help`".into());
        Refused::new("nothing can be compared there").because(error).hint(hint)
    })?;
    Ok(placed)
}

#[cfg(not(feature = "torch"))]
fn on_device(golden: Golden, _: &GoldenArguments) -> Result<Golden> {
    Ok(golden)
}

/// The folder of the FAST tokenizers: the one asked for, or that of the test data.
fn tokenizers(arguments: &GoldenArguments) -> Option<PathBuf> {
    let of_data =
        || std::env::var_os("UDVLA_TEST_DATA").map(|dir| PathBuf::from(dir).join("udvla"));
    arguments.tokenizers.clone().or_else(of_data)
}

fn refusal(file: &str, error: GoldenError) -> Refused {
    let refused = Refused::new(format!("`{file}` was not compared"));
    let refused = match error.hint() {
        Some(hint) => refused.hint(hint),
        None => refused,
    };
    refused.because(error)
}
