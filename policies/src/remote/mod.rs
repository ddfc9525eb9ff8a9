//! A policy on a server: openpi's protocol, RoboArena's variant of it, or vla-eval's.
//!
//! [`RemotePolicy::open`] connects and checks what the server announces; [`Layout`] says how a
//! benchmark's observations and actions are named and converted. One connection per simulator, so
//! that what a server keeps per connection belongs to one episode. [`Connection`] also serves other
//! clients of such protocols.

mod actions;
mod address;
mod connection;
mod error;
mod greeting;
mod layout;
mod observation;
mod options;
mod policy;
mod protocol;
mod session;

pub use address::Address;
pub use connection::{Connection, Received};
pub use error::{Fault, ServerError};
pub use layout::Layout;
pub use options::RemoteOptions;
pub use policy::RemotePolicy;
pub use protocol::ServerProtocol;
