//! Listeners, data threads, deadlines, drain; and the wiring of everything: the only `new` of long-lived state.
//!
//! [`Plane`] is the data plane: it accepts connections, hands each to a thread of its own runtime, and serves it there to the end.

mod accept;
mod activity;
mod connection;
mod door;
mod drain;
mod expect;
mod framing;
mod gateway;
mod http2;
mod listener;
mod plane;
mod refusal;
mod thread;
mod tls;

pub use drain::{Drain, Drained, terminated};
pub use gateway::{Gateway, StartError};
pub use plane::Plane;
