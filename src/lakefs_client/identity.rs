//! As whom a call of the gateway's own goes to lakeFS.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderValue};

/// The gateway's own user. `auth` knows who that is; whoever makes calls gets it from the pipeline.
pub trait Identity: fmt::Debug + Send + Sync {
    /// The value of `Authorization`, or why there is none.
    fn bearer(&self) -> BoxFuture<'_, Result<HeaderValue, String>>;

    /// Says that lakeFS did not take the last one.
    fn refused(&self);
}

/// As whom one call goes.
#[derive(Debug, Clone)]
pub enum Caller {
    /// As the gateway's own user.
    Gateway(Arc<dyn Identity>),
    /// As the client whose request is being served, with the credential that goes to lakeFS with it.
    Client(HeaderMap),
}

impl Caller {
    /// The caller with the credential of a request's headers.
    pub fn client(headers: &HeaderMap) -> Self {
        let mut credential = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::COOKIE] {
            for value in headers.get_all(&name) {
                credential.append(&name, value.clone());
            }
        }
        Self::Client(credential)
    }

    /// Its headers.
    pub(super) async fn headers(&self) -> Result<HeaderMap, String> {
        match self {
            Self::Gateway(identity) => Ok(HeaderMap::from_iter([(
                header::AUTHORIZATION,
                identity.bearer().await?,
            )])),
            Self::Client(headers) => Ok(headers.clone()),
        }
    }

    /// Says that lakeFS did not take its credential.
    pub(super) fn refused(&self) {
        if let Self::Gateway(identity) = self {
            identity.refused();
        }
    }
}
