//! A fake simulator for the harness's tests: speaks the wire without Python.
//!
//! The key of an episode decides how many steps each stage takes; about one in four never
//! succeeds. Options (`--sim-option NAME=VALUE` of the harness) change how it behaves:
//!
//! - `step_ms=N`, `step_us=N`: delay per control step. `side=N`: height and width of its images.
//! - `start=setup`: asks for a missing file. `start=mute`: never opens. `start_ms=N`: opens after
//!   N ms.
//! - `poison=KEYS`: these episodes (comma separated) always raise. `lack=KEYS`: their files have to be
//!   provided by the user.
//! - `NAME=KEYS`: a fault in these episodes, the first time in the run that each is played. At the
//!   reset: `crash`, `hang`, `raise`, `garbage` (bytes that are no frame), `cut` (half a frame,
//!   then the end), `stall` (half a frame, then nothing), `huge` (a frame of 4 GiB), `double` (the
//!   reply twice), `number` (that of another request), `early` (over before a step), `images` (one
//!   too many), `nan` (in the state). At the second chunk or the end, whichever comes first:
//!   `back` (steps going back), `far` (more steps than were asked for), `stage` (99), `balloon`
//!   (takes 256 MiB and hangs). At the end, and not with the expert, whose actions nobody sent:
//!   `forged` (other actions than were sent).
//! - `drift=NAME`: the second worker that opens reports another value of this fact in its setting.
//! - In every episode, and with no effect on it: `flood=MIB` prints that much; `leak=MIB` takes
//!   that much and keeps it; `orphans=NAME` leaves processes called NAME that survive their parent
//!   and its session, one of them without an environment.

use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

#[path = "fake/faults.rs"]
mod faults;

use faults::{Fault, Faults};
use sha2::{Digest, Sha256};
use udvla_sims::checks::offset_action;
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::instructions::Instructions;
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::hex;
use udvla_sims::wire::{
    Cause, DemonstrationEnd, Message, OpenConfig, Reply, Request, WIRE_VERSION, from_bytes,
    receive, to_bytes,
};

const WIDTH: usize = 7;
const SIDE: u32 = 32;

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("rest") {
        faults::rest();
    }
    // SAFETY: no other thread was started.
    unsafe { udvla_sims::supervisor::split()? };
    // SAFETY: fd 0 is the harness's socket, and nothing else in this process uses it.
    let mut stream = unsafe { UnixStream::from_raw_fd(0) };
    let mut fake: Option<Fake> = None;
    loop {
        let Message { number, header: request, body } = match receive::<Request>(&mut stream) {
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let (reply, body) = match (request, &mut fake) {
            (Request::Close, _) => return Ok(()),
            (Request::Open { config, .. }, slot) => {
                let opened = Fake::open(*config);
                let reply = opened.ready();
                *slot = Some(opened);
                (reply, vec![])
            }
            (_, None) => panic!("the fake simulator is not open"),
            (Request::Reset { key, .. }, Some(fake)) => fake.reset(key),
            (Request::Play { .. }, Some(fake)) => fake.play(&body),
            (Request::Script { steps }, Some(fake)) => {
                fake.play(&to_bytes(&[0.5; WIDTH].repeat(usize::from(steps))))
            }
            (Request::Demonstrate { .. }, Some(fake)) => fake.demonstrate(&body),
        };
        let faults = fake.as_mut().map(|fake| &mut fake.faults);
        faults.expect("it was opened above").send(&mut stream, number, reply, body)?;
    }
}

struct Fake {
    config: OpenConfig,
    faults: Faults,
    instructions: Instructions,
    key: Option<EpisodeKey>,
    executed: Vec<f32>,
    stage: u16,
    /// Control steps played in the current stage, and the distance covered in them.
    steps: u32,
    progress: f32,
}

impl Fake {
    fn open(config: OpenConfig) -> Self {
        println!("fake simulator: open");
        if let Some(card) = config.options.get("card") {
            eprintln!("option card={card}");
        }
        let faults = Faults::new(&config.options, Path::new(&config.scratch));
        let instructions = Instructions::new(&config.protocol);
        Self {
            config,
            faults,
            instructions,
            key: None,
            executed: vec![],
            stage: 0,
            steps: 0,
            progress: 0.0,
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.config.options.get(name).map(String::as_str)
    }

    fn side(&self) -> u32 {
        self.option("side").map_or(SIDE, |text| text.parse().expect("a number of pixels"))
    }

    fn ready(&self) -> Reply {
        match self.option("start") {
            Some("setup") => return raised(Cause::Setup, "the fake needs `meshes/bowl.msh`"),
            Some("mute") => std::thread::sleep(Duration::from_secs(3600)),
            _ => {}
        }
        let pause = self.option("start_ms").map_or(0, |text| text.parse().expect("milliseconds"));
        std::thread::sleep(Duration::from_millis(pause));
        let side = self.side();
        let camera = |name: &str| Camera { name: name.into(), height: side, width: side };
        Reply::Ready {
            wire: WIRE_VERSION,
            spec: SimSpec {
                cameras: self.cameras().iter().map(|name| camera(name)).collect(),
                state: vec!["steps".into()],
                action: ["x", "y", "z", "rx", "ry", "rz", "gripper"].map(String::from).to_vec(),
                control_hz: 20.0,
            },
            setting: self.faults.setting(),
        }
    }

    fn cameras(&self) -> &'static [&'static str] {
        match self.config.protocol.benchmark.as_str() {
            "calvin" => &["static", "gripper"],
            "simpler" => &["third_person"],
            _ => &["agentview", "eye_in_hand"],
        }
    }

