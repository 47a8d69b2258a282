//! One request and its answer: what all layers share.
//!
//! Request, response and body types, the [`Context`] that layers write facts into, the one Layer + Service pair ([`step()`]), header rules,
//! and [`Rejection`], the only place that chooses a status code. No feature logic here.

pub mod afterwards;
pub mod alarm;
pub mod body;
pub mod classify;
pub mod context;
pub mod headers;
pub mod reject;
pub mod requirement;
pub mod signature;
pub mod step;

pub use afterwards::Afterwards;
pub use body::{Body, BodyError, Ended};
pub use classify::{Classify, Inspected};
pub use context::{Client, Connection, Context, Facts, Principal, Proof};
pub use reject::Rejection;
pub use requirement::{Ask, Requirement};
pub use signature::SignatureFault;
pub use step::{Next, Step, step};

/// A request on its way to lakeFS. Its extensions hold the [`Context`].
pub type Request = http::Request<Body>;
/// An answer on its way to the client.
pub type Response = http::Response<Body>;
