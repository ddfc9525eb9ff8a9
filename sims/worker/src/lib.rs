//! The worker library: answers the wire with a Python adapter.
//!
//! It is loaded into a process that has the environment's Python already (`main.rs`), as the
//! extension module `udvla_worker`. `serve` owns the loop: it plays whole action chunks, looks
//! for success after every control step, and turns exceptions into replies. It never loads
//! libtorch.

mod requests;
mod session;

use std::ffi::{c_char, c_int};

use pyo3::prelude::*;

/// Starts Python with this module built in, and runs it to its end.
///
/// # Safety
/// `arguments` points to `count` C strings; called once, in a process whose libpython is
/// loaded with global symbols.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn udvla_worker_main(count: c_int, arguments: *mut *mut c_char) -> c_int {
    pyo3::append_to_inittab!(udvla_worker);
    // SAFETY: the caller's promise. Py_BytesMain finds the virtual environment from the first
    // argument, as the interpreter itself would.
    unsafe { pyo3::ffi::Py_BytesMain(count, arguments) }
}

/// The extension module.
#[pymodule]
fn udvla_worker(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(serve, module)?)
}

/// Answers the wire on standard input until the harness closes it.
#[pyfunction]
fn serve(python: Python<'_>, embedding: &str) -> PyResult<()> {
    requests::serve(python, embedding)
}
