//! The gateway's own bearer, got with a stored key pair: fetched once for all who need it, refreshed ahead of its end while the old one
//! goes on serving, and fetched anew when lakeFS no longer takes it (it was restarted with another secret).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::HeaderValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::proof::{AskError, DIAL_PAUSE, Fingerprint, causes, fingerprint, no_verdict};
use crate::config::LoginConfig;
use crate::lakefs_client::{Client, ClientError, Token};
use crate::observe::Metrics;
use crate::observe::metrics::OutcomeLabels;

/// The logins of all stored key pairs. A login lives as long as somebody uses it: a reload that keeps the pair keeps the token.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<HashMap<Fingerprint, Weak<Login>>>);

impl Logins {
    /// The login of this pair.
    pub(super) fn of(&self, pair: &LoginConfig, client: &Client, metrics: &Arc<Metrics>) -> Arc<Login> {
        let key = fingerprint(&[
            pair.access_key_id.expose().as_bytes(),
            pair.secret_access_key.expose().as_bytes(),
        ]);
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, login| login.strong_count() > 0);
        if let Some(login) = logins.get(&key).and_then(Weak::upgrade) {
            return login;
        }
        let login = Arc::new(Login {
            pair: pair.clone(),
            client: client.clone(),
            metrics: Arc::clone(metrics),
            state: Mutex::default(),
        });
        logins.insert(key, Arc::downgrade(&login));
        login
    }
}

/// One pair's login.
pub(super) struct Login {
    pair: LoginConfig,
    client: Client,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    flight: Option<Flight>,
    /// Of the last failure, and until when nobody tries again.
    failed: Option<(AskError, Instant)>,
    /// Logins made so far.
    serial: u64,
}

#[derive(Clone)]
struct Held {
    bearer: Bearer,
    since: Instant,
    refresh: Instant,
    expires: Instant,
}

/// A bearer to attach.
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    /// The value of `Authorization`; marked sensitive.
    pub(super) header: HeaderValue,
    /// Which login it came from.
    serial: u64,
}

type Outcome = Result<Bearer, AskError>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

impl Login {
    /// The stored pair.
    pub(super) fn pair(&self) -> &LoginConfig {
        &self.pair
    }

