//! What usually lies behind words that a simulator or its driver prints or raises.

/// Words, and what to do about their usual cause.
const KNOWN: [(&str, &str); 9] = [
    (
        "Cannot find a suitable rendering device",
        "no Vulkan driver that SAPIEN can draw with: `udvla-eval setup simpler` provides one for the processor; for an NVIDIA card install libvulkan1 libegl1 libxext6, and start containers with NVIDIA_DRIVER_CAPABILITIES=all",
    ),
    (
        "ErrorExtensionNotPresent",
        "the Vulkan driver lacks an extension and our layer is not in use: leave VK_ICD_FILENAMES unset and pass `--renderer lavapipe`",
    ),
    (
        "enumeratePhysicalDevices: ErrorInitializationFailed",
        "the graphics part of the NVIDIA driver is missing: install the full driver, libvulkan1 libegl1 libxext6, and start containers with NVIDIA_DRIVER_CAPABILITIES=all; or pass `--renderer lavapipe`",
    ),
    ("libvulkan.so.1", "Vulkan's loader is missing: sudo apt-get install libvulkan1"),
    (
        "No module named 'pkg_resources'",
        "SAPIEN needs setuptools before 81: `udvla-eval setup simpler` makes an environment with it",
    ),
    (
        "compute_forward_kinematics",
        "SAPIEN's kinematics crash with NumPy 2: `udvla-eval setup simpler` makes an environment with NumPy 1",
    ),
    (
        "Failed to load non-convex mesh",
        "a mesh of the scene is missing: check the checkout that `--simpler-root` names",
    ),
    (
        "MemoryError",
        "the machine has too little memory for so many simulators: pass a smaller `--workers`",
    ),
    (
        "Fatal Python error: Segmentation fault",
        "native code of the simulator or its graphics driver crashed: the worker's log ends with the call that it was in",
    ),
];

/// The usual cause of what `text` says, if it is a known one; the more particular comes first.
pub fn likely_cause(text: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(words, _)| text.contains(words)).map(|(_, cause)| *cause)
}

/// The name of a signal that ends processes, with what it usually means.
pub fn signal_words(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "a segmentation fault",
        libc::SIGABRT => "it aborted itself",
        libc::SIGBUS => "a bus error: a full or failing disk or shared memory",
        libc::SIGILL => "an instruction that this processor does not have",
        libc::SIGFPE => "an arithmetic fault",
        libc::SIGKILL => "killed from outside: often for lack of memory",
        libc::SIGTERM => "asked to end from outside",
        _ => "a signal from outside",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_in_a_known_function_is_more_than_a_crash() {
        let stack = "Fatal Python error: Segmentation fault\n  File \"ik.py\", line 3 in compute_forward_kinematics";
        assert!(likely_cause(stack).unwrap().contains("NumPy 2"));
        let stack = "Fatal Python error: Segmentation fault\n  File \"other.py\", line 3 in step";
        assert!(likely_cause(stack).unwrap().contains("native code"));
        assert_eq!(likely_cause("ValueError: a chunk without actions"), None);
    }
}
