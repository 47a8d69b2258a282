//! The layer in front of lakeFS: a change goes only if its line has a place.

use std::sync::Arc;

use crate::config::Mode;
use crate::exchange::step::{Inner, Next, Step};
use crate::exchange::{Context, Rejection, Request, Response};

use super::ticket::Ticket;
use super::{Audit, entry};

/// The layer. Stands below limit: it holds a place only for what goes.
#[derive(Debug)]
pub struct Admit {
    audit: Arc<Audit>,
    mode: Mode,
}

impl Admit {
    /// In `Mode::Observe` what cannot be written down goes all the same.
    pub fn new(audit: Arc<Audit>, mode: Mode) -> Self {
        Self { audit, mode }
    }
}

impl Step for Admit {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        let Some(sink) = &self.audit.sink else {
            return next.run(request).await;
        };
        let (context, method) = (Context::of(&request), request.method().clone());
        let taken_down = context
            .classified()
            .is_some_and(|classified| entry::is_taken_down(classified.operation, &method));
        if !taken_down {
            return next.run(request).await;
        }
        let weight = entry::weight(&context);
        let place = if self.audit.refuses_when_full() {
            let place = sink.place(weight).await;
            let rejection = Rejection::CannotRecord("the audit log cannot be written".to_owned());
            if place.is_none() && rejection.bites(self.mode, &context, "audit.on_full") {
                return rejection.respond(&context, &method);
            }
            place
        } else {
            sink.try_place(weight)
        };
        let ticket = Arc::new(Ticket::new(Arc::clone(sink), context.clone(), method, place));
        context.facts().kept = Some(Arc::clone(&ticket) as _);
        let response = next.run(request).await;
        drop(ticket);
        response
    }
}
