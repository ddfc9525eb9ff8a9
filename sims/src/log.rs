//! The log of a worker: what it prints, up to a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Length of a log at which further output is left out, bytes.
pub const LIMIT: u64 = 64 << 20;
/// How much of the end is kept all the same, bytes.
const TAIL: usize = 256 << 10;

/// A log that is being written. A thread copies from a pipe to the file, so that a worker that
/// prints without end fills neither the disk nor the pipe.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    tail: Arc<Mutex<Vec<u8>>>,
    copying: Option<JoinHandle<()>>,
}

impl Log {
    /// Appends to the file at `path`, until it is `limit` bytes long. Output goes into the pipe.
    pub fn start(path: &Path, limit: u64) -> io::Result<(Self, PipeWriter)> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let room = limit.saturating_sub(file.metadata()?.len());
        let (reader, writer) = io::pipe()?;
        let tail = Arc::new(Mutex::new(vec![]));
        let (ours, copy) = (Arc::clone(&tail), Copy { file: file.try_clone()?, room, left_out: 0 });
        let copying = std::thread::Builder::new()
            .name("worker-log".into())
            .spawn(move || copy.run(reader, &ours))?;
        Ok((Self { file, tail, copying: Some(copying) }, writer))
    }

    /// Writes a line of the harness itself, whatever the limit.
    pub fn note(&mut self, text: &str) {
        // The log is help for people: a run does not end because it cannot be written.
        let _ = writeln!(self.file, "udvla-eval: {text}");
    }

    /// Waits until everything that was printed is in the file, at most `limit`: until every
    /// process that has the pipe open has ended.
    pub fn finish(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let is_copying = |thread: &JoinHandle<()>| !thread.is_finished();
        while self.copying.as_ref().is_some_and(is_copying) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The end of this worker's output, without that of earlier workers in the same file.
    pub fn last_words(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail[tail.len().saturating_sub(TAIL)..]).into_owned()
    }
}

/// The thread's side.
struct Copy {
    file: File,
    /// Bytes that still fit, and bytes that did not.
    room: u64,
    left_out: u64,
}

impl Copy {
    fn run(mut self, mut reader: PipeReader, tail: &Mutex<Vec<u8>>) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = read(&mut reader, &mut buffer) {
            self.add(&buffer[..count]);
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(&buffer[..count]);
            if tail.len() > 2 * TAIL {
                let surplus = tail.len() - TAIL;
                tail.drain(..surplus);
            }
        }
        self.end(&tail.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn add(&mut self, bytes: &[u8]) {
        let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
        // A full disk must not block the worker; records report it.
        let _ = self.file.write_all(&bytes[..fits]);
        self.room -= fits as u64;
        if self.left_out == 0 && fits < bytes.len() {
            let _ = writeln!(self.file, "\nudvla-eval: the log is full; only the end follows");
        }
        self.left_out += (bytes.len() - fits) as u64;
    }

    /// Writes the end of what was left out.
    fn end(mut self, tail: &[u8]) {
        if self.left_out == 0 {
            return;
        }
        let kept = usize::try_from(self.left_out).map_or(TAIL, |left| left.min(TAIL));
        let kept = &tail[tail.len().saturating_sub(kept)..];
        let count = self.left_out - kept.len() as u64;
        if count > 0 {
            let _ = writeln!(self.file, "udvla-eval: {count} bytes were left out here");
        }
        let _ = self.file.write_all(kept);
    }
}

fn read(reader: &mut PipeReader, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in the log after `text` was printed by one worker.
    fn printed(path: &Path, limit: u64, text: &[u8]) -> (String, String) {
        let (mut log, mut pipe) = Log::start(path, limit).unwrap();
        pipe.write_all(text).unwrap();
        drop(pipe);
        log.finish(Duration::from_secs(10));
        (std::fs::read_to_string(path).unwrap(), log.last_words())
    }

    #[test]
    fn a_short_output_is_kept_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (text, words) = printed(&folder.path().join("log"), 100, b"hello\n");
        assert_eq!((text.as_str(), words.as_str()), ("hello\n", "hello\n"));
    }

    #[test]
    fn a_flood_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let flood: Vec<u8> = (0..300_000).flat_map(|n| format!("{n:07}\n").into_bytes()).collect();
        let (text, words) = printed(&folder.path().join("log"), 1 << 20, &flood);
        assert!(text.len() < (1 << 20) + TAIL + 200, "{} bytes", text.len());
        assert!(text.starts_with("0000000\n0000001\n"));
        assert!(text.ends_with("0299998\n0299999\n") && words.ends_with("0299999\n"));
        assert!(text.contains("the log is full"));
        let left_out = flood.len() - (1 << 20) - TAIL;
        assert!(
            text.contains(&format!("udvla-eval: {left_out} bytes were left out")),
            "{left_out}"
        );
    }

    #[test]
    fn a_full_log_keeps_the_last_words_of_the_next_worker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        printed(&path, 4, b"first worker\n");
        let (text, words) = printed(&path, 4, b"second worker\n");
        assert_eq!(words, "second worker\n");
        assert!(text.ends_with("only the end follows\nsecond worker\n"), "{text}");
    }
}
