//! What one step's request says, and what it does to the upload's record. Pure but for reading the request.

use std::net::IpAddr;

use http::header;
use tokio::time::Instant;
use uuid::Uuid;

use super::lifecycle::{Outcome, Step, next};
use super::redact;
use crate::config::types::Secret;
use crate::exchange::{Context, Inspected, Request};
use crate::lakefs::{Operation, Role, pmpu};
use crate::store::{Key, Kind, State, Timestamp, Upload, clip};

/// Longest texts that are kept, in bytes. lakeFS's names are shorter; S3's longest key has 1024 bytes.
pub(super) const NAME_MAX: usize = 512;
pub(super) const PATH_MAX: usize = 2048;
const USER_AGENT_MAX: usize = 120;
/// A body larger than this is parsed off the data thread.
const QUICK_BODY: usize = 32 << 10;

/// One step, as its request tells it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// Size of a part that passes.
    pub(super) part_bytes: Option<u64>,
    pub(super) step: Step,
    pub(super) repository: String,
    pub(super) branch: String,
    pub(super) path: String,
    /// lakeFS's upload id; a create does not know it yet.
    pub(super) upload_id: Option<String>,
    /// From the body of all steps but create, without its signature.
    pub(super) physical_address: Option<String>,
    /// The same with its signature, sealed.
    pub(super) sealed_address: Option<String>,
    pub(super) part_number: Option<u32>,
    pub(super) parts_asked: Option<u32>,
    /// Parts that a complete lists.
    pub(super) parts_count: Option<u32>,
    pub(super) principal: Option<String>,
    /// Whom it counts for.
    pub(super) share: Option<String>,
    pub(super) auth_method: Option<&'static str>,
    pub(super) client_address: IpAddr,
    pub(super) user_agent: Option<String>,
    pub(super) request_id: Uuid,
    pub(super) started: Instant,
    /// When it began, by the wall clock.
    pub(super) at: Timestamp,
}

/// What became of a step, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// What the client was answered.
    pub(super) status: Option<u16>,
    /// Reason code of a refusal of the gateway's own.
    pub(super) reason: Option<&'static str>,
    pub(super) upstream_request_id: Option<String>,
    pub(super) upload_id: Option<String>,
    pub(super) physical_address: Option<String>,
    pub(super) sealed_address: Option<String>,
    pub(super) checksum: Option<String>,
    pub(super) bytes: Option<u64>,
    pub(super) error: Option<String>,
    pub(super) at: Timestamp,
}

impl Answer {
    /// An outcome of which nothing more is known.
    pub(super) fn bare(outcome: Outcome, at: Timestamp) -> Self {
        Self {
            outcome,
            status: None,
            reason: None,
            upstream_request_id: None,
            upload_id: None,
            physical_address: None,
            sealed_address: None,
            checksum: None,
            bytes: None,
            error: None,
            at,
        }
    }
}

/// The signed address and the number of parts in a step's body.
fn read_body(step: Step, body: &[u8]) -> (Option<Secret>, Option<u32>) {
    let (address, parts) = match step {
        Step::Complete => {
            let body = pmpu::complete(body);
            (body.physical_address, u32::try_from(body.parts).ok())
        }
        _ => (pmpu::physical_address(body), None),
    };
    (address.map(Secret::new), parts)
}

/// How many bytes of a part a request says it brings; AWS's chunks say that apart.
fn declared(request: &Request) -> Option<u64> {
    let number = |name: &str| request.headers().get(name)?.to_str().ok()?.trim().parse().ok();
    number("x-amz-decoded-content-length").or_else(|| number("content-length"))
}

