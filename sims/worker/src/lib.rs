//! The worker library: answers the wire's requests with a Python adapter.
//!
//! `main.rs` loads it, as the extension module `udvla_worker`, into a process that already has
//! the environment's Python. `serve` runs the loop: it plays whole action chunks, checks for
//! success after every control step, and turns exceptions into replies. It never loads libtorch.

mod demonstration;
mod requests;
mod session;

use std::ffi::{c_char, c_int};

use pyo3::prelude::*;

/// Runs Python with this module built in, until it exits.
///
/// # Safety
/// `arguments` points to `count` C strings. Called once, in a process that has loaded libpython
/// with global symbols.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn udvla_worker_main(count: c_int, arguments: *mut *mut c_char) -> c_int {
    pyo3::append_to_inittab!(udvla_worker);
    // SAFETY: guaranteed by the caller. Py_BytesMain finds the virtual environment from the first
    // argument, as the interpreter itself would.
    unsafe { pyo3::ffi::Py_BytesMain(count, arguments) }
}

/// The extension module.
#[pymodule]
fn udvla_worker(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(serve, module)?)
}

/// Serves requests from standard input until the harness closes it.
#[pyfunction]
fn serve(python: Python<'_>, embedding: &str) -> PyResult<()> {
    requests::serve(python, embedding)
}
