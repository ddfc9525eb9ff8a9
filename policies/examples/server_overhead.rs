//! Processor time of one asked chunk: the client's thread against an openpi server in this process
//! that answers at once. Two 256x256 images in, 10 actions out.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::Message;
use udvla_policies::frames::{Array, Value, openpi};
use udvla_policies::remote::{RemoteOptions, RemotePolicy};
use udvla_policies::{Policy, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Camera, Image, Observation};

const CALLS: u32 = 500;
const SIDE: u32 = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("ws://{}", listener.local_addr()?).parse()?;
    std::thread::spawn(move || serve(&listener));
    let cameras = ["agentview", "eye_in_hand"].map(|name| Camera {
        name: name.into(),
        height: SIDE,
        width: SIDE,
    });
    let mut policy = RemotePolicy::open(RemoteOptions {
        address,
        protocol: None,
        key: None,
        name: "overhead".into(),
        benchmark: "libero".into(),
        cameras: cameras.to_vec(),
        layout: None,
        execute: None,
        simulators: 1,
        connections: None,
        timeout: Duration::from_secs(10),
        patience: Duration::from_secs(1),
        max_message: 64 << 20,
    })?;
    let rgb = (0..SIDE * SIDE * 3).map(|index| ((index * 7919) >> 3) as u8).collect();
    let image = Image { height: SIDE, width: SIDE, rgb };
    let input = PolicyInput {
        key: EpisodeKey { suite: "long".into(), task: 0, trial: 0 },
        call: 0,
        seed: 0,
        seat: 0,
        observation: Observation {
            images: vec![image.clone(), image],
            state: vec![0.5; 8],
            instruction: Arc::from("put the bowl on the plate"),
            stage: 0,
        },
    };
    let (wall, processor) = (Instant::now(), thread_time());
    for _ in 0..CALLS {
        policy.infer(std::slice::from_ref(&input))?;
    }
    let per_call = |time: Duration| time.as_secs_f64() * 1000.0 / f64::from(CALLS);
    println!(
        "{CALLS} chunks: {:.2} ms of processor time each, {:.2} ms of wall-clock time",
        per_call(thread_time() - processor),
        per_call(wall.elapsed())
    );
    Ok(())
}

fn serve(listener: &TcpListener) {
    let (stream, _) = listener.accept().expect("the client connects");
    let mut socket = tungstenite::accept(stream).expect("a WebSocket");
    let actions = Array::f32(&[10, 7], &[0.5; 70]).expect("70 numbers");
    let answer = openpi::encode(&Value::map([("actions", actions.into())]));
    let greeting = openpi::encode(&Value::Map(vec![]));
    socket.send(Message::binary(greeting)).expect("the client listens");
    while let Ok(Message::Binary(_)) = socket.read() {
        socket.send(Message::binary(answer.clone())).expect("the client listens");
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call fills.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(code, 0, "Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
