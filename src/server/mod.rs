//! Listeners, data threads, deadlines, drain; and the wiring of everything: the only `new` of long-lived state.
//!
//! [`Plane`] is the data plane: it accepts connections, hands each to a thread of its own runtime, and serves it there to the end.

mod accept;
mod connection;
mod drain;
mod gateway;
mod listener;
mod plane;
mod thread;

pub use drain::{Drain, Drained, terminated};
pub use gateway::{Gateway, StartError};
pub use plane::Plane;
