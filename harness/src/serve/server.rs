//! The listening socket, the threads, and the end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol as Transport, Socket, TcpKeepalive, Type};
use udvla_policies::Policy;
use udvla_results::out::printable::printable;
use udvla_results::tables::format::plural;

use super::connection;
use super::session::Served;
use super::shared::{Options, Phase, Shared};
use crate::exit::{Exit, Refused};
use crate::run::batcher::{self, Queue};
use crate::run::event::Event;
use crate::run::signals;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Connections whose request is not complete, beside the allowed clients.
const NEWCOMERS: usize = 64;
/// How often the end is looked for while the server drains.
const GLANCE: Duration = Duration::from_millis(50);
/// How long clients may take to be told that the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// A bound address on which nothing is answered yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

impl Bound {
    /// Takes an address, so that no other program does while the policy is loaded. Clients are
    /// refused until [`Server::start`].
    ///
    /// # Errors
    /// [`Refused`] when it is taken or not this machine's.
    pub fn new(address: SocketAddr) -> Result<Self> {
        let bound = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))
            .and_then(|socket| {
                socket.set_reuse_address(true)?;
                socket.bind(&address.into())?;
                Ok(socket)
            });
        let socket = bound.map_err(|error| {
            let refused = Refused::new(format!("cannot listen on {address}")).because(error);
            refused
                .hint("name another address with `--host` and `--port`; port 0 takes any free one")
        })?;
        let address = socket.local_addr()?.as_socket().context("the socket has no address")?;
        Ok(Self { socket, address })
    }
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    /// Where it listens.
    pub address: SocketAddr,
    events: Receiver<Event>,
    interrupts: Sender<Event>,
    policies: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts to answer clients with replicas of one policy.
    ///
    /// # Errors
    /// [`Refused`] when another program listens on the address; when a thread cannot be started.
    pub fn start(
        bound: Bound,
        policies: Vec<Box<dyn Policy>>,
        served: Served,
        options: Options,
    ) -> Result<Self> {
        let (questions, asked) = channel();
        let (events, happened) = channel();
        let busy = Arc::new(AtomicUsize::new(0));
        let queue = Arc::new(Queue::new(asked, options.closing, Arc::clone(&busy), policies.len()));
        let threads = policies.into_iter().enumerate().map(|(index, policy)| {
            let (queue, events) = (Arc::clone(&queue), events.clone());
            spawn(format!("policy-{index}"), move || batcher::run(policy, &queue, &events))
        });
        let policies = threads.collect::<Result<_>>()?;
        let shared = Arc::new(Shared {
            options,
            served: Arc::new(served),
            questions,
            busy,
            phase: AtomicU8::new(Phase::Serving as u8),
            threads: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            statistics: Mutex::default(),
        });
        let Bound { socket, address } = bound;
        socket
            .listen(BACKLOG)
            .map_err(|error| Refused::new(format!("cannot listen on {address}")).because(error))?;
        let socket = Arc::new(socket);
        let (listening, clients) = (Arc::clone(&socket), Arc::clone(&shared));
        spawn("listener".into(), move || listen(&listening, &clients))?;
        Ok(Self { shared, socket, address, events: happened, interrupts: events, policies })
    }

    /// Serves until Ctrl-C: the first ends it after the running episodes, the second at once.
    ///
    /// # Errors
    /// When signals cannot be handled.
    pub fn run(self) -> Result<Exit> {
        signals::listen(self.interrupts.clone())?;
        let exit = self.wait();
        self.set_phase(Phase::Stopping);
        let deadline = Instant::now() + FAREWELL;
        while self.shared.threads.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        eprintln!("served {}", self.shared.statistics());
        // The policies' threads end when no client can ask any more.
        let Self { shared, policies, .. } = self;
        drop(shared);
        for thread in policies {
            // A panic was printed by the thread that had it.
            let _ = thread.join();
        }
        Ok(exit)
    }

    fn wait(&self) -> Exit {
        loop {
            match self.events.recv_timeout(GLANCE) {
                Ok(Event::Batch { rows, remarks, .. }) => {
                    let first = self.shared.statistics().batch(rows, remarks);
                    for remark in first {
                        eprintln!("policy: {}", printable(&remark.to_string()));
                    }
                }
                Ok(Event::PolicyFailed { message }) => {
                    eprintln!("error: the policy failed: {}", printable(&message));
                    self.stop_listening(Phase::Stopping);
                    return Exit::GaveUp;
                }
                Ok(Event::Interrupt(1)) => {
                    self.stop_listening(Phase::Draining);
                    let clients = self.shared.clients.load(Ordering::SeqCst);
                    let clients = plural(clients as u32, "client");
                    eprintln!(
                        "stopping after running episodes ({clients}); Ctrl-C again to stop now"
                    );
                }
                Ok(Event::Interrupt(_)) => return Exit::Killed,
                Ok(other) => unreachable!("no worker was started: {other:?}"),
                Err(RecvTimeoutError::Timeout) => {
                    if self.policies.iter().any(JoinHandle::is_finished) {
                        eprintln!("error: the policy's thread ended without a message");
                        self.stop_listening(Phase::Stopping);
                        return Exit::GaveUp;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("this server holds a sender")
                }
            }
            let is_draining = self.shared.phase() == Phase::Draining;
            if is_draining && self.shared.threads.load(Ordering::SeqCst) == 0 {
                return Exit::Complete;
            }
        }
    }

    fn stop_listening(&self, phase: Phase) {
        self.set_phase(phase);
        // Wakes the thread that accepts; nothing else can fail here.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    fn set_phase(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::SeqCst);
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Ok(std::thread::Builder::new().name(name).spawn(work)?)
}

/// Accepts connections until the server stops.
fn listen(socket: &Socket, shared: &Arc<Shared>) {
    while shared.phase() == Phase::Serving {
        let (stream, peer) = match socket.accept() {
            Ok((stream, peer)) => match peer.as_socket() {
                Some(peer) => (stream, peer),
                None => continue,
            },
            // Out of descriptors, or a client that was gone before: the next one may do.
            Err(_) => {
                std::thread::sleep(GLANCE);
                continue;
            }
        };
        let threads = shared.threads.fetch_add(1, Ordering::SeqCst);
        if threads >= shared.options.max_connections + NEWCOMERS {
            shared.threads.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        // Notices a machine that is gone, however long its client may be silent.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3);
        let _ = stream.set_tcp_keepalive(&keepalive);
        let (own, stream) = (Arc::clone(shared), stream.into());
        let thread = spawn(format!("client-{peer}"), move || {
            let _left = Leaving(&own.threads);
            connection::serve(stream, peer, &own);
        });
        if thread.is_err() {
            shared.threads.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Counts a thread down when it ends, also by a panic.
struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
