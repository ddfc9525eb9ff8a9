//! Everything that is done with bytes from a worker, for bytes that no worker of ours sends. The
//! property tests and the fuzz target both call it.

use std::collections::BTreeMap;

use udvla_sims::checks::{Checks, check_spec};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Camera, SimSpec};
use udvla_sims::protocol::Protocol;
use udvla_sims::wire::{Message, OpenConfig, Reply, Request, receive, to_bytes};

/// Numbers per action.
const WIDTH: usize = 7;
/// Steps per request.
const CHUNK: usize = 10;

/// The simulator whose worker is exercised.
pub fn spec() -> SimSpec {
    SimSpec {
        cameras: vec![Camera { name: "static".into(), height: 2, width: 3 }],
        state: vec!["x".into(), "y".into()],
        action: vec!["a".into(); WIDTH],
        control_hz: 30.0,
    }
}

/// How it was opened.
pub fn config() -> OpenConfig {
    OpenConfig {
        protocol: Protocol::calvin(),
        suites: vec!["abcd-d".into()],
        images: true,
        last_look: false,
        video: false,
        scratch: String::new(),
        options: BTreeMap::new(),
    }
}

/// Reads bytes as frames from a worker and judges them as the replies of an episode, then as
/// frames from a harness. How many replies were accepted.
pub fn worker_bytes(bytes: &[u8]) -> usize {
    let mut stream = bytes;
    while receive::<Request>(&mut stream).is_ok() {}
    let key = EpisodeKey { suite: "abcd-d".into(), task: 0, trial: 0 };
    let mut checks = Checks::new(&config(), &spec(), &key).expect("a suite of the protocol");
    checks.asked(&Request::Reset { key, video: None }, &[]);
    let mut stream = bytes;
    let mut accepted = 0;
    while let Ok(message) = receive::<Reply>(&mut stream) {
        match judged(&mut checks, &message) {
            Ok(()) => accepted += 1,
            Err(text) => {
                assert!(!text.is_empty() && text.len() < 2000, "{text}");
                break;
            }
        }
        let actions = to_bytes(&[0.5; WIDTH].repeat(CHUNK));
        checks.asked(&Request::Play { width: WIDTH as u16 }, &actions);
    }
    accepted
}

/// What follows from a reply; the error is the message of a refusal.
fn judged(checks: &mut Checks, message: &Message<Reply>) -> Result<(), String> {
    match &message.header {
        Reply::Ready { spec, .. } => check_spec(spec).map_err(|error| error.to_string()),
        reply @ Reply::Finished { steps, .. } => {
            let end = checks.finished(reply, &message.body).map_err(|error| error.to_string())?;
            assert_eq!(end.actions.len(), *steps as usize * WIDTH);
            assert!(end.actions.iter().all(|number| number.is_finite()));
            Err("the episode is over".into())
        }
        reply => {
            let observed = checks.observed(reply, &message.body);
            let (images, state) = observed.map_err(|error| error.to_string())?;
            assert!(images.iter().all(|image| image.rgb.len() == 2 * 3 * 3));
            assert!(state.len() == 2 && state.iter().all(|number| number.is_finite()));
            Ok(())
        }
    }
}
