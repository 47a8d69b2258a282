//! A request's way through the gateway, written once: the whole stack, outermost layer first.
//!
//! A reload builds a new stack from the new configuration over the same live state and swaps one pointer.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::exchange::step::{Answer, Inner};
use crate::exchange::{Request, Response};

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
