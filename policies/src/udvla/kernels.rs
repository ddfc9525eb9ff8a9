//! Which kernels libtorch's matrix products take on a processor.

use std::ffi::c_int;

/// MKL's question, asked inside libtorch, whether the processor is Intel's. It gives others its kernels
/// without AVX-512, at 40 % of the speed. The answer here lets MKL decide by the instructions that the
/// processor has; without AVX-512 it is the true one, so that nothing changes.
///
/// A program's own function comes before one of the same name in a library, if the program exports it
/// (`policies/build.rs`, `harness/build.rs`).
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
pub extern "C" fn mkl_serv_intel_cpu_true() -> c_int {
    c_int::from(has_avx512() || is_intel())
}

/// Keeps the function in the program although only a library calls it.
pub fn keep() {
    #[cfg(target_arch = "x86_64")]
    std::hint::black_box(mkl_serv_intel_cpu_true as extern "C" fn() -> c_int);
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}
