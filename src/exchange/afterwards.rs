//! Work on an answer that a layer wants done even if the client has left by then.
//!
//! hyper drops a request's future when its client leaves; below limit a mutation goes on in a task of its own. A layer above limit puts
//! its work into the request's extensions, `record` does it when the answer is there; for a request that never came so far the layer
//! does it itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Response;

type Work = Box<dyn FnOnce(Response) -> Response + Send>;

/// Work that is done once, by whoever has the answer first. If nobody ever has one, it is dropped with the last handle.
#[derive(Clone)]
pub struct Afterwards(Arc<Mutex<Option<Work>>>);

impl Afterwards {
    /// Work to be done.
    pub fn new(work: impl FnOnce(Response) -> Response + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(work)))))
    }

    /// Does it, unless it is done already.
    pub fn run(&self, response: Response) -> Response {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match work {
            Some(work) => work(response),
            None => response,
        }
    }
}

impl fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Afterwards")
    }
}
