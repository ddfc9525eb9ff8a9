//! Who may write to a run directory: one process, on whatever machine.
//!
//! A lock (`flock`) decides between processes of one machine, and between machines where the file
//! system passes it on. Some cluster file systems have none, or one for each machine. So the owner
//! also leaves a file with its name, which it touches as long as it lives: a heartbeat. Ages are
//! differences between times that the file system gave, so clocks need not agree.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use udvla_results::run::files::{read_inside, write_atomic};
use udvla_results::run::seal::new_run_id;

use crate::exit::Refused;
use crate::machine;
use crate::plan::TakeOver;

/// The lock's file; it stays empty.
pub(super) const LOCK: &str = "lock";
/// The owner's file.
pub(super) const OWNER: &str = "owner.json";
/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(10);
/// Age of a heartbeat after which its owner is taken for dead.
const DEAD: Duration = Duration::from_secs(60);
/// Time in which a contender that saw the same dead owner overwrites it too: the last one stays.
const SETTLE: Duration = Duration::from_secs(2);

/// The right to write to a run directory, given back when it is dropped.
#[derive(Debug)]
pub struct Owner {
    directory: PathBuf,
    card: Card,
    beat: Option<(Sender<()>, JoinHandle<()>)>,
    _lock: Option<File>,
}

/// What an owner says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Card {
    /// Random, new for every process that owns the directory.
    id: String,
    host: String,
    process: u32,
    /// Which start of the machine, and which namespace of processes, the number belongs to.
    boot: String,
    namespace: String,
}

/// An owner that was there before.
struct Found {
    card: Card,
    /// Since its last heartbeat.
    age: Duration,
}

impl Owner {
    /// Takes a directory that exists.
    ///
    /// # Errors
    /// [`Refused`] when another process owns it, or may own it.
    pub fn take(directory: &Path, take_over: TakeOver) -> Result<Self> {
        let unusable = || format!("cannot use `{}` as a run directory", directory.display());
        let lock = open_lock(directory, true).with_context(unusable)?;
        let lock = match try_for_a_moment(&lock) {
            Ok(()) => Some(lock),
            Err(TryLockError::WouldBlock) => {
                return Err(in_use(directory, "another process").into());
            }
            Err(TryLockError::Error(error)) if is_without_locks(&error) => None,
            Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
        };
        let card = Card::own()?;
        let found = found(directory).with_context(unusable)?;
        if let Some(found) = &found {
            found.check(directory, &card, lock.is_some(), take_over)?;
        }
        let text = serde_json::to_vec(&card).context("an owner's file is plain data")?;
        if lock.is_some() {
            write_atomic(&directory.join(OWNER), &text).with_context(unusable)?;
        } else {
            claim(directory, &text, found.is_some()).with_context(unusable)?;
        }
        let mut owner = Self { directory: directory.to_owned(), card, beat: None, _lock: lock };
        // Without a lock another process can have been faster.
        owner.check().map_err(|_| in_use(directory, "another process"))?;
        owner.beat = Some(beat(directory.to_owned(), owner.card.clone()));
        Ok(owner)
    }

    /// Checks that nobody has taken the directory over.
    ///
    /// # Errors
    /// When somebody has: this process was taken for dead. It must write nothing more.
    pub fn check(&self) -> Result<()> {
        match read(&self.directory)? {
            Some(card) if card == self.card => Ok(()),
            Some(card) => {
                anyhow::bail!("`{}` was taken over by {card}", self.directory.display())
            }
            None => anyhow::bail!(
                "`{}` was taken over: its `{OWNER}` is gone",
                self.directory.display()
            ),
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beat.take() {
            drop(stop);
            let _ = thread.join();
        }
        if self.check().is_ok() {
            let _ = fs::remove_file(self.directory.join(OWNER));
        }
    }
}

/// Whether a process plays the run in a directory, as far as lock and heartbeat tell.
///
/// # Errors
/// When they cannot be asked.
pub fn is_in_use(directory: &Path) -> Result<bool> {
    let unreadable = || format!("cannot tell who uses `{}`", directory.display());
    let Ok(lock) = open_lock(directory, false) else { return Ok(false) };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => return Ok(true),
        Err(TryLockError::Error(error)) if !is_without_locks(&error) => {
            return Err(error).with_context(unreadable);
        }
        _ => {}
    }
    let Some(found) = found_if_writable(directory).with_context(unreadable)? else {
        return Ok(false);
    };
    Ok(found.age < DEAD && !found.card.is_dead_here(&Card::own()?))
}

