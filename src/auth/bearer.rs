//! As whom a proved principal's request goes to lakeFS: as its own client said, by the gateway's login, or by a token made for it.

use std::sync::Arc;

use http::HeaderValue;

use super::login::{Bearer, Login};
use super::mint::Mint;
use super::proof::AskError;
use super::state::State;
use crate::config::{AuthConfig, LoginConfig, UpstreamIdentity};

/// The way to a bearer, as configured.
#[derive(Debug)]
pub(super) enum BearerSource {
    /// None is attached: the client's own credential goes through.
    Passthrough,
    /// The bearer of a stored key pair.
    Login(Arc<Login>),
    /// A token made with lakeFS's secret.
    Mint(Mint),
    /// `mint` without a secret; `config` refuses it, and nobody gets anything here.
    Nothing,
}

/// A bearer, and the login it came from, if lakeFS's answer to it tells something about that.
#[derive(Debug)]
pub(super) struct Attached {
    /// The value of `Authorization`.
    pub(super) header: HeaderValue,
    login: Option<(Arc<Login>, Bearer)>,
}

impl BearerSource {
    pub(super) fn new(config: &AuthConfig, state: &State) -> Self {
        match (&config.upstream, &config.lakefs_secret) {
            (UpstreamIdentity::Passthrough, _) => Self::Passthrough,
            (UpstreamIdentity::Login(pair), _) => Self::Login(state.login(pair)),
            (UpstreamIdentity::Mint(mint), Some(secret)) => Self::Mint(Mint::new(mint, secret)),
            (UpstreamIdentity::Mint(_), None) => Self::Nothing,
        }
    }

    /// The key pair that lakeFS knows, where there is one: signatures can be made with it.
    pub(super) fn pair(&self) -> Option<&LoginConfig> {
        match self {
            Self::Login(login) => Some(login.pair()),
            Self::Passthrough | Self::Mint(_) | Self::Nothing => None,
        }
    }

    /// The bearer for a proved user of this name; `None` where the client keeps its own.
    pub(super) async fn bearer(&self, user: &str, state: &State) -> Result<Option<Attached>, AskError> {
        match self {
            Self::Passthrough => Ok(None),
            Self::Login(login) => {
                let bearer = login.bearer().await?;
                Ok(Some(Attached {
                    header: bearer.header.clone(),
                    login: Some((Arc::clone(login), bearer)),
                }))
            }
            Self::Mint(mint) => Ok(Some(Attached {
                header: mint.bearer(user, &state.minted)?,
                login: None,
            })),
            Self::Nothing => Err(AskError::Broken("auth.upstream.mint has no auth.lakefs_secret".into())),
        }
    }
}

impl Attached {
    /// Tells its login that lakeFS did not take it.
    pub(super) fn refused(&self) {
        if let Some((login, bearer)) = &self.login {
            login.refused(bearer);
        }
    }
}
