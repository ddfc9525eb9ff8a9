//! Likely causes of known error messages of simulators and their drivers.

/// A part of the message, and its likely cause with the remedy. Specific messages come first.
const KNOWN: [(&str, &str); 9] = [
    (
        "Cannot find a suitable rendering device",
        "no Vulkan driver that SAPIEN can render with: `scripts/lavapipe` installs one for the CPU; for an NVIDIA GPU install libvulkan1 libegl1 libxext6, and start containers with NVIDIA_DRIVER_CAPABILITIES=all",
    ),
    (
        "ErrorExtensionNotPresent",
        "the Vulkan driver lacks an extension and the layer that hides this is not active: unset VK_ICD_FILENAMES and pass `--renderer lavapipe`",
    ),
    (
        "enumeratePhysicalDevices: ErrorInitializationFailed",
        "the NVIDIA driver is installed without its graphics libraries: install the full driver, libvulkan1 libegl1 libxext6, and start containers with NVIDIA_DRIVER_CAPABILITIES=all; or pass `--renderer lavapipe`",
    ),
    ("libvulkan.so.1", "the Vulkan loader is missing: sudo apt-get install libvulkan1"),
    (
        "No module named 'pkg_resources'",
        "SAPIEN needs setuptools before version 81: `udvla-eval setup simpler` creates an environment with it",
    ),
    (
        "compute_forward_kinematics",
        "SAPIEN's kinematics crash with NumPy 2: `udvla-eval setup simpler` creates an environment with NumPy 1",
    ),
    (
        "Failed to load non-convex mesh",
        "a mesh of the scene is missing: check the checkout given by `--simpler-root`",
    ),
    ("MemoryError", "not enough memory for this many simulators: pass a smaller `--workers`"),
    (
        "Fatal Python error: Segmentation fault",
        "native code of the simulator or its graphics driver crashed: the worker's log ends with the Python stack",
    ),
];

/// Likely cause of an error whose message or log contains a known text.
pub fn likely_cause(text: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(message, _)| text.contains(message)).map(|(_, cause)| *cause)
}

/// Name of a fatal signal with its usual meaning.
pub fn describe_signal(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "a segmentation fault",
        libc::SIGABRT => "an abort",
        libc::SIGBUS => "a bus error: disk or shared memory full or failing",
        libc::SIGILL => "an instruction that this CPU does not support",
        libc::SIGFPE => "an arithmetic error",
        libc::SIGKILL => "killed from outside: often out of memory",
        libc::SIGTERM => "a request from outside to terminate",
        _ => "a signal from outside",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_in_a_known_function_has_a_specific_cause() {
        let stack = "Fatal Python error: Segmentation fault\n  File \"ik.py\", line 3 in compute_forward_kinematics";
        assert!(likely_cause(stack).unwrap().contains("NumPy 2"));
        let stack = "Fatal Python error: Segmentation fault\n  File \"other.py\", line 3 in step";
        assert!(likely_cause(stack).unwrap().contains("native code"));
        assert_eq!(likely_cause("ValueError: a chunk without actions"), None);
    }
}
