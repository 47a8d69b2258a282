//! What must be on disk before a request goes to lakeFS. Stands below limit, so that nothing is written for what is refused, and what
//! is written is true when the request goes.
//!
//! That is the intent of a multipart upload ([`UploadIntent`]: a crash between lakeFS's create and its answer then leaves a trace), and the
//! head that a destructive call is about to lose (`destroy`), by which it can be brought back (`apply`). What rules ask of a request is met
//! here too (`require`): below the turn, what it is compared with stays true.
//!
//! It is also the place that hands the answer to whoever asked for it ([`Afterwards`]): below limit, mutations outlive their clients.

mod apply;
mod approvals;
mod destroy;
mod require;
mod state;
mod subject;
mod sweep;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};

use crate::config::{Mode, RecordConfig, UndoOperation, Unreadable};
use crate::exchange::step::{Inner, Next, Step};
use crate::exchange::{Afterwards, Context, Rejection, Request, Response, headers};
use crate::lakefs::Protocol;
use crate::lakefs_client::{Caller, Identity, RefsError};
use crate::store::{Approval, StoreError, UploadIntent};

pub use apply::{Applied, Apply, Shown};
pub use state::State;

use destroy::Lost;
use state::Look;
use subject::Subject;

/// A command that is not followed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub StatusCode, pub String);

/// Who gives a command by the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator {
    /// As whom they say they act.
    pub name: Option<String>,
    /// The system's user behind the socket.
    pub uid: Option<u32>,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.uid) {
            (Some(name), Some(uid)) => write!(f, "{name} (uid {uid})"),
            (Some(name), None) => f.write_str(name),
            (None, Some(uid)) => write!(f, "uid {uid}"),
            (None, None) => f.write_str("an operator"),
        }
    }
}

/// What of a request is looked at once its head has been read.
struct Sent {
    method: Method,
    /// What the client has confirmed.
    confirmed: Option<HeaderValue>,
    /// The approval that a rule wants for it.
    wanted: Option<Approval>,
}

/// The record layer.
#[derive(Debug)]
pub struct Record {
    state: Arc<State>,
    operations: Vec<UndoOperation>,
    unreadable: Unreadable,
    identity: Option<Arc<dyn Identity>>,
    mode: Mode,
}

impl Record {
    /// The layer of this configuration, over the live state, which gets it too. `identity` is the gateway's own user. In `Mode::Observe`
    /// nothing is pinned, and what cannot be recorded goes all the same.
    pub fn new(config: &RecordConfig, mode: Mode, state: Arc<State>, identity: Option<Arc<dyn Identity>>) -> Self {
        let mut config = config.clone();
        if mode == Mode::Observe {
            // A gateway that only looks on leaves nothing in lakeFS.
            config.undo.pin.clear();
        }
        state.reconfigure(&config, identity.clone());
        Self {
            state,
            operations: config.undo.operations.clone(),
            unreadable: config.undo.unreadable,
            identity,
            mode,
        }
    }

    async fn record<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        let confirmed = request.headers_mut().remove(headers::CONFIRM);
        if let Some(UploadIntent(upload)) = request.extensions_mut().remove()
            && let Err(error) = self.state.store.put_upload(upload).await
        {
            let (context, rejection) = (Context::of(&request), cannot(&error));
            if rejection.bites(self.mode, &context, "cannot-record") {
                return rejection.respond(&context, request.method());
            }
        }
        let context = Context::of(&request);
        let Some(subject) = self.subject(&context) else {
            return next.run(request).await;
        };
        let caller = match &self.identity {
            Some(identity) => Caller::Gateway(Arc::clone(identity)),
            None => Caller::client(request.headers()),
        };
        let sent = Sent {
            method: request.method().clone(),
            confirmed,
            wanted: approvals::wanted(&context, &request),
        };
        match self.prepare(&context, &caller, &subject, sent).await {
            Err(rejection) => rejection.respond(&context, request.method()),
            Ok(None) => next.run(request).await,
            Ok(Some(lost)) => {
                let state = &self.state;
                state.follow(&context, &caller, &subject, lost, (request, next)).await
            }
        }
    }

    /// What is to be looked at, if anything is to be written down or asked.
    fn subject(&self, context: &Context) -> Option<Subject> {
        let classified = context.classified()?;
        let kind = subject::kind(classified.operation).filter(|kind| self.operations.contains(kind));
        let wanted = kind.is_some() || !context.requirements().is_empty();
        wanted.then(|| Subject::of(classified, kind))
    }

    /// Looks at what is about to be lost, meets what rules ask, and writes it down.
    async fn prepare(
        &self,
        context: &Context,
        caller: &Caller,
        subject: &Subject,
        sent: Sent,
    ) -> Result<Option<Lost>, Rejection> {
        let looked = self.state.look(caller, &subject.place, subject.kind).await;
        let (look, nothing_there) = match looked {
            Ok(Some(look)) => (look, false),
            Ok(None) => (Look::default(), true),
            // lakeFS takes no such name, so there is nothing to lose, and it says so of the request itself.
            Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) => (Look::default(), true),
            Err(error) => {
                let rest = context
                    .classified()
                    .is_some_and(|classified| classified.protocol == Protocol::Rest);
                let of_client = matches!(caller, Caller::Client(_));
                // lakeFS will say the same of the request itself, in its own words.
                if matches!(error, RefsError::Unauthenticated) && of_client && rest && context.requirements().is_empty()
                {
                    return Ok(None);
                }
                self.unreadable(context, &error)?;
                (Look::default(), false)
            }
        };
        let draft = destroy::draft(context, &sent.method, subject, look);
        self.meet(context, sent, &subject.place, draft.commit.as_deref())
            .await?;
        let Some(kind) = subject.kind.filter(|_| !nothing_there) else {
            return Ok(None);
        };
        let mut lost = Lost::watch(&self.state, draft);
        if let Err(error) = self.state.begin(caller, kind, &mut lost.undo).await {
            lost.found();
            let rejection = cannot(&error);
            return match rejection.bites(self.mode, context, "cannot-record") {
                true => Err(rejection),
                false => Ok(None),
            };
        }
        Ok(Some(lost))
    }

    /// Whether a call whose head cannot be read is refused. Where a rule asks something it always is: nothing could be compared.
    fn unreadable(&self, context: &Context, error: &RefsError) -> Result<(), Rejection> {
        let rejection = Rejection::CannotRecord(format!("the head about to be lost cannot be read: {error}"));
        let goes = self.unreadable == Unreadable::Forward && context.requirements().is_empty();
        if goes || !rejection.bites(self.mode, context, "record.undo.unreadable") {
            tracing::warn!(
                target: "lakegate::undo", %error, request.id = %context.id(),
                "the head about to be lost cannot be read, and the call goes on"
            );
            return Ok(());
        }
        Err(rejection)
    }
}

impl Step for Record {
    async fn call<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        let afterwards: Option<Afterwards> = request.extensions_mut().remove();
        let response = self.record(request, next).await;
        match afterwards {
            Some(afterwards) => afterwards.run(response),
            None => response,
        }
    }
}

/// The store has logged what is wrong with it; the access line gets it as this request's cause.
fn cannot(error: &StoreError) -> Rejection {
    Rejection::CannotRecord(match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}

/// The store cannot be read or written. Whoever asks is the operator: tell it.
fn broken(error: &StoreError) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
