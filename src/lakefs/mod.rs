//! The vocabulary of lakeFS: operations, how a request names one, what it touches, and how lakeFS words its answers. Pure, no I/O.
//!
//! What is checked here is what lakeFS will bind: path parameters are decoded twice, names are judged by lakeFS's own patterns, and what
//! cannot be read as a harmless operation counts as the dangerous one.

pub mod classify;
pub mod cookie;
pub mod danger;
mod delete;
pub mod force;
pub mod glob;
mod gob;
mod json;
mod named;
pub mod operation;
pub mod pmpu;
pub mod reply;
mod rest;
mod route;
mod s3;
pub mod token;
pub mod url;
mod web;

pub use classify::{Classified, Force, Malformed, Protocol, Role, Target, classify};
pub use danger::{Danger, Dangers, ObjectPath, Place};
pub use operation::{Class, ForceIn, Operation, Spec};
pub use s3::is_aws_chunked;
pub use url::Query;

#[cfg(test)]
mod tests;