/// The step that an operation is, and by which face.
fn step_of(operation: Operation) -> Option<(Kind, Step)> {
    use Operation as O;
    Some(match operation {
        O::CreatePresignMultipartUpload => (Kind::Pmpu, Step::Create),
        O::UploadPart => (Kind::Pmpu, Step::PartPresign),
        O::UploadPartCopy => (Kind::Pmpu, Step::PartCopy),
        O::CompletePresignMultipartUpload => (Kind::Pmpu, Step::Complete),
        O::AbortPresignMultipartUpload => (Kind::Pmpu, Step::Abort),
        O::PresignMultipartPrepareRequest | O::PresignMultipartCopyPartRequest => (Kind::Cpmpu, Step::PartPresign),
        O::PresignMultipartCompleteRequest => (Kind::Cpmpu, Step::CompleteRequest),
        O::PresignMultipartAbortRequest => (Kind::Cpmpu, Step::AbortRequest),
        O::S3CreateMultipartUpload => (Kind::S3, Step::Create),
        O::S3UploadPart => (Kind::S3, Step::Part),
        O::S3UploadPartCopy => (Kind::S3, Step::PartCopy),
        O::S3CompleteMultipartUpload => (Kind::S3, Step::Complete),
        O::S3AbortMultipartUpload => (Kind::S3, Step::Abort),
        O::S3ListParts => (Kind::S3, Step::List),
        _ => return None,
    })
}

impl Seen {
    /// The step that a request is, if it is one.
    pub(super) fn of(request: &Request, context: &Context) -> Option<Self> {
        let classified = context.classified()?;
        let (kind, step) = step_of(classified.operation)?;
        let subject = classified.targets.iter().find(|target| target.role == Role::Subject)?;
        let bounded = |text: &str| clip(text, NAME_MAX).to_owned();
        let principal = context.principal();
        let user_agent = request.headers().get(header::USER_AGENT);
        Some(Self {
            kind,
            step,
            part_bytes: if step == Step::Part { declared(request) } else { None },
            repository: bounded(&subject.repository),
            branch: bounded(subject.reference.as_deref().unwrap_or_default()),
            path: clip(subject.path.as_deref().unwrap_or_default(), PATH_MAX).to_owned(),
            upload_id: classified.upload_id.as_deref().map(bounded),
            physical_address: None,
            sealed_address: None,
            part_number: classified.part_number,
            parts_asked: classified.parts,
            parts_count: None,
            principal: principal.map(|principal| bounded(&principal.name)),
            share: principal.map(|principal| bounded(&principal.limit_key)),
            auth_method: principal.map(|principal| principal.method),
            client_address: context.client().address,
            user_agent: user_agent
                .and_then(|value| value.to_str().ok())
                .map(|text| clip(text, USER_AGENT_MAX).to_owned()),
            request_id: context.id(),
            started: context.started(),
            at: Timestamp::now(),
        })
    }

    /// Takes what the request's body says, if classify has read it; answers the address with its signature, if that is short enough.
    pub(super) async fn read(&mut self, inspected: Option<Inspected>) -> Option<Secret> {
        let Inspected(body) = inspected?;
        let step = self.step;
        let read = if body.len() > QUICK_BODY {
            let reading = tokio::task::spawn_blocking(move || read_body(step, &body));
            reading.await.unwrap_or_default()
        } else {
            read_body(step, &body)
        };
        let (address, parts) = read;
        self.parts_count = parts;
        let address = address?;
        self.physical_address = Some(clip(redact::unsigned(address.expose()), PATH_MAX).to_owned());
        (address.expose().len() <= PATH_MAX).then_some(address)
    }

    /// Which record it is about.
    pub(super) fn key(&self) -> Key {
        match (self.step, &self.upload_id) {
            (Step::Create, _) | (_, None) => Key::Id(self.request_id),
            (_, Some(upload_id)) => Key::Name {
                upload_id: upload_id.clone(),
                repository: self.repository.clone(),
                branch: self.branch.clone(),
            },
        }
    }

