//! The environment of a worker: the user's shell without what would steer a simulator by accident.
//!
//! A shell holds variables for other tools: a scheduler's card numbers, another project's
//! `PYTHONPATH`, a graphics or numeric library's switches. A worker does not see them. What a run
//! wants of them, the run sets itself ([`kernels`], the benchmark's own variables).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Beginnings of the names that are withheld, by who reads them.
const WITHHELD: [&str; 34] = [
    // Python, and the virtual environment that the shell is in.
    "PYTHON",
    "VIRTUAL_ENV",
    "CONDA_",
    // Numeric libraries: they choose threads and kernels, and thereby bits.
    "OMP_",
    "GOMP_",
    "KMP_",
    "OPENBLAS_",
    "GOTO_",
    "BLIS_",
    "MKL_",
    "NPY_",
    "NUMEXPR_",
    "NUMBA_",
    "GLIBC_TUNABLES",
    // Cards, by the number that another library gives them.
    "CUDA_",
    "EGL_",
    "VK_",
    // OpenGL and its software drivers.
    "MUJOCO_",
    "PYOPENGL_",
    "LIBGL_",
    "MESA_",
    "GALLIUM_",
    "LP_",
    "__GLX_",
    "__GL_",
    "DRI_PRIME",
    // The simulators and their libraries.
    "ROBOSUITE_",
    "LIBERO_",
    "MS2_",
    "SAPIEN_",
    "MPL",
    "OPENCV_",
    // Shared libraries of other programs.
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
];
/// A place for compiled functions changes no result.
const KEPT: [&str; 1] = ["NUMBA_CACHE_DIR"];

/// Whether a variable of the user's shell is withheld from simulators.
pub fn is_withheld(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !KEPT.contains(&&*name) && WITHHELD.iter().any(|beginning| name.starts_with(beginning))
}

/// Names of this process's variables that are withheld.
pub fn withheld() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name).filter(|name| is_withheld(name))
}

/// Variables that give every x86-64 processor with AVX2 and FMA the same numeric kernels, on one
/// thread; empty on another processor, whose own kernels the setting then names.
///
/// Without them OpenBLAS and numpy choose by processor, and an episode ends in another state on
/// another processor (docs/machines.md has the measurement).
pub fn kernels() -> BTreeMap<&'static str, &'static str> {
    match has_avx2() {
        // Names of numpy 1 and, for the last, of numpy 2.4 and later; unknown ones are ignored.
        true => BTreeMap::from([
            ("OPENBLAS_CORETYPE", "Haswell"),
            // Sums are split by threads. A worker has one core anyway.
            ("OPENBLAS_NUM_THREADS", "1"),
            ("OMP_NUM_THREADS", "1"),
            (
                "NPY_DISABLE_CPU_FEATURES",
                "AVX512F AVX512CD AVX512_KNL AVX512_KNM AVX512_SKX AVX512_CLX AVX512_CNL \
                 AVX512_ICL AVX512_SPR X86_V4",
            ),
        ]),
        false => BTreeMap::new(),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_python_cards_or_kernels_is_withheld_and_the_rest_is_not() {
        for name in [
            "PYTHONPATH",
            "PYTHONWARNINGS",
            "PYTHONHASHSEED",
            "MUJOCO_GL",
            "MUJOCO_EGL_DEVICE_ID",
            "PYOPENGL_PLATFORM",
            "EGL_VISIBLE_DEVICES",
            "CUDA_VISIBLE_DEVICES",
            "CUDA_DEVICE_ORDER",
            "VK_INSTANCE_LAYERS",
            "OPENBLAS_CORETYPE",
            "NPY_DISABLE_CPU_FEATURES",
            "NUMBA_DISABLE_JIT",
            "OMP_NUM_THREADS",
            "GALLIUM_DRIVER",
            "LD_LIBRARY_PATH",
        ] {
            assert!(is_withheld(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "TMPDIR", "HF_HOME", "UDVLA_HOME", "NUMBA_CACHE_DIR"] {
            assert!(!is_withheld(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_pinned_kernels_are_withheld_from_the_shell_first() {
        for name in kernels().keys() {
            assert!(is_withheld(OsStr::new(name)), "{name}");
        }
    }
}
