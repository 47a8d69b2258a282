//! A request's way through the gateway, written once: the whole stack, outermost layer first.
//!
//! A reload builds a new stack from the new configuration over the same live state and swaps one pointer.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tower::ServiceBuilder;

use crate::audit::{Admit, Audit};
use crate::auth::{self, Auth};
use crate::config::Config;
use crate::exchange::classify::InspectionLimits;
use crate::exchange::step::{Answer, Inner, step};
use crate::exchange::{Classify, Request, Response};
use crate::guard::{self, Guard};
use crate::lakefs_client::Dialer;
use crate::limit::{self, Limit};
use crate::observe::{Metrics, Observe};
use crate::record::{self, Record};
use crate::replicas::Replicas;
use crate::store::Store;
use crate::uploads::{Ledger, Uploads};
use crate::upstream::{Pools, Upstream};

/// What outlives configuration: made once by the server, shared by every pipeline that is built.
#[derive(Debug, Clone)]
pub struct State {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// A permit for each KiB of the bodies that may be read for judgement at a time.
    pub inspection: Arc<Semaphore>,
    /// The log of decisions.
    pub audit: Arc<Audit>,
    /// Bearers, proofs, failed logins.
    pub auth: Arc<auth::State>,
    /// lakeFS's own rules.
    pub guard: Arc<guard::State>,
    /// The ledger of uploads.
    pub ledger: Arc<Ledger>,
    /// Buckets, turns, slots.
    pub limit: Arc<limit::State>,
    /// What survives a restart.
    pub store: Store,
    /// This gateway among others.
    pub replicas: Replicas,
    /// The heads that were lost, the approvals.
    pub record: Arc<record::State>,
    /// How lakeFS is reached.
    pub dialer: Arc<Dialer>,
    /// Connections to lakeFS, a pool a data thread.
    pub pools: Arc<Pools>,
}

/// The whole stack, outermost layer first.
pub fn build(config: &Config, state: &State) -> Pipeline {
    let inspection = InspectionLimits {
        body: config.server.inspected_body.as_usize(),
        timeout: config.server.inspected_timeout.0,
    };
    let stack = ServiceBuilder::new()
        // Request id, span, one access line; a panic below becomes a 500.
        // Audit is told of its end.
        .layer(step(
            Observe::new(config.server.trusted_proxies.clone(), Arc::clone(&state.metrics))
                .seen_by(Arc::clone(&state.audit) as _),
        ))
        // What the request is: operation, targets, force. Reads, with caps, the bodies it must judge.
        .layer(step(Classify::new(
            config.upstream.s3_domains.clone(),
            inspection,
            config.mode,
            Arc::clone(&state.inspection),
        )))
        // Who sent it; the client's credential goes, the lakeFS bearer comes.
        .layer(step(Auth::new(&config.auth, config.mode, Arc::clone(&state.auth))))
        // Outside guard and limit, so that a refused upload is in the ledger too.
        .layer(step(Uploads::new(
            config.mode,
            Arc::clone(&state.ledger),
            auth::service(&config.auth, &state.auth),
        )))
        // Before limit: only what will be forwarded takes a token or a place in the queue.
        .layer(step(Guard::new(
            &config.guard,
            config.mode,
            Arc::clone(&state.guard),
            auth::service(&config.auth, &state.auth),
        )))
        // The principal's share, then the turn on the branch, then a slot of the upstream.
        .layer(step(Limit::new(&config.limit, config.mode, Arc::clone(&state.limit))))
        // After limit: a change goes only if its line in the audit log has a place.
        .layer(step(Admit::new(Arc::clone(&state.audit), config.mode)))
        // After limit: what it writes down must still be true when the request goes.
        .layer(step(Record::new(
            &config.record,
            config.mode,
            Arc::clone(&state.record),
            auth::service(&config.auth, &state.auth),
        )))
        .service(Upstream::new(
            &config.upstream,
            config.mode,
            config.limit.max_wait.0,
            Arc::clone(&state.dialer),
            Arc::clone(&state.pools),
            Arc::clone(&state.metrics),
        ));
    Pipeline::new(stack)
}

/// The stack, ready to take requests; cheap to clone.
#[derive(Clone)]
pub struct Pipeline(Arc<dyn Dispatch>);

impl Pipeline {
    /// Wraps a built stack.
    pub fn new<S: Inner + Sync>(stack: S) -> Self {
        Self(Arc::new(stack))
    }

    /// Sends a request through the stack. Never fails: every error is an answer by then.
    pub async fn dispatch(&self, request: Request) -> Response {
        match self.0.dispatch(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipeline")
    }
}

trait Dispatch: Send + Sync {
    fn dispatch(&self, request: Request) -> Answer;
}

impl<S: Inner + Sync> Dispatch for S {
    fn dispatch(&self, request: Request) -> Answer {
        let mut stack = self.clone();
        Box::pin(async move { Ok::<_, Infallible>(never(stack.call(request).await)) })
    }
}

fn never(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
