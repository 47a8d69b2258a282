//! What the tests share: a raw client, a scripted raw lakeFS, and a data plane on a free port.

pub(crate) mod lakefs;
pub(crate) mod plane;
pub(crate) mod raw;
