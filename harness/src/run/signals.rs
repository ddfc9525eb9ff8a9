//! Turns Ctrl-C, SIGTERM and SIGHUP into events.

use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::event::Event;
use crate::exit::Exit;

/// Sends [`Event::Interrupt`] for the first two signals; a third ends the process at once.
///
/// A terminal that closes sends SIGHUP, often twice (the shell and the kernel): it only ever asks
/// for what the first Ctrl-C asks, and not at all under `nohup`.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen(events: Sender<Event>) -> std::io::Result<()> {
    let mut wanted = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted)?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut count = 0;
        for signal in signals.forever() {
            if signal == SIGHUP && count > 0 {
                continue;
            }
            count += 1;
            let is_heard = count <= 2 && events.send(Event::Interrupt(count)).is_ok();
            if !is_heard && signal != SIGHUP {
                signal_hook::low_level::exit(Exit::Killed as i32);
            }
        }
    })?;
    Ok(())
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: without a new action the call only writes the present one, into memory that it gets.
    let action = unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        (libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0).then_some(action)
    };
    action.is_some_and(|action| action.sa_sigaction == libc::SIG_IGN)
}
