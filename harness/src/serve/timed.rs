//! A client's stream that never waits without end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A stream whose reads return after [`Timed::patience`] at the latest, and fail once a message has
/// taken too long.
///
/// A read that finds nothing in time is `WouldBlock`, after which the same message goes on.
#[derive(Debug)]
pub struct Timed {
    stream: TcpStream,
    patience: Duration,
    /// Longest time from a message's first byte to its last, and longest wait of a write.
    limit: Duration,
    begun: Option<Instant>,
}

impl Timed {
    /// A stream on which a message may take `limit`.
    ///
    /// # Errors
    /// When the socket takes no settings.
    pub fn new(stream: TcpStream, limit: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream, patience: Duration::from_millis(250), limit, begun: None })
    }

    /// Sets how long a read waits for bytes; returns how long it waited before.
    pub fn set_patience(&mut self, patience: Duration) -> Duration {
        std::mem::replace(&mut self.patience, patience)
    }

    /// Marks the end of a message: the next byte begins another.
    pub fn message_ended(&mut self) {
        self.begun = None;
    }

    /// Sends no more and drops what still comes, for `time` at most: a socket that is closed with
    /// unread bytes would take back what it sent last.
    pub fn linger(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        let mut buffer = [0; 1 << 16];
        let mut is_open = self.stream.shutdown(Shutdown::Write).is_ok();
        while is_open && Instant::now() < deadline {
            is_open = match self.stream.read(&mut buffer) {
                Ok(count) => count > 0,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.begun.is_some_and(|begun| begun.elapsed() > self.limit) {
            let text = format!("a message took more than {} s", self.limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        self.stream.set_read_timeout(Some(self.patience))?;
        // A wait with a time limit is not taken up again after a signal.
        let read = self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })?;
        self.begun.get_or_insert_with(Instant::now);
        Ok(read)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.write(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = "the client does not read its answers";
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
