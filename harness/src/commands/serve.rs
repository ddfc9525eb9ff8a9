//! `serve`: the model for other people's harnesses and robots.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use udvla_policies::{Policy, PolicyInput};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::{Camera, Image, Observation};

use crate::cli::{self, ServeArguments};
use crate::clients::{self, Protocol};
use crate::exit::{Exit, Refused};
use crate::plan::PolicyPlan;
use crate::run::batcher::Closing;
use crate::serve::{Bound, Options, Served, Server, Token};
use crate::{output, policy, preflight};

/// Serves until it is ended by a signal.
///
/// # Errors
/// [`Refused`] when the checkpoint, a device, the token or the address cannot be used.
pub fn run(arguments: &ServeArguments, is_quiet: bool) -> Result<Exit> {
    // Without the thread a stopped terminal delays clients, but loses nothing.
    let _ = output::never_block();
    let options = options(arguments, is_quiet)?;
    let names = clients::find(&arguments.benchmark).context("clap knows the names")?;
    let model = cli::model_plan(
        &arguments.checkpoint,
        &arguments.device,
        &arguments.model,
        names.benchmark,
    )?;
    let plan = PolicyPlan::Udvla(Box::new(model.clone()));
    preflight::policy(&plan)?;
    let bound = Bound::new(address(arguments)?)?;
    let mut policies = policy::udvla(&model, false)?;
    let first_chunk = warm_up(&mut policies)?;
    let spec = policy::spec(&policies);
    if let Protocol::VlaEval = arguments.protocol
        && let Some(remark) = names.remark
    {
        eprintln!("note: {remark}");
    }
    let served = Served {
        names,
        cameras: spec.cameras,
        chunk: spec.chunk,
        action_width: spec.action_width,
        longest_instruction: policies[0].longest_instruction(),
        title: format!("UD-VLA in udvla-eval {}", env!("CARGO_PKG_VERSION")),
    };
    let server = Server::start(bound, policies, served, options)?;
    println!(
        "serving {} to {} clients on ws://{} (a chunk takes {:.1} s on {}; Ctrl-C ends it)",
        names.benchmark,
        arguments.protocol.name(),
        server.address,
        first_chunk.as_secs_f64(),
        spec.setting.device.as_deref().unwrap_or("an unknown device"),
    );
    server.run()
}

fn options(arguments: &ServeArguments, is_quiet: bool) -> Result<Options> {
    Ok(Options {
        protocol: arguments.protocol,
        token: arguments.token_file.as_deref().map(Token::read).transpose()?,
        max_connections: arguments.max_connections.into(),
        max_message: usize::try_from(arguments.max_message)?,
        message_timeout: Duration::from_secs_f64(arguments.message_timeout),
        idle_timeout: Duration::from_secs_f64(arguments.idle_timeout),
        closing: Closing {
            max_rows: arguments.max_batch.into(),
            wait: arguments.batch_wait.map(Duration::from_millis),
        },
        seed: arguments.seed,
        log: !is_quiet,
    })
}

fn address(arguments: &ServeArguments) -> Result<SocketAddr> {
    let ServeArguments { host, port, token_file, .. } = arguments;
    let unknown = || {
        Refused::new(format!("`{host}` is not an address of this machine"))
            .hint("`--host 127.0.0.1` serves this machine alone, `--host 0.0.0.0` every network")
    };
    let mut found =
        (host.as_str(), *port).to_socket_addrs().map_err(|error| unknown().because(error))?;
    let address = found.next().ok_or_else(unknown)?;
    if !is_loopback(address.ip()) && token_file.is_none() {
        eprintln!(
            "note: whoever reaches {address} can use the policy; `--token-file` asks for a token"
        );
    }
    Ok(address)
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Asks every replica once, so that no client waits for what libtorch does at its first call;
/// returns the longest second call.
fn warm_up(policies: &mut [Box<dyn Policy>]) -> Result<Duration> {
    let gray = |camera: &Camera| Image {
        height: camera.height,
        width: camera.width,
        rgb: vec![128; 3 * camera.height as usize * camera.width as usize],
    };
    let mut longest = Duration::ZERO;
    for policy in policies {
        let observation = Observation {
            images: policy.spec().cameras.iter().map(gray).collect(),
            state: vec![],
            instruction: Arc::from("wait"),
            stage: 0,
        };
        let key = EpisodeKey { suite: "warm-up".into(), task: 0, trial: 0 };
        let input = PolicyInput { key, call: 0, seed: 0, seat: 0, observation };
        policy.infer(std::slice::from_ref(&input))?;
        let begun = Instant::now();
        policy.infer(&[input])?;
        longest = longest.max(begun.elapsed());
    }
    Ok(longest)
}
