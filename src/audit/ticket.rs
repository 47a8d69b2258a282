//! A change's place in the queue, from before it goes to lakeFS until all is known of it.
//!
//! Two hold it: the task that speaks to lakeFS, which may outlive its client, and the request's end. Whoever drops it last writes.

use std::sync::{Arc, Mutex, PoisonError};

use http::Method;

use crate::exchange::Context;
use crate::observe::Finished;

use super::sink::{Place, Record, Sink};

/// See above.
#[derive(Debug)]
pub(super) struct Ticket {
    sink: Arc<Sink>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    record: Option<Record>,
    place: Option<Place>,
}

impl Ticket {
    pub(super) fn new(sink: Arc<Sink>, context: Context, method: Method, place: Option<Place>) -> Self {
        let record = Some(Record::begun(context, method));
        Self {
            sink,
            state: Mutex::new(State { record, place }),
        }
    }

    /// The request's end.
    pub(super) fn ended(&self, request: &Finished<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.record = Some(Record::of(request));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = state.record.take() {
            self.sink.write(record, state.place.take());
        }
    }
}
