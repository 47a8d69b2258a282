//! The gateway's own calls to lakeFS, under `auth.service`'s identity; they skip the queue.
//!
//! [`Dialer`] opens connections (TCP, TLS), for this client and for the data plane's pool alike.

mod dial;

pub use dial::{DialError, Dialer, Stream};