    /// A bearer that lakeFS takes, for all the gateway knows.
    pub(super) async fn bearer(self: &Arc<Self>) -> Outcome {
        let flight = {
            let mut state = self.state();
            let now = Instant::now();
            let may_try = state.failed.as_ref().is_none_or(|(_, until)| *until <= now);
            if let Some(held) = state.held.clone().filter(|held| now < held.expires) {
                if held.refresh <= now && state.flight.is_none() && may_try {
                    state.flight = Some(self.start());
                }
                return Ok(held.bearer);
            }
            match (&state.flight, &state.failed) {
                (Some(flight), _) => flight.clone(),
                (None, Some((error, _))) if !may_try => return Err(error.clone()),
                (None, _) => {
                    let flight = self.start();
                    state.flight = Some(flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    /// Says that lakeFS does not take this bearer, so that the next request gets another. A bearer of this moment is kept: a second one
    /// would fare no better.
    pub(super) fn refused(&self, bearer: &Bearer) {
        let mut state = self.state();
        let stale = |held: &Held| held.bearer.serial == bearer.serial && held.since.elapsed() >= SETTLED;
        if state.held.as_ref().is_some_and(stale) {
            state.held = None;
            tracing::warn!("lakeFS no longer takes the gateway's bearer: logging in anew");
        }
    }

    fn start(self: &Arc<Self>) -> Flight {
        let (sender, receiver) = oneshot::channel();
        let login = Arc::clone(self);
        self.client.runtime().spawn(async move {
            let outcome = login.log_in().await;
            let outcome = login.land(outcome);
            // Nobody may be waiting any more.
            let _ = sender.send(outcome);
        });
        let lost = || AskError::Broken("the gateway's own login was not made".into());
        receiver
            .map(move |sent| sent.unwrap_or_else(|_| Err(lost())))
            .boxed()
            .shared()
    }

    async fn log_in(&self) -> Result<Token, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pair = &self.pair;
            match self.client.login(&pair.access_key_id, &pair.secret_access_key).await {
                Err(ClientError::Dial(_)) if Instant::now() < deadline => sleep(DIAL_PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    fn land(&self, outcome: Result<Token, ClientError>) -> Outcome {
        let mut state = self.state();
        state.flight = None;
        let now = Instant::now();
        let bearer = outcome.and_then(|token| {
            state.serial += 1;
            let bearer = Bearer::of(&token, state.serial)?;
            state.held = Some(Held {
                bearer: bearer.clone(),
                since: now,
                refresh: now + token.lifetime.mul_f32(REFRESH_AT),
                expires: token.expires,
            });
            Ok((bearer, token.lifetime))
        });
        let outcome = match bearer {
            Ok((bearer, lifetime)) => {
                state.failed = None;
                tracing::info!(
                    token.lifetime_s = lifetime.as_secs(),
                    "logged in to lakeFS as the configured user"
                );
                Ok(bearer)
            }
            Err(error) => {
                let failure = no_verdict(&error);
                state.failed = Some((failure.clone(), now + RETRY_AFTER));
                tracing::error!(
                    error = causes(&error),
                    token.kept = state.held.as_ref().is_some_and(|held| now < held.expires),
                    "cannot log in to lakeFS as the configured user (auth.upstream.login)"
                );
                Err(failure)
            }
        };
        drop(state);
        let label = if outcome.is_ok() { "ok" } else { "failed" };
        self.metrics
            .upstream_logins
            .get_or_create(&OutcomeLabels { outcome: label })
            .inc();
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("pair", &self.pair)
            .finish_non_exhaustive()
    }
}

impl Bearer {
    fn of(token: &Token, serial: u64) -> Result<Self, ClientError> {
        let header = bearer_header(token.bearer.expose()).map_err(|error| ClientError::Invalid(error.into()))?;
        Ok(Self { header, serial })
    }
}

/// `Bearer ...` as a header value that no log shows.
pub(super) fn bearer_header(token: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// How much of a token's life has passed when it is refreshed.
const REFRESH_AT: f32 = 0.8;
/// How long a lakeFS that does not listen (it restarts) is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// After a failed login, nobody tries again for so long.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// A bearer younger than this that is refused is not the reason.
const SETTLED: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::types::Secret;
    use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};
    use http::{HeaderMap, header};

    const LOGIN: &str = "/api/v1/auth/login";

    fn login(lakefs: &FakeLakefs, logins: &Logins, secret: &str) -> Arc<Login> {
        let pair = LoginConfig {
            access_key_id: Secret::new(KEY),
            secret_access_key: Secret::new(secret),
        };
        logins.of(&pair, &lakefs.client(), &Arc::new(Metrics::new()))
    }

    fn whose(lakefs: &FakeLakefs, bearer: &Bearer) -> Result<Option<String>, ()> {
        lakefs.whose(&HeaderMap::from_iter([(header::AUTHORIZATION, bearer.header.clone())]))
    }

    async fn pass(time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    fn counted(login: &Login, outcome: &'static str) -> u64 {
        login
            .metrics
            .upstream_logins
            .get_or_create(&OutcomeLabels { outcome })
            .get()
    }

    #[tokio::test]
    async fn a_hundred_requests_at_once_are_one_login() {
        let lakefs = FakeLakefs::start().await;
        let login = login(&lakefs, &Logins::default(), SECRET);
        lakefs.hold();
        let ask = |_| {
            let login = Arc::clone(&login);
            tokio::spawn(async move { login.bearer().await })
        };
        let asking: Vec<_> = (0..100).map(ask).collect();
        lakefs.arrived(1).await;
        lakefs.release();
        for asked in asking {
            let bearer = asked.await.unwrap().unwrap();
            assert_eq!(whose(&lakefs, &bearer), Ok(Some("admin".into())));
        }
        assert_eq!((lakefs.calls(LOGIN), counted(&login, "ok")), (1, 1));
    }

    #[tokio::test]
    async fn it_is_refreshed_ahead_of_its_end_and_the_old_one_serves_meanwhile() {
        let lakefs = FakeLakefs::start().await;
        lakefs.set_lifetime(1000);
        let login = login(&lakefs, &Logins::default(), SECRET);
        let first = login.bearer().await.unwrap();
        pass(Duration::from_secs(790)).await;
        assert_eq!(login.bearer().await.unwrap().header, first.header);
        pass(Duration::from_secs(20)).await;
        lakefs.hold();
        for _ in 0..10 {
            assert_eq!(
                login.bearer().await.unwrap().header,
                first.header,
                "while the refresh is under way"
            );
        }
        lakefs.arrived(2).await;
        let refresh = login.state().flight.clone().unwrap();
        lakefs.release();
        let second = refresh.await.unwrap();
        assert_ne!(second.header, first.header);
        assert_eq!(login.bearer().await.unwrap().header, second.header);
        assert_eq!(lakefs.calls(LOGIN), 2);
    }

    #[tokio::test]
    async fn a_failed_refresh_leaves_the_old_one_serving_until_its_end() {
        let lakefs = FakeLakefs::start().await;
        lakefs.set_lifetime(1000);
        let login = login(&lakefs, &Logins::default(), SECRET);
        let first = login.bearer().await.unwrap();
        lakefs.fail_with(Some(http::StatusCode::INTERNAL_SERVER_ERROR));
        pass(Duration::from_secs(900)).await;
        assert_eq!(login.bearer().await.unwrap().header, first.header);
        let refresh = login.state().flight.clone().unwrap();
        assert!(refresh.await.is_err());
        assert_eq!(login.bearer().await.unwrap().header, first.header);
        assert_eq!(lakefs.calls(LOGIN), 2, "and lakeFS is left in peace for a moment");
        pass(Duration::from_secs(101)).await;
        assert!(login.bearer().await.is_err());
        assert_eq!((lakefs.calls(LOGIN), counted(&login, "failed")), (3, 2));
        lakefs.fail_with(None);
        pass(RETRY_AFTER).await;
        assert!(login.bearer().await.is_ok());
    }

    #[tokio::test]
    async fn a_wrong_pair_is_not_tried_for_every_request() {
        let lakefs = FakeLakefs::start().await;
        let login = login(&lakefs, &Logins::default(), "wrong");
        for _ in 0..10 {
            assert!(matches!(login.bearer().await, Err(AskError::Broken(_))));
        }
        assert_eq!(lakefs.calls(LOGIN), 1);
    }

    #[tokio::test]
    async fn one_that_lakefs_no_longer_takes_is_replaced_once() {
        let lakefs = FakeLakefs::start().await;
        let login = login(&lakefs, &Logins::default(), SECRET);
        let first = login.bearer().await.unwrap();
        lakefs.set_secret("another");
        assert_eq!(whose(&lakefs, &first), Err(()));
        login.refused(&first);
        assert_eq!(
            login.bearer().await.unwrap().header,
            first.header,
            "it is too young to be the reason"
        );
        pass(SETTLED).await;
        login.refused(&first);
        let second = login.bearer().await.unwrap();
        assert_eq!(whose(&lakefs, &second), Ok(Some("admin".into())));
        pass(SETTLED).await;
        // A late answer to the first.
        login.refused(&first);
        assert_eq!(login.bearer().await.unwrap().header, second.header);
        assert_eq!(lakefs.calls(LOGIN), 2);
    }

    #[tokio::test]
    async fn a_reload_that_keeps_the_pair_keeps_the_token() {
        let lakefs = FakeLakefs::start().await;
        let logins = Logins::default();
        let before = login(&lakefs, &logins, SECRET);
        before.bearer().await.unwrap();
        let after = login(&lakefs, &logins, SECRET);
        drop(before);
        after.bearer().await.unwrap();
        assert_eq!(lakefs.calls(LOGIN), 1);
        let other = login(&lakefs, &logins, "wrong");
        assert!(!Arc::ptr_eq(&after, &other));
        drop((after, other));
        login(&lakefs, &logins, SECRET);
        assert_eq!(logins.0.lock().unwrap().len(), 1);
    }
}
