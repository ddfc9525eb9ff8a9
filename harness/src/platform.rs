//! Systems that the simulators run on.

use anyhow::Result;

use crate::exit::Refused;

/// Refuses a system that the simulators' packages do not exist for, before anything is downloaded
/// or started.
///
/// # Errors
/// [`Refused`] on anything but Linux on x86-64.
pub fn check() -> Result<()> {
    supported(std::env::consts::OS, std::env::consts::ARCH)
}

fn supported(system: &str, processor: &str) -> Result<()> {
    if (system, processor) == ("linux", "x86_64") {
        return Ok(());
    }
    let text = format!(
        "the simulators do not run on {system} with a processor of type {processor}: their \
         packages (SAPIEN, PyBullet, libtorch) are locked for Linux on x86-64"
    );
    Err(Refused::new(text)
        .hint("use a Linux machine or container with an x86-64 processor; `tables`, `compare` and the other commands on results work here")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_os_and_arm_are_refused_with_the_reason() {
        assert!(supported("linux", "x86_64").is_ok());
        for (system, processor) in [("macos", "x86_64"), ("macos", "aarch64"), ("linux", "aarch64")]
        {
            let text = supported(system, processor).unwrap_err().to_string();
            assert!(text.contains(system) && text.contains(processor), "{text}");
        }
    }
}
