//! What the tests share: a raw client, a scripted raw lakeFS, a data plane or a whole gateway on a free port, the log.

pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod lakefs;
pub(crate) mod log;
pub(crate) mod plane;
pub(crate) mod raw;
pub(crate) mod signer;
pub(crate) mod tls;
