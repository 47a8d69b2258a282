//! Whether the gateway can do its work: lakeFS answers, the store writes, no drain is under way.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::lakefs_client::Client;
use crate::store::Store;

/// How long an answer of lakeFS and the store counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long a check may take; whoever asks for health does not wait long either.
const PATIENCE: Duration = Duration::from_secs(3);

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Whether all checks are good.
    pub(super) ready: bool,
    /// `ok` or what is wrong, by check.
    pub(super) checks: BTreeMap<&'static str, String>,
}

type Checks = BTreeMap<&'static str, Result<(), String>>;
type Check = Shared<BoxFuture<'static, Checks>>;

/// Asks, at most once a second, however many want to know.
pub(super) struct Health {
    client: Client,
    store: Store,
    draining: Box<dyn Fn() -> bool + Send + Sync>,
    last: Mutex<Option<(Instant, Check)>>,
}

impl Health {
    pub(super) fn new(client: Client, store: Store, draining: Box<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self {
            client,
            store,
            draining,
            last: Mutex::new(None),
        }
    }

    /// The state of things, at most a second old.
    pub(super) async fn report(&self) -> Report {
        let mut checks = self.check().await;
        let draining = if (self.draining)() {
            Err("a drain is under way".to_owned())
        } else {
            Ok(())
        };
        checks.insert("draining", draining);
        Report {
            ready: checks.values().all(Result::is_ok),
            checks: checks
                .into_iter()
                .map(|(name, outcome)| (name, outcome.err().unwrap_or_else(|| "ok".into())))
                .collect(),
        }
    }

    /// The check under way or just made, or a new one.
    fn check(&self) -> Check {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref() {
            Some((begun, check)) if check.peek().is_none() || begun.elapsed() < FRESH => check.clone(),
            _ => {
                let check = ask(self.client.clone(), self.store.clone()).boxed().shared();
                *last = Some((Instant::now(), check.clone()));
                check
            }
        }
    }
}

async fn ask(client: Client, store: Store) -> Checks {
    let (upstream, store) = tokio::join!(within(client.health()), within(store.check()));
    BTreeMap::from([("upstream", upstream), ("store", store)])
}

async fn within<E: Error>(check: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match timeout(PATIENCE, check).await {
        Ok(outcome) => outcome.map_err(|error| with_causes(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// An error and what lies under it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line = format!("{line}: {cause}");
        next = cause.source();
    }
    line
}
