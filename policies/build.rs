//! Sets the rpath to libtorch for this package's tests, and libtorch's version for the crate.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(library) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    println!("cargo::rustc-link-arg=-Wl,-rpath,{library}");
    // MKL inside libtorch asks the program's function (src/udvla/kernels.rs).
    println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu_true");
    let version = version(Path::new(&library)).unwrap_or_else(|| "unknown".into());
    println!("cargo::rustc-env=UDVLA_LIBTORCH_VERSION={version}");
}

/// libtorch's version from the wheel's `version.py`.
fn version(library: &Path) -> Option<String> {
    let text = std::fs::read_to_string(library.parent()?.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    Some(line.split(['\'', '"']).nth(1)?.to_owned())
}
