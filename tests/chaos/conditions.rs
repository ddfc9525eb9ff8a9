//! The state of the machine that a process starts in: disks, limits, descriptors, the clock.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;

use crate::kinds::Condition;

/// The library of [`compile_clock`].
const CLOCK: &str = "libclock.so";

/// Sets up a command so that it finds `condition`; the library for the clock is in `folder`.
pub fn prepare(
    command: &mut Command,
    condition: Condition,
    rng: &mut Rng,
    folder: &Path,
) -> io::Result<()> {
    match condition {
        // The directory is on it already.
        Condition::SmallDisk => {}
        Condition::SmallFiles => limit(command, libc::RLIMIT_FSIZE, rng.u64(1024..12 << 10)),
        Condition::FewDescriptors => limit(command, libc::RLIMIT_NOFILE, rng.u64(12..40)),
        Condition::ClosedOutput => close_output(command),
        Condition::FullOutput => {
            let full = || File::options().write(true).open("/dev/full");
            if rng.bool() {
                command.stdout(full()?);
            } else {
                command.stderr(full()?);
            }
        }
        Condition::BrokenPipe => {
            let (reader, writer) = io::pipe()?;
            drop(reader);
            command.stdout(writer.try_clone()?).stderr(writer);
        }
        Condition::Clock => {
            let seed = rng.u32(1..).to_string();
            command.env("LD_PRELOAD", folder.join(CLOCK)).env("CHAOS_CLOCK_SEED", seed);
        }
    }
    Ok(())
}

fn limit(command: &mut Command, resource: libc::__rlimit_resource_t, value: u64) {
    // SAFETY: both calls are async-signal-safe and touch only the new process.
    unsafe {
        command.pre_exec(move || {
            // Without this, a file that is too large is a signal instead of an error.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            match libc::setrlimit(resource, &raw const limit) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
}

fn close_output(command: &mut Command) {
    command.stdin(Stdio::null());
    // SAFETY: async-signal-safe, and nothing uses these descriptors before the program starts.
    unsafe {
        command.pre_exec(|| {
            for descriptor in 0..3 {
                libc::close(descriptor);
            }
            Ok(())
        });
    }
}

/// A file system for the calling thread and what it starts, gone when they are.
pub struct SmallDisk(CString);

impl SmallDisk {
    /// Mounts it on a folder.
    ///
    /// # Errors
    /// Where this user may not mount.
    pub fn mount(folder: &Path, kibibytes: u64) -> io::Result<Self> {
        let target = CString::new(folder.as_os_str().as_bytes())?;
        // SAFETY: the mounts of this thread become its own, and no other thread's.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let null = std::ptr::null();
        // SAFETY: all strings end with a zero and live through the call.
        check(unsafe { libc::mount(null, c"/".as_ptr(), null, private, null.cast()) })?;
        let disk = Self(target);
        disk.set(0, kibibytes)?;
        Ok(disk)
    }

    /// Gives it plenty of space.
    pub fn enlarge(&self) -> io::Result<()> {
        self.set(libc::MS_REMOUNT, 64 << 10)
    }

    fn set(&self, flags: libc::c_ulong, kibibytes: u64) -> io::Result<()> {
        let options = CString::new(format!("size={kibibytes}k"))?;
        let kind = c"tmpfs".as_ptr();
        // SAFETY: all strings end with a zero and live through the call.
        let done =
            unsafe { libc::mount(kind, self.0.as_ptr(), kind, flags, options.as_ptr().cast()) };
        check(done)
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Compiles a library that moves the wall clock of a process into `folder`, with the linker that
/// Rust needs anyway.
pub fn compile_clock(folder: &Path) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/clock.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.join(CLOCK)).arg(source);
    let output = cc.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| io::Error::other(text.into_owned()))
}
