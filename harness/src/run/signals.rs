//! Turns Ctrl-C and SIGTERM into events.

use std::sync::mpsc::Sender;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::event::Event;
use crate::exit::Exit;

/// Sends [`Event::Interrupt`] for the first two signals; a third ends the process at once.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn listen(events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for (count, _) in (1..).zip(signals.forever()) {
            if count > 2 || events.send(Event::Interrupt(count)).is_err() {
                signal_hook::low_level::exit(Exit::Killed as i32);
            }
        }
    });
    Ok(())
}
