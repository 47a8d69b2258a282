//! One request's time at lakeFS, for the learned limit: from its slot to the answer's head, and what the answer says of lakeFS's load.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::State;
use super::adaptive::{Outcome, Sample};
use super::plan::Plan;
use super::priority::Priority;
use super::slot::Slot;
use crate::exchange::{Response, headers};
use crate::lakefs::{Class, Operation};

/// A request on its way; tells the controller when it ends, however it ends.
#[derive(Debug)]
pub(super) struct Measure {
    state: Arc<State>,
    operation: Operation,
    began: Instant,
    among: usize,
}

impl Measure {
    /// A commit takes as long as there is to commit, garbage collection even longer, a stream or a body that is still coming as long as its
    /// client: that is not latency.
    pub(super) fn begin(state: &Arc<State>, plan: &Plan<'_>) -> Option<Self> {
        let tells = match plan.priority {
            Priority::Interactive | Priority::Scan => plan.slot == Slot::Request,
            Priority::Upload => plan.slot == Slot::Request && plan.outlives_client,
            Priority::Commit | Priority::Collection => false,
        };
        tells.then(|| Self {
            state: Arc::clone(state),
            operation: plan.operation,
            began: Instant::now(),
            among: state.slots.among(),
        })
    }

    /// The answer's head is here.
    pub(super) fn answered(mut self, response: &Response) {
        if let Some(outcome) = outcome(self.operation, response) {
            self.tell(outcome);
        }
        // It has been told, or tells nothing.
        self.among = 0;
    }

    fn tell(&mut self, outcome: Outcome) {
        self.state.slots.learn(Sample {
            operation: self.operation,
            outcome,
            began: self.began,
            among: self.among,
        });
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        if self.among > 0 {
            self.tell(Outcome::Unanswered);
        }
    }
}

/// lakeFS answers 429 only to those who lose a race on a branch, which tells nothing of its load: where nothing is written, it comes from
/// something that stands before it and counts. Failures are fast or slow for reasons of their own.
fn outcome(operation: Operation, response: &Response) -> Option<Outcome> {
    let status = response.status();
    let own = response.headers().contains_key(headers::REASON);
    let writes = matches!(operation.spec().class, Class::Write | Class::Merge | Class::Branch);
    match status {
        StatusCode::GATEWAY_TIMEOUT => Some(Outcome::Unanswered),
        _ if own => None,
        StatusCode::SERVICE_UNAVAILABLE => Some(Outcome::Overloaded),
        StatusCode::TOO_MANY_REQUESTS if !writes => Some(Outcome::Overloaded),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => None,
        _ => Some(Outcome::Answered),
    }
}
