//! The ledger of multipart uploads: every step of a multipart upload, presigned or by S3, is one event and is taken down in the store, because
//! lakeFS itself keeps no record of them, cannot list them and never cleans up.
//!
//! [`Uploads`] watches requests go by, [`Ledger`] is the live state, `lifecycle` the pure rules. The durable write of a create's intent,
//! before it goes to lakeFS, is `record`'s.

mod layer;
mod ledger;
mod lifecycle;
mod reap;
mod redact;
mod scan;
mod seen;
mod sweep;
mod watched;
mod xml;

#[cfg(test)]
mod tests;

pub use layer::Uploads;
pub use ledger::Ledger;
pub use reap::{ReapError, ReapOutcome, Reaped};
