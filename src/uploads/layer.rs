//! The uploads layer: sees the steps of presigned multipart uploads go by. Stands outside guard and limit, so that refused ones are in
//! the ledger too. It changes nothing of a request or an answer and never holds one back.

use std::sync::Arc;

use http::{StatusCode, header};

use super::Ledger;
use super::lifecycle::{Outcome, Step as UploadStep};
use super::redact;
use super::scan::Scanner;
use super::seen::{Answer, NAME_MAX, PATH_MAX, Seen};
use super::watched::Watched;
use super::xml;
use crate::config::Mode;
use crate::exchange::step::{Inner, Next, Step};
use crate::exchange::{Afterwards, Body, Context, Ended, Rejection, Request, Response};
use crate::lakefs_client::Identity;
use crate::store::{Kind, State, Timestamp, UploadIntent, clip};

/// The uploads layer.
#[derive(Debug)]
pub struct Uploads {
    ledger: Arc<Ledger>,
}

impl Uploads {
    /// The layer of this configuration over the live ledger, which gets it too. `identity` is the gateway's own user. In `Mode::Observe`
    /// the gateway ends no upload.
    pub fn new(mode: Mode, ledger: Arc<Ledger>, identity: Option<Arc<dyn Identity>>) -> Self {
        ledger.act_as(mode, identity);
        Self { ledger }
    }
}

impl Step for Uploads {
    async fn call<S: Inner>(&self, mut request: Request, next: Next<S>) -> Response {
        let context = Context::of(&request);
        let Some(mut seen) = Seen::of(&request, &context) else {
            return next.run(request).await;
        };
        let address = seen.read(request.extensions().get().cloned()).await;
        seen.sealed_address = address.and_then(|address| self.ledger.seal(&seen, address.expose()));
        let seen = Arc::new(seen);
        match seen.step {
            // `record` writes it, durably, when the request is about to go.
            UploadStep::Create => {
                _ = request
                    .extensions_mut()
                    .insert(UploadIntent(seen.record(State::Intent)))
            }
            UploadStep::Complete => {
                // Another replica may have seen its create a moment ago, or its first complete.
                self.ledger.replicas.caught_up().await;
                self.ledger.asked(&seen);
            }
            _ => {}
        }
        let watch = Watch::new(Arc::clone(&self.ledger), context, seen);
        // The answer may come when the client has left and this future is gone.
        let afterwards = Afterwards::new(|response| watch.answered(response));
        request.extensions_mut().insert(afterwards.clone());
        let response = next.run(request).await;
        afterwards.run(response)
    }
}

/// Follows one step to its end. Dropped before that, it says that the answer is lost.
pub(super) struct Watch {
    ledger: Arc<Ledger>,
    context: Context,
    seen: Arc<Seen>,
    scanner: Scanner,
    xml: xml::Scanner,
    /// A part's, from the answer's head.
    etag: Option<String>,
    /// lakeFS's or the gateway's answer, once its head is there.
    status: Option<StatusCode>,
    told: bool,
}

impl Watch {
    pub(super) fn new(ledger: Arc<Ledger>, context: Context, seen: Arc<Seen>) -> Self {
        Self {
            ledger,
            context,
            seen,
            scanner: Scanner::new(&[]),
            xml: xml::Scanner::new(&[]),
            etag: None,
            status: None,
            told: false,
        }
    }

    /// Goes with the answer's body.
    fn answered(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        self.etag = etag.map(|etag| clip(etag.trim_matches('"'), 128).to_owned());
        self.xml = xml::Scanner::new(match self.seen.step {
            _ if self.seen.kind != Kind::S3 => &[],
            _ if !response.status().is_success() => &[("Message", 1024)],
            UploadStep::Create => &[("UploadId", NAME_MAX)],
            // A complete that takes long begins with 200 and may end with an error.
            UploadStep::Complete => &[("ETag", 128), ("Message", 1024)],
            _ => &[],
        });
        self.scanner = Scanner::new(match self.seen.step {
            _ if self.seen.kind == Kind::S3 => &[],
            _ if !response.status().is_success() => &[("message", 1024)],
            UploadStep::Create => &[("physical_address", PATH_MAX), ("upload_id", NAME_MAX)],
            UploadStep::Complete => &[("checksum", 128), ("size_bytes", 0)],
            _ => &[],
        });
        response.map(|body| Body::new(Watched::new(body, self)))
    }