impl Found {
    /// Refuses where the owner lives, or may live.
    fn check(
        &self,
        directory: &Path,
        own: &Card,
        locked: bool,
        take_over: TakeOver,
    ) -> Result<(), Refused> {
        let Self { card, age } = self;
        // Processes of one machine see each other's locks.
        if card.is_dead_here(own) || (locked && card.is_of_the_machine_of(own)) {
            return Ok(());
        }
        let seconds = age.as_secs();
        if *age < DEAD {
            return Err(in_use(directory, &format!("{card}, which was seen {seconds} s ago")));
        }
        match (locked, take_over) {
            (true, _) | (_, TakeOver::Yes) => Ok(()),
            (false, TakeOver::No) => Err(Refused::new(format!(
                "`{}` belongs to {card}, which was last seen {seconds} s ago",
                directory.display()
            ))
            .hint("if that process is certainly gone, repeat the command with `--take-over`")),
        }
    }
}

impl Card {
    fn own() -> Result<Self> {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Ok(Self {
            id: new_run_id().context("cannot make an id for this process")?,
            host: machine::host().unwrap_or_default(),
            process: std::process::id(),
            boot: text("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.to_string_lossy().into_owned(),
        })
    }

    fn is_of_the_machine_of(&self, other: &Self) -> bool {
        (&self.host, &self.boot) == (&other.host, &other.boot)
    }

    /// Whether it is a process of this machine that is certainly gone.
    fn is_dead_here(&self, own: &Self) -> bool {
        self.host == own.host
            && (self.boot != own.boot
                || (self.namespace == own.namespace
                    && !Path::new(&format!("/proc/{}", self.process)).exists()))
    }
}

impl std::fmt::Display for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on `{}`", self.process, self.host)
    }
}

/// Tries again for half a second: who only asks whether a directory is in use holds its lock for an
/// instant.
fn try_for_a_moment(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..10 {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            tried => return tried,
        }
    }
    lock.try_lock()
}

/// The lock's file. A directory may come from somebody else: no link is followed, and the other end of
/// a FIFO not waited for.
fn open_lock(directory: &Path, create: bool) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(create)
        .create(create)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(directory.join(LOCK))?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(format!("`{LOCK}` is not a regular file"))),
    }
}

fn in_use(directory: &Path, by: &str) -> Refused {
    Refused::new(format!("`{}` is in use by {by}", directory.display()))
        .hint("wait for it to end, or name a new folder with `--out`")
}

/// Whether the file system has no locks, rather than being broken.
fn is_without_locks(error: &io::Error) -> bool {
    let code = error.raw_os_error().unwrap_or_default();
    [libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOTSUP, libc::ENOLCK].contains(&code)
}

