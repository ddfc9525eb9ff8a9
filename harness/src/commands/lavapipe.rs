//! Mesa's processor driver for `setup simpler`, into a folder of our own.
//!
//! SAPIEN needs lavapipe of Mesa 25 or later. Where the distribution's own package is older, as
//! on Debian 12, the one of its backports is fetched by apt from the mirror that the machine
//! uses anyway and unpacked here: no root is needed, and the system's Mesa stays as it is.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::json;

use crate::exit::Refused;
use crate::vulkan;

const PACKAGE: &str = "mesa-vulkan-drivers";
const LIBRARY: &str = "libvulkan_lvp.so";
/// The first version of Mesa that is known to work.
const LEAST: u32 = 25;
const BY_HAND: &str = "install the package mesa-vulkan-drivers 25 or later with your system's package manager; the scripted expert needs none";

/// Provides lavapipe, unless it or an NVIDIA driver is there; says which.
///
/// # Errors
/// [`Refused`] when it cannot be had.
pub fn provide() -> Result<()> {
    if let Some(manifest) = vulkan::nvidia() {
        eprintln!("simpler: draws on the graphics card, by {}", manifest.display());
        return Ok(());
    }
    if let Some(manifest) = vulkan::lavapipe()? {
        eprintln!("simpler: draws on the processor, by {}", manifest.display());
        return Ok(());
    }
    let folder = vulkan::lavapipe_folder()?;
    let part = folder.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_dir_all(&part);
    let made = fetch(&part).and_then(|package| unpack(&package, &part));
    let moved = made.and_then(|version| {
        let driver = part.join("driver");
        match fs::rename(&driver, &folder) {
            // Another process made the same in the meantime.
            Err(_) if folder.join(vulkan::LAVAPIPE).exists() => {}
            renamed => {
                renamed.with_context(|| format!("cannot make `{}`", folder.display()))?;
            }
        }
        Ok(version)
    });
    let _ = fs::remove_dir_all(&part);
    let version = moved?;
    eprintln!("simpler: draws on the processor, by lavapipe {version} in {}", folder.display());
    Ok(())
}

/// Downloads the package from the distribution's own index where that is new enough, else from
/// its backports.
fn fetch(part: &Path) -> Result<PathBuf> {
    for folder in ["lists/partial", "cache/archives/partial", "download"] {
        let folder = part.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let own = say(part, "apt-cache", &["show", "--no-all-versions", PACKAGE], &[]);
    let own = own.unwrap_or_default();
    let version = own.lines().find_map(|line| line.strip_prefix("Version: "));
    let private = match version.and_then(major) {
        Some(major) if major >= LEAST => vec![],
        _ => backports(part)?,
    };
    eprintln!("simpler: fetching {PACKAGE}, about 11 MB");
    say(&part.join("download"), "apt-get", &["download", PACKAGE], &options(part, &private))?;
    let mut files = fs::read_dir(part.join("download"))?.filter_map(Result::ok);
    let file = files.find(|entry| entry.path().extension() == Some(OsStr::new("deb")));
    Ok(file.context("apt-get downloaded nothing")?.path())
}

/// Options that let apt see the backports of this Debian release and nothing else, with lists of
/// their own.
fn backports(part: &Path) -> Result<Vec<String>> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let codename = value("VERSION_CODENAME").filter(|_| value("ID").as_deref() == Some("debian"));
    let Some(codename) = codename else {
        let text = format!("this system's {PACKAGE} is older than {LEAST}");
        return Err(Refused::new(text).hint(BY_HAND).into());
    };
    let format = "$(REPO_URI) $(CODENAME) $(COMPONENT)";
    let targets = say(part, "apt-get", &["indextargets", "--format", format], &[])?;
    let mirror = targets.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [address, name, "main"] if name == codename => Some(address.to_owned()),
        _ => None,
    });
    let Some(mirror) = mirror else {
        let text = format!("apt's sources name no mirror of {codename}");
        return Err(Refused::new(text).hint(BY_HAND).into());
    };
    let mut text =
        format!("Types: deb\nURIs: {mirror}\nSuites: {codename}-backports\nComponents: main\n");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    if Path::new(keys).exists() {
        text += &format!("Signed-By: {keys}\n");
    }
    let file = part.join("backports.sources");
    fs::write(&file, text)?;
    let private = vec![
        format!("Dir::Etc::SourceList={}", file.display()),
        "Dir::Etc::SourceParts=-".into(),
        format!("Dir::State::Lists={}", part.join("lists").display()),
    ];
    say(part, "apt-get", &["update"], &options(part, &private))?;
    Ok(private)
}

