//! Reading from a worker: with a deadline, and an eye on its process.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::memory::Memory;

/// How often a wait for a reply looks after the process.
const GLANCE: Duration = Duration::from_millis(250);

/// Whether there are bytes to read without waiting.
pub(crate) fn is_readable(stream: &UnixStream) -> bool {
    let mut descriptor = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the array of one outlives the call.
    unsafe { libc::poll(&raw mut descriptor, 1, 0) };
    // A closed socket is readable as well; the exchange that follows says what happened.
    descriptor.revents & libc::POLLIN != 0 && descriptor.revents & libc::POLLHUP == 0
}

/// A stream with one deadline for all reads together, which ends with its process.
pub(crate) struct Waiting<'a> {
    pub stream: &'a UnixStream,
    pub child: &'a mut Child,
    pub memory: Option<&'a mut Memory>,
    pub deadline: Instant,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ended = false;
        loop {
            let remaining = self.deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(remaining.min(GLANCE)))?;
            match (&mut &*self.stream).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            // A process that the worker left behind may keep the socket open.
            if ended {
                return Ok(0);
            }
            ended = self.child.try_wait()?.is_some();
            if self.memory.as_mut().is_some_and(|memory| memory.is_far_above(self.child.id())) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
        }
    }
}