    /// A record of an upload first seen by this step; its id is that of the request.
    pub(super) fn record(&self, state: State) -> Upload {
        Upload {
            id: self.request_id,
            kind: self.kind,
            parts_uploaded: 0,
            bytes_uploaded: 0,
            repository: self.repository.clone(),
            branch: self.branch.clone(),
            path: self.path.clone(),
            upload_id: self.upload_id.clone(),
            physical_address: self.physical_address.clone(),
            principal: self.principal.clone(),
            auth_method: self.auth_method.map(str::to_owned),
            client_address: self.client_address,
            user_agent: self.user_agent.clone(),
            parts_asked: self.parts_asked,
            parts_presigned: 0,
            parts_copied: 0,
            parts_done: None,
            bytes: None,
            checksum: None,
            state,
            created: self.at,
            updated: self.at,
            completed: None,
            status: None,
            request_id: Some(self.request_id),
            upstream_request_id: None,
            error: None,
            sealed_address: None,
            reap: None,
            share: self.share.clone(),
            repeats: 0,
            told: None,
            orphan: None,
        }
    }

    /// The record after this step had this answer; `None` where nothing is to be written.
    pub(super) fn apply(&self, answer: &Answer, old: Option<Upload>) -> Option<Upload> {
        let before = old.as_ref().map(|old| old.state);
        // Whoever is nobody to lakeFS cannot fill the ledger with uploads that it makes up.
        let stranger = match self.kind {
            Kind::S3 => matches!(answer.status, Some(400 | 401 | 403 | 404)),
            Kind::Pmpu | Kind::Cpmpu => answer.status == Some(401),
        };
        let asked_of_nothing = self.kind == Kind::S3 && answer.outcome == Outcome::Asked;
        if before.is_none() && self.step != Step::Create && (stranger || asked_of_nothing || self.step == Step::List) {
            return None;
        }
        let state = next(before, self.step, answer.outcome);
        let mut upload = old.unwrap_or_else(|| self.record(state));
        upload.updated = upload.updated.max(answer.at);
        if before == Some(State::Completed) {
            return Some(upload);
        }
        upload.state = state;
        upload.request_id = Some(self.request_id);
        let known = upload.physical_address.take();
        upload.physical_address = known.or_else(|| answer.physical_address.clone().or(self.physical_address.clone()));
        if answer.outcome == Outcome::Asked {
            upload.parts_done = self.parts_count.or(upload.parts_done);
            return Some(upload);
        }
        upload.status = answer.status;
        upload.upstream_request_id.clone_from(&answer.upstream_request_id);
        upload.error.clone_from(&answer.error);
        if answer.outcome == Outcome::Done {
            self.apply_success(answer, &mut upload);
        }
        Some(upload)
    }

    fn apply_success(&self, answer: &Answer, upload: &mut Upload) {
        // From an answer of lakeFS, or from a body that lakeFS has judged by it.
        let known = upload.sealed_address.take();
        upload.sealed_address = known.or_else(|| answer.sealed_address.clone().or(self.sealed_address.clone()));
        upload.reap = None;
        match self.step {
            Step::Create => upload.upload_id = answer.upload_id.clone().or(upload.upload_id.take()),
            Step::PartPresign => upload.parts_presigned = upload.parts_presigned.saturating_add(1),
            Step::PartCopy => upload.parts_copied = upload.parts_copied.saturating_add(1),
            Step::Complete => {
                upload.parts_done = self.parts_count;
                upload.checksum.clone_from(&answer.checksum);
                // By S3 the answer does not tell: then it is what has passed.
                let passed = Some(upload.bytes_uploaded).filter(|_| self.kind == Kind::S3 && upload.parts_copied == 0);
                upload.bytes = answer.bytes.or(passed);
                upload.completed = Some(answer.at);
            }
            Step::Part => {
                upload.parts_uploaded = upload.parts_uploaded.saturating_add(1);
                upload.bytes_uploaded = upload.bytes_uploaded.saturating_add(self.part_bytes.unwrap_or(0));
            }
            Step::Abort | Step::List | Step::CompleteRequest | Step::AbortRequest => {}
        }
    }
}
