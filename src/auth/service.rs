//! The gateway's own user before lakeFS, for calls that no client's request carries: `auth.service`, else the one user of `auth.upstream`.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;

use super::State;
use super::bearer::{Attached, BearerSource};
use crate::config::{AuthConfig, UpstreamIdentity};
use crate::lakefs_client::Identity;

/// The gateway's own user; `None` where the configuration names none (`passthrough`, or `mint` for the principal's own name, without
/// `service`).
pub fn service(config: &AuthConfig, state: &Arc<State>) -> Option<Arc<dyn Identity>> {
    let (source, user) = match (&config.service, &config.upstream) {
        (Some(pair), _) => (BearerSource::Login(state.login(pair)), ""),
        (None, UpstreamIdentity::Login(_)) => (BearerSource::new(config, state), ""),
        (None, UpstreamIdentity::Mint(mint)) => (BearerSource::new(config, state), mint.user.as_deref()?),
        (None, UpstreamIdentity::Passthrough) => return None,
    };
    Some(Arc::new(Service {
        source,
        user: user.into(),
        state: Arc::clone(state),
        last: Mutex::default(),
    }))
}

#[derive(Debug)]
struct Service {
    source: BearerSource,
    user: Box<str>,
    state: Arc<State>,
    last: Mutex<Option<Attached>>,
}

impl Identity for Service {
    fn bearer(&self) -> BoxFuture<'_, Result<HeaderValue, String>> {
        async {
            let attached = self.source.bearer(&self.user, &self.state).await;
            let attached = attached.map_err(|error| error.to_string())?;
            let attached = attached.ok_or("it has no user of its own")?;
            let header = attached.header.clone();
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(attached);
            Ok(header)
        }
        .boxed()
    }

    fn refused(&self) {
        if let Some(last) = self.last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            last.refused();
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};

    use super::*;
    use crate::config::types::Secret;
    use crate::config::{LoginConfig, MintConfig};
    use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};
    use crate::observe::Metrics;

    async fn whose(lakefs: &FakeLakefs, identity: &dyn Identity) -> Option<String> {
        let bearer = identity.bearer().await.unwrap();
        lakefs
            .whose(&HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]))
            .unwrap()
    }

    #[tokio::test]
    async fn it_is_the_user_that_the_configuration_names() {
        let lakefs = FakeLakefs::start().await;
        let state = Arc::new(State::new(lakefs.client(), Arc::new(Metrics::new())));
        let pair = LoginConfig {
            access_key_id: Secret::new(KEY),
            secret_access_key: Secret::new(SECRET),
        };
        let mut config = AuthConfig::default();
        assert!(service(&config, &state).is_none(), "passthrough has no user");
        config.service = Some(pair.clone());
        let named = service(&config, &state).unwrap();
        assert_eq!(whose(&lakefs, &*named).await.as_deref(), Some("admin"));
        named.refused();
        config.service = None;
        config.upstream = UpstreamIdentity::Login(pair);
        let login = service(&config, &state).unwrap();
        assert_eq!(whose(&lakefs, &*login).await.as_deref(), Some("admin"));
        config.lakefs_secret = Some(Secret::new(lakefs.secret()));
        config.upstream = UpstreamIdentity::Mint(MintConfig::default());
        assert!(
            service(&config, &state).is_none(),
            "whose it would be, each request says"
        );
        config.upstream = UpstreamIdentity::Mint(MintConfig {
            user: Some("admin".into()),
            ..MintConfig::default()
        });
        let mint = service(&config, &state).unwrap();
        assert_eq!(whose(&lakefs, &*mint).await.as_deref(), Some("admin"));
    }
}
