//! Limit: clients wait a fair turn instead of meeting "too many requests".
//!
//! A request takes its principal's share (`share`), then the turn on the branch it changes (`turn`), then a slot of the upstream (`slot`),
//! and waits for each, in line, `max_wait` in all (`queue`). Nobody holds a slot, or a place among its principal's requests on their way,
//! while it waits for a turn: reads never wait for a branch. A write whose body is still coming is the exception: it goes up, and only its
//! last bytes wait for the turn (`tail`). [`State`] lives on when the configuration is reloaded.

pub mod plan;
pub mod priority;
pub mod slot;

mod adaptive;
mod admit;
mod bucket;
mod clock;
mod door;
mod gate;
mod line;
mod measure;
mod order;
mod pace;
mod queue;
mod share;
mod tail;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::Arc;

use http::StatusCode;
use hyper::ext::ReasonPhrase;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use crate::config::{LimitConfig, Mode, RuleMode, UpstreamLimit};
use crate::exchange::step::Inner;
use crate::exchange::{Body, Context, Next, Rejection, Request, Response, Step};
use crate::lakefs::Protocol;
use crate::observe::Metrics;

pub use bucket::Rate;
pub use order::Kind;
pub use plan::Plan;
pub use priority::Priority;
pub use slot::Slot;

use queue::Queue;
use share::Shares;
use slot::Slots;
use tail::{Hold, TAILS_MAX, Tail};
use turn::Turns;

/// What lives on when the configuration changes: who has used what, who has a turn, who waits.
#[derive(Debug)]
pub struct State {
    shares: Shares,
    turns: Arc<Turns>,
    slots: Slots,
    queue: Queue,
    /// Places for the tails that wait.
    tails: Semaphore,
    /// How many mutations that outlive their clients are under way.
    mutations: watch::Sender<usize>,
    metrics: Arc<Metrics>,
}

/// One mutation under way that outlives its client.
struct Mutation(Arc<State>);

impl Mutation {
    fn begin(state: &Arc<State>) -> Self {
        state.mutations.send_modify(|count| *count += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Mutation {
    fn drop(&mut self) {
        self.0.mutations.send_modify(|count| *count -= 1);
    }
}

/// The request of a client that may leave before the last bytes of its body have gone: then it is given up.
struct Client {
    hold: Arc<Hold>,
    task: AbortHandle,
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.hold.cut() {
            self.task.abort();
        }
    }
}

impl State {
    /// Nobody has used anything yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            shares: Shares::new(),
            turns: Arc::default(),
            slots: Slots::new(&UpstreamLimit::default(), Arc::clone(&metrics)),
            queue: Queue::new(Arc::clone(&metrics)),
            tails: Semaphore::new(TAILS_MAX),
            mutations: watch::Sender::new(0),
            metrics,
        }
    }

    /// How many requests wait now.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// How many principals have a share: those that used anything lately.
    pub fn principals(&self) -> usize {
        self.shares.len()
    }

    /// Waits until every mutation has its answer, also those whose clients have left. A drain that ends before cuts them off: lakeFS
    /// then cancels their work.
    pub async fn mutations_done(&self) {
        // The sender is `self`'s own, so this cannot fail.
        let _ = self.mutations.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Waits for the turn on a branch, for work of the gateway's own; ended when what it answers is dropped.
    pub async fn turn(&self, repository: &str, branch: &str) -> impl Send + use<> {
        let own = Arc::from("");
        self.turns.at(repository, branch, Kind::Moves, &own).turn().await
    }

    /// On how many branches somebody has a turn.
    pub fn branches(&self) -> usize {
        self.turns.branches()
    }
}

/// The limit layer.
#[derive(Debug, Clone)]
pub struct Limit {
    config: LimitConfig,
    enforced: bool,
    too_many: StatusCode,
    state: Arc<State>,
}

impl Limit {
    /// Puts the sizes and rates of `config` into force, for requests under way too: `state` is what they share.
    pub fn new(config: &LimitConfig, mode: Mode, state: Arc<State>) -> Self {
        let enforced = mode == Mode::Enforce && config.mode == RuleMode::Enforce;
        state.slots.resize(&config.upstream, enforced);
        Self {
            enforced,
            too_many: StatusCode::from_u16(config.too_many_status).unwrap_or(StatusCode::TOO_MANY_REQUESTS),
            config: config.clone(),
            state,
        }
    }
}

impl Step for Limit {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let method = request.method().clone();
        let Some(classified) = context.classified() else {
            tracing::error!(request.id = %context.id(), "a request came to the limits unclassified");
            return Rejection::Internal.respond(&context, &method);
        };
        let plan = Plan::of(classified, request.body().is_complete(), &self.config);
        let admitted = if self.enforced {
            match self.admit(&plan, &context).await {
                Ok(admitted) => admitted,
                Err(rejection) => return rejection.respond(&context, &method),
            }
        } else {
            self.admit_in_shadow(&plan, &context)
        };
        let tail = plan.turns.as_ref().is_some_and(|turns| turns.at_the_end);
        let hold = tail.then(Hold::new);
        let request = match &hold {
            Some(hold) => {
                let turning = self.turning(&plan, &context);
                request.map(|body| Body::new(Tail::new(body, Arc::clone(hold), turning)))
            }
            None => request,
        };
        let (slot, held) = (plan.slot, hold.clone());
        let run = async move {
            let response = next.run(request).await;
            held.iter().for_each(|hold| hold.answered());
            admitted.release(response, slot)
        };
        let mut response = if plan.outlives_client || tail {
            // hyper drops this future when the client leaves; the task goes on, and its answer ends the turn.
            let mutation = Mutation::begin(&self.state);
            let task = async move {
                let _mutation = mutation;
                run.await
            };
            let task = tokio::spawn(task.in_current_span());
            let _client = hold.map(|hold| Client {
                hold,
                task: task.abort_handle(),
            });
            match task.await {
                Ok(response) => response,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Rejection::Internal.respond(&context, &method),
                },
            }
        } else {
            run.await
        };
        if classified.protocol == Protocol::Rest {
            one_too_many(&mut response, self.too_many);
        }
        response
    }
}

/// lakeFS's words for "too many" changed over time: 423 on old servers (420 in their documents), now 429. Clients get one of them.
fn one_too_many(response: &mut Response, too_many: StatusCode) {
    if matches!(response.status().as_u16(), 420 | 423 | 429) && response.status() != too_many {
        *response.status_mut() = too_many;
        response.extensions_mut().remove::<ReasonPhrase>();
    }
}
