//! `view`: the pages of a folder of runs, served on this machine.

mod http;
mod library;
mod site;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use tiny_http::Server;

use crate::cli::ViewArguments;
use crate::exit::{Exit, Refused};
use library::Library;
use site::Site;

/// Threads that answer requests.
const THREADS: usize = 4;

/// Serves until it is ended by a signal.
///
/// # Errors
/// [`Refused`] when a folder cannot be read, holds no run, or the port is taken.
pub fn run(arguments: &ViewArguments) -> Result<Exit> {
    let library = Library::open(&arguments.directories)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let server = Server::http(address).map_err(|error| {
        let refused = Refused::new(format!("cannot listen on {address}"));
        refused.hint("name another port with `--port`; 0 takes any free one").because(error)
    })?;
    let address = server.server_addr().to_ip().context("the server has no address")?;
    let site = Site::new(library, address.port());
    let mut out = std::io::stdout();
    writeln!(out, "serving {} on http://{address}/ (Ctrl-C ends it)", site.count_text())?;
    out.flush()?;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for request in server.incoming_requests() {
                    http::answer(request, &site);
                }
            });
        }
    });
    Ok(Exit::Complete)
}
