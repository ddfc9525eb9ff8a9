//! The worker executable: loads an environment's libpython into this process and runs the worker
//! library.
//!
//! It links no Python symbol, so one build works with every Python from 3.9 on: it asks the
//! environment's interpreter for the path of its shared library, loads that with global symbols,
//! then loads `libudvla_worker.so` from its own folder and calls its entry point. If a Python has
//! no shared library, its interpreter imports the worker library instead; the run's setting
//! records which (`embedding`).
//!
//! It starts as two processes: the worker, and a supervisor that ends whatever the simulator leaves
//! running (`udvla_sims::supervisor`).
//!
//! Usage: `udvla-sim-worker PYTHON ADAPTERS` with the wire on standard input.

use std::ffi::{CString, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

/// Prints the path of the interpreter's shared library, or an empty line. Runs on any Python.
const FIND_LIBRARY: &str = "
import os, sys, sysconfig
if sys.version_info < (3, 9):
    sys.exit('error: Python 3.9 or later is needed, %s is %s' % (sys.executable, sys.version.split()[0]))
name = sysconfig.get_config_var('INSTSONAME') or ''
folders = [sysconfig.get_config_var('LIBDIR') or '', os.path.join(sysconfig.get_config_var('installed_base') or '', 'lib')]
paths = [os.path.join(folder, name) for folder in folders if '.so' in name]
print(next((path for path in paths if os.path.exists(path)), ''))
";

/// Runs the worker. Arguments: the adapters' folder, the embedding, the worker library.
const SERVE: &str = "
import sys, faulthandler, importlib.machinery, importlib.util
faulthandler.enable()
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == 'embedded':
    import udvla_worker
else:
    loader = importlib.machinery.ExtensionFileLoader('udvla_worker', sys.argv[3])
    specification = importlib.util.spec_from_file_location('udvla_worker', sys.argv[3], loader=loader)
    udvla_worker = importlib.util.module_from_spec(specification)
    loader.exec_module(udvla_worker)
udvla_worker.serve(sys.argv[2])
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [python, adapters] = arguments.as_slice() else {
        eprintln!("usage: udvla-sim-worker PYTHON ADAPTERS, with the wire on standard input");
        return ExitCode::from(2);
    };
    // SAFETY: no other thread was started.
    if let Err(error) = unsafe { udvla_sims::supervisor::split() } {
        eprintln!("error: cannot start the worker: {error}");
        return ExitCode::from(2);
    }
    match run(Path::new(python), adapters) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(python: &Path, adapters: &OsString) -> Result<c_int, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let library = here.with_file_name("libudvla_worker.so");
    if !library.exists() {
        return Err(format!(
            "`{}` is missing; build with `cargo build --workspace`",
            library.display()
        ));
    }
    let arguments = |embedding: &str| -> Vec<OsString> {
        vec![
            python.into(),
            // Neither the current folder, nor variables of the shell, nor the user's own packages.
            "-I".into(),
            // What a simulator prints is in the log also if it dies.
            "-u".into(),
            // Files are read alike whatever the user's locale.
            "-X".into(),
            "utf8".into(),
            "-c".into(),
            SERVE.into(),
            adapters.clone(),
            embedding.into(),
            library.clone().into_os_string(),
        ]
    };
    let force_interpreter =
        std::env::var_os("UDVLA_WORKER_FORM").is_some_and(|form| form == "interpreter");
    match libpython(python)? {
        Some(path) if !force_interpreter => embed(&path, &library, &arguments("embedded")),
        _ => {
            let error = Command::new(python).args(&arguments("interpreter")[1..]).exec();
            Err(format!("cannot run `{}`: {error}", python.display()))
        }
    }
}

/// Path of the interpreter's shared library, if it has one.
fn libpython(python: &Path) -> Result<Option<PathBuf>, String> {
    let output = Command::new(python)
        .args(["-I", "-c", FIND_LIBRARY])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run `{}`: {error}", python.display()))?;
    if !output.status.success() {
        return Err(format!(
            "`{}` is not a usable Python interpreter ({})",
            python.display(),
            output.status
        ));
    }
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((!path.is_empty()).then(|| path.into()))
}

/// Runs Python in this process; returns its exit code.
fn embed(libpython: &Path, library: &Path, arguments: &[OsString]) -> Result<c_int, String> {
    let strings: Vec<CString> = arguments
        .iter()
        .map(|argument| CString::new(argument.as_bytes()).map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*mut c_char> =
        strings.iter().map(|string| string.as_ptr().cast_mut()).collect();
    pointers.push(std::ptr::null_mut());
    type Entry = unsafe extern "C" fn(c_int, *mut *mut c_char) -> c_int;
    // SAFETY: both libraries are safe to load; RTLD_GLOBAL because the second and every extension
    // module use symbols of the first. `Entry` is the type of `udvla_worker_main` in this
    // package's lib.rs, and the strings outlive the call.
    unsafe {
        let _python = Library::open(Some(libpython), RTLD_NOW | RTLD_GLOBAL)
            .map_err(|error| load_error(libpython, &error))?;
        let worker = Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL)
            .map_err(|error| load_error(library, &error))?;
        let entry: Symbol<Entry> =
            worker.get(b"udvla_worker_main\0").map_err(|error| error.to_string())?;
        let count = c_int::try_from(strings.len()).expect("ten arguments");
        Ok(entry(count, pointers.as_mut_ptr()))
    }
}

/// The message with its cause, where the loader puts the details.
fn load_error(library: &Path, error: &libloading::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("cannot load `{}`: {error}{}", library.display(), cause.unwrap_or_default())
}
