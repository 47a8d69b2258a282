//! What of auth outlives a reload: what lakeFS said of credentials, the gateway's own bearers, who failed how often.

use std::sync::Arc;

use super::attempts::Attempts;
use super::login::{Login, Logins};
use super::mint::{MAX_MINTED, Minted};
use super::proof::Proofs;
use crate::config::LoginConfig;
use crate::lakefs_client::Client;
use crate::observe::Metrics;

/// The live state of auth, shared by the steps of successive configurations.
#[derive(Debug)]
pub struct State {
    client: Client,
    metrics: Arc<Metrics>,
    logins: Logins,
    pub(super) attempts: Arc<Attempts>,
    pub(super) proofs: Arc<Proofs>,
    pub(super) minted: Minted,
}

impl State {
    /// Nothing known yet. Whatever lakeFS is asked goes by `client`, on its runtime.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let attempts = Arc::new(Attempts::new());
        Self {
            logins: Logins::default(),
            proofs: Arc::new(Proofs::new(client.clone(), Arc::clone(&attempts))),
            minted: Minted::new(MAX_MINTED),
            attempts,
            client,
            metrics,
        }
    }

    /// The login of this pair, from now on if nobody used it before.
    pub(super) fn login(&self, pair: &LoginConfig) -> Arc<Login> {
        self.logins.of(pair, &self.client, &self.metrics)
    }
}