    fn reset(&mut self, key: EpisodeKey) -> (Reply, Vec<u8>) {
        self.executed.clear();
        self.begin(0);
        self.faults.begin(&key);
        match self.faults.at_reset() {
            Some(Fault::Poison) => {
                return (raised(Cause::Simulator, "the fake is poisoned"), vec![]);
            }
            Some(Fault::Lack) => {
                return (raised(Cause::Setup, "the fake lacks a mesh of this episode"), vec![]);
            }
            Some(Fault::Raise) => {
                return (raised(Cause::Simulator, "the fake stumbled"), vec![]);
            }
            Some(Fault::Early) => {
                self.key = Some(key);
                return self.finish(false);
            }
            _ => {}
        }
        self.key = Some(key);
        self.observe()
    }

    fn key(&self) -> &EpisodeKey {
        self.key.as_ref().expect("reset comes before play")
    }

    /// A number in 0..1 derived from the episode's key and stage.
    fn difficulty(&self) -> f32 {
        let digest = Sha256::digest(self.key().to_string().as_bytes());
        f32::from(digest[usize::from(self.stage)]) / 256.0
    }

    fn begin(&mut self, stage: u16) {
        (self.stage, self.steps, self.progress) = (stage, 0, 0.0);
    }

    fn play(&mut self, body: &[u8]) -> (Reply, Vec<u8>) {
        let number = |name| self.option(name).map_or(0, |text| text.parse().expect("a number"));
        let pause = Duration::from_micros(1000 * number("step_ms") + number("step_us"));
        let protocol = &self.config.protocol;
        let limit = protocol.max_steps(self.key()).expect("a suite of the protocol");
        let stages = protocol.stages(self.key()).expect("a suite of the protocol");
        self.faults.count_chunk();
        let values = from_bytes(body).expect("whole numbers");
        for action in values.chunks_exact(WIDTH) {
            std::thread::sleep(pause);
            self.executed.extend_from_slice(action);
            self.progress += action[0].abs();
            self.steps += 1;
            let solved = self.difficulty() < 0.75 && self.progress > 20.0 * self.difficulty() + 5.0;
            if solved {
                self.begin(self.stage + 1);
                return if self.stage == stages { self.finish(false) } else { self.observe() };
            }
            if self.steps == limit {
                return self.finish(true);
            }
        }
        self.observe()
    }

    /// As `play` with the expert's actions and these offsets.
    fn demonstrate(&mut self, offsets: &[u8]) -> (Reply, Vec<u8>) {
        let offsets = from_bytes(offsets).expect("whole numbers");
        let actions: Vec<f32> =
            offsets.iter().map(|offset| offset_action(0.5, *offset, false)).collect();
        let before = self.executed.len();
        let (reply, _) = self.play(&to_bytes(&actions));
        let executed = self.executed[before..].to_vec();
        let mut body = [to_bytes(&vec![0.5; executed.len()]), to_bytes(&executed)].concat();
        let steps = (self.executed.len() / WIDTH) as u32;
        body.extend((steps as f32).to_le_bytes());
        let images = self.render(&mut body);
        let end = match reply {
            Reply::Finished { truncated, final_state_sha256, .. } => {
                Some(DemonstrationEnd { truncated, final_state_sha256 })
            }
            _ => None,
        };
        let stages = self.config.protocol.stages(self.key()).expect("a suite of the protocol");
        let instruction = self
            .instructions
            .of_episode(self.key(), self.stage.min(stages - 1))
            .unwrap_or_default();
        let instruction = instruction.to_owned();
        (
            Reply::Demonstrated {
                stage: self.stage,
                steps,
                instruction,
                end,
                target: false,
                images,
            },
            body,
        )
    }

    fn finish(&self, truncated: bool) -> (Reply, Vec<u8>) {
        let mut bytes = to_bytes(&self.executed);
        let final_state_sha256 = hex(&Sha256::digest(&bytes));
        let images = if self.config.last_look { self.render(&mut bytes) } else { vec![] };
        let reply = Reply::Finished {
            stages_completed: self.stage,
            steps: (self.executed.len() / WIDTH) as u32,
            truncated,
            final_state_sha256,
            video: false,
            notes: self.notes(),
            images,
        };
        (reply, bytes)
    }

    /// As SimplerEnv's: in some episodes the goal was reached and lost again.
    fn notes(&self) -> Notes {
        let simpler = self.config.protocol.benchmark == "simpler";
        let reached = self.stage > 0 || self.difficulty() < 0.9;
        simpler.then(|| ("success_any".to_owned(), reached.into())).into_iter().collect()
    }

    fn observe(&self) -> (Reply, Vec<u8>) {
        let steps = (self.executed.len() / WIDTH) as u32;
        let mut body = vec![];
        let images = self.render(&mut body);
        let instruction = self.instructions.of_episode(self.key(), self.stage);
        body.extend((steps as f32).to_le_bytes());
        let reply = Reply::Observed {
            stage: self.stage,
            steps,
            instruction: instruction.unwrap_or_default().to_owned(),
            images,
        };
        (reply, body)
    }

    /// Appends the cameras' images to `body` and returns their sizes.
    fn render(&self, body: &mut Vec<u8>) -> Vec<(u32, u32)> {
        let side = self.side();
        let count = if self.config.images { self.cameras().len() } else { 0 };
        let shade = (self.difficulty() * 255.0) as u8;
        body.extend(vec![shade; count * (side * side * 3) as usize]);
        vec![(side, side); count]
    }
}

fn raised(cause: Cause, message: &str) -> Reply {
    Reply::Raised { cause, message: message.into(), traceback: format!("fake: {message}") }
}
