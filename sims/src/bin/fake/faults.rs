//! Faults of the fake simulator, and which of them is due.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use udvla_sims::episode::EpisodeKey;
use udvla_sims::wire::{self, Reply};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Poison,
    Lack,
    Crash,
    Hang,
    Raise,
    Garbage,
    Cut,
    Stall,
    Huge,
    Double,
    Number,
    Early,
    Images,
    Nan,
    Back,
    Far,
    Stage,
    Forged,
    Balloon,
}

/// Faults by the option that lists their episodes.
const FAULTS: [(&str, Fault); 19] = [
    ("poison", Fault::Poison),
    ("lack", Fault::Lack),
    ("crash", Fault::Crash),
    ("hang", Fault::Hang),
    ("raise", Fault::Raise),
    ("garbage", Fault::Garbage),
    ("cut", Fault::Cut),
    ("stall", Fault::Stall),
    ("huge", Fault::Huge),
    ("double", Fault::Double),
    ("number", Fault::Number),
    ("early", Fault::Early),
    ("images", Fault::Images),
    ("nan", Fault::Nan),
    ("back", Fault::Back),
    ("far", Fault::Far),
    ("stage", Fault::Stage),
    ("forged", Fault::Forged),
    ("balloon", Fault::Balloon),
];

impl Fault {
    /// Whether it waits for the second chunk, or the end if that comes first.
    fn is_late(self) -> bool {
        matches!(self, Self::Back | Self::Far | Self::Stage | Self::Forged | Self::Balloon)
    }
}

/// The faults of a run, and the one of the episode that is played.
pub struct Faults {
    options: BTreeMap<String, String>,
    /// A folder that all workers of the run share.
    folder: PathBuf,
    due: Option<Fault>,
    chunks: u32,
    leaked: Vec<Vec<u8>>,
}

impl Faults {
    pub fn new(options: &BTreeMap<String, String>, scratch: &Path) -> Self {
        let folder = scratch.parent().expect("scratch has a parent").to_owned();
        Self { options: options.clone(), folder, due: None, chunks: 0, leaked: vec![] }
    }

    /// Begins an episode.
    pub fn begin(&mut self, key: &EpisodeKey) {
        self.chunks = 0;
        self.due = self.fault_of(key);
        if let Some(mib) = self.number("flood") {
            flood(mib);
        }
        if let Some(mib) = self.number("leak") {
            self.leaked.push(vec![1; mib << 20]);
        }
        if let Some(name) = self.options.get("orphans") {
            leave_orphans(name);
        }
    }

    /// What the worker reports of its simulator.
    pub fn setting(&self) -> BTreeMap<String, String> {
        let mut setting = BTreeMap::from([("simulator".into(), "fake".into())]);
        if let Some(name) = self.options.get("drift") {
            let is_first = |name| File::create_new(self.folder.join(name)).is_ok();
            let drifts = !is_first("first") && is_first("second");
            setting.insert(name.clone(), if drifts { "another fake" } else { "fake" }.into());
        }
        setting
    }

    fn number(&self, option: &str) -> Option<usize> {
        self.options.get(option).map(|text| text.parse().expect("a number of MiB"))
    }

    /// The fault of this attempt at an episode.
    fn fault_of(&self, key: &EpisodeKey) -> Option<Fault> {
        let name = key.to_string();
        let is_listed = |option: &str| {
            self.options.get(option).is_some_and(|keys| keys.split(',').any(|key| key == name))
        };
        let (_, fault) = FAULTS.into_iter().find(|(option, _)| is_listed(option))?;
        // The first attempt in this run leaves a file behind.
        let is_first = || File::create_new(self.folder.join(format!("met-{key}"))).is_ok();
        (matches!(fault, Fault::Poison | Fault::Lack) || is_first()).then_some(fault)
    }

    /// A fault that happens at the reset; those that end the process do not return.
    pub fn at_reset(&mut self) -> Option<Fault> {
        let fault = self.due.filter(|fault| !fault.is_late())?;
        match fault {
            Fault::Crash => std::process::abort(),
            Fault::Hang => rest(),
            _ => {}
        }
        Some(fault)
    }

