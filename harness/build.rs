//! Tells the linker where libtorch is, and the program which commit it was built from.

use std::process::Command;

fn main() {
    // torch-sys tells its dependents where it found libtorch; without the feature it is absent.
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
        // `udvla-eval` refers to nothing of libtorch (src/model.rs). Inline functions of its headers
        // would all the same be exported for it, and so be kept, and libtorch with them.
        println!("cargo:rustc-link-arg-bin=udvla-eval=-Wl,--exclude-libs,ALL");
        // As in policies/build.rs.
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu_true");
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    // Without optional locks `status` does not touch the index.
    let status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"];
    let changed = git(&status);
    let mark = if changed.is_some_and(|text| !text.is_empty()) { "-changed" } else { "" };
    println!("cargo:rustc-env=UDVLA_COMMIT={commit}{mark}");
    let watched =
        [".git/HEAD", ".git/logs/HEAD", "Cargo.lock", "harness", "sims", "policies", "results"];
    for path in watched {
        println!("cargo:rerun-if-changed={path}");
    }
}