/// The owner's file without a lock to protect it: only one of several processes gets it.
fn claim(directory: &Path, text: &[u8], replaces: bool) -> io::Result<()> {
    let path = directory.join(OWNER);
    if !replaces {
        return match File::create_new(&path) {
            Ok(mut file) => file.write_all(text).and_then(|()| file.sync_all()),
            // Somebody was faster; the check that follows says who.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        };
    }
    write_atomic(&path, text)?;
    std::thread::sleep(SETTLE);
    Ok(())
}

fn read(directory: &Path) -> Result<Option<Card>> {
    match read_inside(directory, Path::new(OWNER)) {
        // An owner's file is written once; what cannot be parsed is being written.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error)
            .with_context(|| format!("cannot read `{OWNER}` in `{}`", directory.display())),
    }
}

/// The owner that a directory has, and how long it has been silent: a file written now tells what
/// time the file system has.
fn found(directory: &Path) -> Result<Option<Found>> {
    let Some(card) = read(directory)? else { return Ok(None) };
    let mut probe = tempfile::Builder::new().prefix(".tmp").tempfile_in(directory)?;
    probe.write_all(b"now")?;
    probe.as_file().sync_all()?;
    let now = probe.as_file().metadata()?.modified()?;
    let then = File::open(directory.join(OWNER))?.metadata()?.modified()?;
    let age = now.duration_since(then);
    Ok(Some(Found { card, age: age.unwrap_or_default() }))
}

/// As [`found`], with this machine's clock where the directory cannot be written to.
fn found_if_writable(directory: &Path) -> Result<Option<Found>> {
    if let Ok(found) = found(directory) {
        return Ok(found);
    }
    let Some(card) = read(directory)? else { return Ok(None) };
    let age = fs::metadata(directory.join(OWNER))?.modified()?.elapsed();
    Ok(Some(Found { card, age: age.unwrap_or_default() }))
}

/// Touches the owner's file until the sender is dropped or the file is somebody else's.
fn beat(directory: PathBuf, card: Card) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let text = serde_json::to_vec(&card).unwrap_or_default();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            if !matches!(read(&directory), Ok(Some(found)) if found == card) {
                return;
            }
            // The same bytes again: the file system gives the time.
            let file = File::options().write(true).open(directory.join(OWNER));
            let _ = file.and_then(|mut file| file.write_all(&text));
        }
    });
    (stop, thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(directory: &Path, card: &Card, age: u64) {
        let path = directory.join(OWNER);
        fs::write(&path, serde_json::to_vec(card).unwrap()).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    fn elsewhere() -> Card {
        let own = Card::own().unwrap();
        Card { host: "node-07".into(), boot: "another".into(), process: 4711, ..own }
    }

    #[test]
    fn an_owner_elsewhere_is_believed_while_its_heart_beats_whatever_the_lock_says() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        leave(directory, &elsewhere(), 12);
        for take_over in [TakeOver::No, TakeOver::Yes] {
            let error = Owner::take(directory, take_over).unwrap_err().to_string();
            assert!(
                error.contains("in use by process 4711 on `node-07`, which was seen 1"),
                "{error}"
            );
        }
        assert!(is_in_use(directory).unwrap());
        // With a lock that is free, a silent owner is dead.
        leave(directory, &elsewhere(), 70);
        assert!(!is_in_use(directory).unwrap());
        let owner = Owner::take(directory, TakeOver::No).unwrap();
        owner.check().unwrap();
        drop(owner);
        assert!(!directory.join(OWNER).exists());
    }

    #[test]
    fn without_a_lock_only_the_user_says_that_an_owner_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let own = Card::own().unwrap();
        let check = |card: Card, seconds, take_over| {
            let age = Duration::from_secs(seconds);
            Found { card, age }.check(folder.path(), &own, false, take_over)
        };
        let refused = check(elsewhere(), 70, TakeOver::No).unwrap_err();
        assert!(refused.next_step().unwrap().contains("--take-over"), "{refused}");
        assert!(check(elsewhere(), 70, TakeOver::Yes).is_ok());
        assert!(check(elsewhere(), 50, TakeOver::Yes).is_err());
        // Of this machine it is known, without a heartbeat.
        let dead = Card { process: u32::MAX, ..own.clone() };
        assert!(check(dead, 1, TakeOver::No).is_ok());
        let rebooted = Card { boot: "another".into(), ..own.clone() };
        assert!(check(rebooted, 1, TakeOver::No).is_ok());
        assert!(check(own.clone(), 1, TakeOver::No).is_err());
    }

    #[test]
    fn an_owner_that_was_taken_for_dead_notices_it() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::take(folder.path(), TakeOver::No).unwrap();
        leave(folder.path(), &elsewhere(), 0);
        let error = owner.check().unwrap_err().to_string();
        assert!(error.contains("taken over by process 4711 on `node-07`"), "{error}");
        drop(owner);
        assert!(folder.path().join(OWNER).exists(), "it is not its own to remove");
    }

    #[test]
    fn of_several_that_start_at_once_without_a_lock_one_gets_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let texts: Vec<Vec<u8>> =
            (0..8).map(|_| serde_json::to_vec(&Card::own().unwrap()).unwrap()).collect();
        let count = |replaces| {
            std::thread::scope(|scope| {
                let take = |text: &Vec<u8>| {
                    claim(folder.path(), text, replaces).unwrap();
                    let card: Card = serde_json::from_slice(text).unwrap();
                    read(folder.path()).unwrap() == Some(card)
                };
                let threads: Vec<_> =
                    texts.iter().map(|text| scope.spawn(move || take(text))).collect();
                threads.into_iter().map(|it| it.join().unwrap()).filter(|it| *it).count()
            })
        };
        assert_eq!(count(false), 1);
        assert_eq!(count(true), 1);
    }
}
