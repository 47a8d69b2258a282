//! The gateway's own calls to lakeFS; they skip the queue.
//!
//! [`Dialer`] opens connections (TCP, TLS), for this client and for the data plane's pool alike. [`Client`] makes the calls, on the
//! runtime it was given: whoever waits for one may leave, and the call still ends. What clients send goes by `upstream`, not by here.

mod calls;
mod client;
mod dial;
#[cfg(test)]
pub(crate) mod fake;
mod identity;
mod refs;
mod settings;
mod tls;
mod uploads;

pub use calls::{Token, User};
pub use client::{Client, ClientError};
pub use dial::{DialError, Dialer, Stream};
pub use identity::{Caller, Identity};
pub use refs::{Ref, RefsError};
pub use tls::TlsError;
pub use uploads::UploadName;
