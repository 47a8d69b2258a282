//! What of auth outlives a reload: what lakeFS said of credentials, the gateway's own bearers, who failed how often.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::attempts::Attempts;
use super::login::{Login, Logins};
use super::mint::{MAX_MINTED, Minted};
use super::proof::Proofs;
use super::sigv4::SigningKeys;
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
    pub(super) signing: SigningKeys,
    /// A permit for each KiB of the signed chunks that may be held at a time.
    pub(super) chunks: Arc<Semaphore>,
}

impl State {
    /// Nothing known yet. Whatever lakeFS is asked goes by `client`, on its runtime.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        let attempts = Arc::new(Attempts::new());
        Self {
            logins: Logins::default(),
            proofs: Arc::new(Proofs::new(client.clone(), Arc::clone(&attempts))),
            minted: Minted::new(MAX_MINTED),
            signing: SigningKeys::new(),
            chunks: Arc::new(Semaphore::new(CHUNKS_KIB)),
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

/// All signed chunks that are held, together: 256 MiB.
pub(super) const CHUNKS_KIB: usize = 256 << 10;