    /// Whether the rest of the answer matters though nobody wants to have it: without its id an upload cannot be found again.
    pub(super) fn needs_the_rest(&self) -> bool {
        let created = self.status.is_some_and(|status| status.is_success());
        self.seen.step == UploadStep::Create && created && !self.told
    }

    /// Sees a piece of the answer go by.
    pub(super) fn pass(&mut self, chunk: &[u8]) {
        if self.told {
            return;
        }
        match self.seen.kind {
            Kind::S3 => self.xml.feed(chunk),
            Kind::Pmpu | Kind::Cpmpu => self.scanner.feed(chunk),
        }
        // Known before the client can know it: its next step finds the record.
        if self.seen.step == UploadStep::Create && self.upload_id().is_some() {
            self.tell(None);
        }
    }

    pub(super) fn end(&mut self, ended: Ended) {
        let cut = match ended {
            Ended::Done => None,
            Ended::Failed => Some("the answer was cut short"),
            Ended::Dropped => Some("the client left before the end of the answer"),
        };
        self.tell(cut);
    }

    fn tell(&mut self, cut: Option<&str>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let answer = self.answer(cut);
        self.ledger.ended(&self.seen, answer);
    }

    fn upload_id(&self) -> Option<String> {
        self.scanner.text("upload_id").or_else(|| self.xml.text("UploadId"))
    }

    /// A part's, from the head, or the object's, from the body.
    fn etag_told(&self) -> Option<String> {
        let object = self.xml.text("ETag").map(|etag| etag.trim_matches('"').to_owned());
        let of_a_part = matches!(self.seen.step, UploadStep::Part | UploadStep::PartCopy);
        object.or_else(|| self.etag.clone().filter(|_| of_a_part))
    }

    fn answer(&self, cut: Option<&str>) -> Answer {
        let facts = self.context.facts();
        let mut outcome = outcome(self.status, facts.reason);
        let upload_id = self.upload_id();
        let message = self
            .scanner
            .beginning("message")
            .or_else(|| self.xml.beginning("Message"));
        let message = message.map(|text| redact::message(&text));
        if self.seen.kind == Kind::S3 && outcome == Outcome::Done && message.is_some() {
            outcome = Outcome::Failed;
        }
        let mut error = match (facts.reason, message) {
            (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
            (Some(reason), None) => Some(reason.to_owned()),
            (None, message) => message,
        };
        if outcome == Outcome::Done && self.seen.step == UploadStep::Create && upload_id.is_none() {
            outcome = Outcome::Lost;
            error = Some(cut.unwrap_or("the answer names no upload id").to_owned());
        } else if outcome == Outcome::Lost && error.is_none() {
            error = Some(cut.unwrap_or("no answer").to_owned());
        }
        let address = self.scanner.text("physical_address");
        Answer {
            outcome,
            status: self.status.map(|status| status.as_u16()),
            reason: facts.reason,
            upstream_request_id: facts.upstream_request_id.clone(),
            upload_id,
            sealed_address: address
                .as_deref()
                .and_then(|address| self.ledger.seal(&self.seen, address)),
            physical_address: address.map(|address| redact::unsigned(&address).to_owned()),
            checksum: self.scanner.text("checksum").or_else(|| self.etag_told()),
            bytes: self.scanner.number("size_bytes").or(self.seen.part_bytes),
            error,
            at: Timestamp::now(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(Some("the client left before the answer"));
    }
}

/// What an answer says of the step. `reason` is there if the gateway itself answered.
fn outcome(status: Option<StatusCode>, reason: Option<&'static str>) -> Outcome {
    let lost = [
        Rejection::UpstreamBroken(String::new()),
        Rejection::UpstreamTimeout,
        Rejection::Internal,
    ];
    match (status, reason) {
        (None, _) => Outcome::Lost,
        // The request had gone up, or may have.
        (_, Some(reason)) if lost.iter().any(|rejection| rejection.reason() == reason) => Outcome::Lost,
        (_, Some(_)) => Outcome::Refused,
        (Some(status), None) if status.is_success() => Outcome::Done,
        (Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED), None) => Outcome::Denied,
        (Some(_), None) => Outcome::Failed,
    }
}
