//! Method and target to a REST operation and its targets, as lakeFS's router and binder would read them. Pure.

use http::request::Parts;

use super::classify::{Classified, Force, Malformed, Protocol};
use super::operation::Operation;

/// Says what a request outside the S3 gateway is.
pub(super) fn classify(_head: &Parts, _s3_domains: &[String]) -> Result<Classified, Malformed> {
    Ok(Classified {
        protocol: Protocol::Rest,
        operation: Operation::UnknownApi,
        targets: Vec::new(),
        upload_id: None,
        part_number: None,
        parts: None,
        force: Force::No,
    })
}