/// apt's options: short waits, a cache of our own, no change of user that could not write here.
fn options(part: &Path, private: &[String]) -> Vec<String> {
    let own = [
        format!("Dir::Cache={}", part.join("cache").display()),
        "APT::Sandbox::User=root".into(),
        "Acquire::Retries=1".into(),
        "Acquire::http::Timeout=20".into(),
    ];
    own.into_iter().chain(private.iter().cloned()).collect()
}

/// Unpacks the driver and writes its manifest; returns its version.
fn unpack(package: &Path, part: &Path) -> Result<String> {
    let file = package.to_string_lossy().into_owned();
    let version = say(part, "dpkg-deb", &["--field", &file, "Version"], &[])?.trim().to_owned();
    if major(&version).is_none_or(|major| major < LEAST) {
        let text = format!("apt offers {PACKAGE} {version}, and {LEAST} or later is needed");
        return Err(Refused::new(text).hint(BY_HAND).into());
    }
    let tree = part.join("tree");
    say(part, "dpkg-deb", &["--extract", &file, &tree.to_string_lossy()], &[])?;
    let driver = part.join("driver");
    fs::create_dir(&driver)?;
    let library = find(&tree, LIBRARY).with_context(|| format!("{PACKAGE} has no {LIBRARY}"))?;
    fs::rename(library, driver.join(LIBRARY))?;
    let missing = missing(&driver.join(LIBRARY))?;
    if !missing.is_empty() {
        let text = format!("lavapipe needs {}, which this system lacks", missing.join(", "));
        let hint = format!("sudo apt-get install --no-install-recommends {PACKAGE} libvulkan1");
        return Err(Refused::new(text).hint(hint).into());
    }
    // A path with a slash is looked for beside the manifest.
    let manifest = json!({
        "file_format_version": "1.0.0",
        "ICD": { "library_path": format!("./{LIBRARY}"), "api_version": "1.4.0" },
    });
    fs::write(driver.join(vulkan::LAVAPIPE), format!("{manifest:#}\n"))?;
    fs::write(driver.join("version"), format!("{PACKAGE} {version}\n"))?;
    Ok(version)
}

/// Libraries that the driver needs and the system does not have.
fn missing(library: &Path) -> Result<Vec<String>> {
    let listed = say(Path::new("/"), "ldd", &[&library.to_string_lossy()], &[])?;
    let names = listed.lines().filter_map(|line| line.trim().strip_suffix("=> not found"));
    Ok(names.map(|name| name.trim().to_owned()).collect())
}

/// The file of that name somewhere below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.filter_map(Result::ok).collect();
    entries.into_iter().find_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => find(&entry.path(), name),
        _ => (entry.file_name() == name).then(|| entry.path()),
    })
}

/// 25 of `25.0.7-2~bpo12+1`.
fn major(version: &str) -> Option<u32> {
    let version = version.rsplit_once(':').map_or(version, |(_, version)| version);
    version.split('.').next()?.parse().ok()
}

/// What a program prints, run in `folder`; `options` go before its words with `-o`.
fn say(folder: &Path, program: &str, words: &[&str], options: &[String]) -> Result<String> {
    let options = options.iter().flat_map(|option| ["-o", option.as_str()]);
    let output = Command::new(program)
        .args(options)
        .args(words)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Refused::new(format!("cannot run `{program}`")).because(error).hint(BY_HAND)
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let text = format!("`{program} {}` failed ({}): {last}", words.join(" "), output.status);
    Err(Refused::new(text).hint(BY_HAND).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_stands_before_the_first_dot() {
        for (version, expected) in [
            ("25.0.7-2~bpo12+1", Some(25)),
            ("22.3.6-1+deb12u2", Some(22)),
            ("1:25.2.8-0ubuntu0.24.04.1", Some(25)),
            ("unknown", None),
        ] {
            assert_eq!(major(version), expected, "{version}");
        }
    }
}
