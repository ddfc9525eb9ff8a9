//! Splits a worker into the process that works and one that ends whatever it leaves running.
//!
//! A simulator may start processes in sessions of their own, which survive a signal to the
//! worker's process group, and lose their parent, which hides them from a walk over descendants.
//! The supervisor adopts such orphans (`PR_SET_CHILD_SUBREAPER`), so they stay in its tree. When
//! the worker ends, or the harness closes its end of the socket, also by being killed, the
//! supervisor kills the tree and ends as the worker did. The worker ends with its supervisor.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::tree;

/// Forks. Returns in the process that is to serve the wire on fd 0; the other one, whose id the
/// harness knows, supervises it and exits from inside this function.
///
/// # Safety
/// Call it first in `main`: no other thread may run.
///
/// # Errors
/// When there can be no further process.
pub unsafe fn split() -> io::Result<()> {
    // SAFETY: these calls change attributes of this process alone; without other threads, the
    // child of `fork` may do anything.
    unsafe {
        let supervisor = libc::getpid();
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() != supervisor {
                    libc::_exit(1);
                }
                Ok(())
            }
            worker => {
                // It must outlive the harness, to clean up.
                libc::prctl(libc::PR_SET_PDEATHSIG, 0);
                end_as(supervise(worker))
            }
        }
    }
}

/// Waits until the worker ends or the harness is gone, kills the tree, and returns the status
/// that the worker ended with.
fn supervise(worker: libc::pid_t) -> libc::c_int {
    let children = child_signals();
    let status = loop {
        if let Some(status) = reap(worker) {
            break status;
        }
        if harness_is_gone(children.as_ref()) {
            break libc::SIGKILL;
        }
    };
    tree::kill_all(|| tree::descendants(std::process::id()));
    status
}

/// A descriptor that is readable when a child has ended. Blocks the signal first, so that none is
/// missed between [`reap`] and the next wait.
fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialized by `sigemptyset`; a descriptor that is returned is ours.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
        }
    }
}

/// Waits for every child that has ended; the worker's status if it is one of them.
fn reap(worker: libc::pid_t) -> Option<libc::c_int> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call; every child of this process is its own to wait for.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            id if id == worker => return Some(status),
            id if id > 0 => {}
            _ => return None,
        }
    }
}

/// Sleeps until a child has ended or the harness closed its end of fd 0; true for the latter.
fn harness_is_gone(children: Result<&OwnedFd, &io::Error>) -> bool {
    // Without a descriptor for children, the time limit lets the caller look for them.
    let (signals, limit_ms) = children.map_or((-1, 100), |fd| (fd.as_raw_fd(), 10_000));
    let poll = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut descriptors = [poll(0, 0), poll(signals, libc::POLLIN)];
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: array and buffer outlive the calls; a closed descriptor is an error, not a fault.
    unsafe {
        libc::poll(descriptors.as_mut_ptr(), 2, limit_ms);
        libc::read(signals, info.as_mut_ptr().cast(), info.len());
    }
    descriptors[0].revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Ends this process with that status: an exit code or a signal.
fn end_as(status: libc::c_int) -> ! {
    if libc::WIFSIGNALED(status) {
        let no_dump = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: attributes of this process alone; the core dump is the worker's to write.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const no_dump);
            libc::signal(libc::WTERMSIG(status), libc::SIG_DFL);
            libc::raise(libc::WTERMSIG(status));
        }
    }
    std::process::exit(libc::WEXITSTATUS(status))
}