    /// Notes that a chunk is played.
    pub fn count_chunk(&mut self) {
        self.chunks += 1;
        if self.due == Some(Fault::Balloon) {
            self.leaked.push(vec![1; 256 << 20]);
            rest();
        }
    }

    /// Sends a reply, with what is wrong with it.
    pub fn send(
        &mut self,
        stream: &mut UnixStream,
        number: u32,
        reply: Reply,
        body: Vec<u8>,
    ) -> io::Result<()> {
        let is_end = matches!(reply, Reply::Finished { .. });
        let is_due = |fault: &Fault| match fault {
            Fault::Forged => is_end,
            late if late.is_late() => is_end || self.chunks == 2,
            _ => true,
        };
        let Some(fault) = self.due.take_if(|fault| is_due(fault)) else {
            return wire::send(stream, number, &reply, &body);
        };
        let (reply, body) = falsify(fault, reply, body);
        let mut frame = vec![];
        wire::send(&mut frame, number, &reply, &body)?;
        match fault {
            Fault::Garbage => stream.write_all(b"Segmentation fault (core dumped)"),
            Fault::Cut => {
                stream.write_all(&frame[..frame.len() / 2])?;
                std::process::exit(0)
            }
            Fault::Stall => {
                stream.write_all(&frame[..frame.len() / 2])?;
                rest()
            }
            Fault::Huge => {
                frame[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
                stream.write_all(&frame)
            }
            Fault::Double => stream.write_all(&frame.repeat(2)),
            Fault::Number => wire::send(stream, number + 1, &reply, &body),
            _ => stream.write_all(&frame),
        }
    }
}

/// A reply that cannot be, for the faults that are in its values.
fn falsify(fault: Fault, mut reply: Reply, mut body: Vec<u8>) -> (Reply, Vec<u8>) {
    match &mut reply {
        Reply::Observed { stage, steps, images, .. } => match fault {
            Fault::Images => {
                images.push((1, 1));
                body.splice(0..0, [0; 3]);
            }
            Fault::Nan => {
                let state = body.len() - 4;
                body[state..].copy_from_slice(&f32::NAN.to_le_bytes());
            }
            Fault::Back => *steps = 0,
            Fault::Far => *steps += 1000,
            Fault::Stage => *stage = 99,
            _ => {}
        },
        Reply::Demonstrated { steps, .. } => match fault {
            Fault::Back => *steps = 0,
            Fault::Far => *steps += 1000,
            _ => {}
        },
        Reply::Finished { stages_completed, steps, .. } => match fault {
            Fault::Back => *steps = 0,
            Fault::Far => *steps += 1000,
            Fault::Stage => *stages_completed = 99,
            Fault::Forged => body[..4].copy_from_slice(&9.0_f32.to_le_bytes()),
            _ => {}
        },
        Reply::Ready { .. } | Reply::Raised { .. } => {}
    }
    (reply, body)
}

/// Prints so many MiB.
fn flood(mib: usize) {
    let line = "the fake has much to say about every single contact of its bodies\n";
    let block = line.repeat((1 << 20) / line.len());
    let mut out = io::stdout().lock();
    (0..mib).for_each(|_| out.write_all(block.as_bytes()).expect("the log takes everything"));
    out.flush().expect("the log takes everything");
}

/// Leaves two processes in sessions of their own whose parent has ended, one of them with an
/// empty environment.
fn leave_orphans(name: &str) {
    let fake = std::env::current_exe().expect("the path of this program");
    for is_bare in [false, true] {
        let mut shell = Command::new("/bin/sh");
        let script = r#"trap "" HUP TERM; setsid "$0" rest "$1" &"#;
        shell.args(["-c", script]).arg(&fake).arg(name).stdin(Stdio::null());
        if is_bare {
            shell.env_clear().env("PATH", "/usr/bin:/bin");
        }
        // It ends at once, so that what it started loses its parent.
        shell.status().expect("a shell");
    }
}

/// Sleeps for an hour.
pub fn rest() -> ! {
    std::thread::sleep(Duration::from_secs(3600));
    std::process::exit(1)
}
