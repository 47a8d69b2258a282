//! A line of the audit log: what is in it, and which requests have one. Pure.
//!
//! Nothing in it authenticates: no header, no query, no body, no URL. Names are lakeFS's own (repository, branch, path) and the gateway's.

use std::borrow::Cow;
use std::net::IpAddr;

use http::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::exchange::{Context, Proof};
use crate::lakefs::{Danger, Dangers, Force, Operation, Protocol, Role, Target};
use crate::store::Timestamp;

use super::sink::Record;
use super::verdict;

/// The most targets of a line, and their names' bytes; more are counted. A bulk delete has 1,000 keys at most.
const TARGETS_MAX: usize = 1000;
const NAMES_MAX: usize = 256 << 10;

/// Why there is a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request changes something, or would have.
    Change,
    /// Somebody logs in.
    Login,
    /// A read that the gateway refused.
    Refusal,
    /// A read that something in shadow would have refused.
    Shadow,
    /// An operator did something to the gateway.
    Admin,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// lakeFS did it.
    Allowed,
    /// The gateway refused it: nothing reached lakeFS.
    Refused,
    /// lakeFS did it, and something in shadow would have refused it.
    Shadow,
    /// It was not done: lakeFS answered with an error, or was never reached.
    Failed,
    /// It went to lakeFS and no answer came: nobody knows.
    Unknown,
}

/// One thing that was touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object<'a> {
    /// `subject`, or `source` for what is only read.
    pub role: Cow<'a, str>,
    /// The repository.
    pub repository: Cow<'a, str>,
    /// Branch, tag or commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Cow<'a, str>>,
    /// Object path or prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Cow<'a, str>>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// When the request came.
    pub time: Timestamp,
    /// Why there is a line.
    pub kind: Kind,
    /// The gateway's id of the request.
    #[serde(rename = "request.id", default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// Whom it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Cow<'a, str>>,
    /// Its groups.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub groups: Cow<'a, [String]>,
    /// Whether that was proved.
    #[serde(rename = "auth.proved", default)]
    pub proved: bool,
    /// How the client authenticated.
    #[serde(rename = "auth.method", default, skip_serializing_if = "Option::is_none")]
    pub auth_method: Option<Cow<'a, str>>,
    /// The access key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Cow<'a, str>>,
    /// Where it came from.
    #[serde(rename = "client.address", default, skip_serializing_if = "Option::is_none")]
    pub client_address: Option<IpAddr>,
    /// `rest`, `s3` or `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Cow<'a, str>>,
    /// Its method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'a, str>>,
    /// lakeFS's operation id; for an operator's act its name.
    pub operation: Cow<'a, str>,
    /// What it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Object<'a>>,
    /// How many more it touches.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub targets_more: usize,
    /// Whether it is forced; true also where one of lakeFS's readings could make it so.
    #[serde(default)]
    pub force: bool,
    /// What it could hurt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dangers: Vec<Danger>,
    /// The rule that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Cow<'a, str>>,
    /// The reason code of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// The rules and keys that would have refused it, were they not in shadow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<Cow<'a, str>>,
    /// What became of it.
    pub outcome: Outcome,
    /// The status that the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// lakeFS's status.
    #[serde(rename = "upstream.status", default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
    /// lakeFS's id of the request.
    #[serde(rename = "upstream.request_id", default, skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<Cow<'a, str>>,
    /// Bytes of its body.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes of its answer's body.
    #[serde(default)]
    pub sent_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The line of an operator's act.
#[derive(Debug, Serialize)]
pub(super) struct Act<'a> {
    pub(super) time: Timestamp,
    pub(super) kind: Kind,
    pub(super) principal: &'a str,
    pub(super) operation: &'a str,
    pub(super) outcome: Outcome,
}

impl<'a> Entry<'a> {
    /// The line of a request.
    pub(super) fn of(record: &'a Record) -> Self {
        let context = &record.context;
        let classified = context.classified();
        let principal = context.principal();
        let facts = context.facts();
        let (targets, targets_more) = objects(classified.map_or(&[], |classified| &classified.targets));
        let dangers = classified.map_or(Dangers::NONE, |classified| Dangers::of(classified, &record.method));
        let kind = kind_of(
            classified.map(|classified| classified.operation),
            &record.method,
            &facts,
        );
        Self {
            time: time(context),
            kind: kind.unwrap_or(Kind::Change),
            request_id: Some(context.id()),
            principal: principal.map(|principal| Cow::Borrowed(&*principal.name)),
            groups: principal.map_or(Cow::Borrowed(&[]), |principal| Cow::Borrowed(&*principal.groups)),
            proved: principal.is_some_and(|principal| principal.proof == Proof::Proved),
            auth_method: principal.map(|principal| Cow::Borrowed(principal.method)),
            key: principal
                .and_then(|principal| principal.key.as_deref())
                .map(Cow::Borrowed),
            client_address: Some(context.client().address),
            protocol: classified.map(|classified| {
                Cow::Borrowed(match classified.protocol {
                    Protocol::Rest => "rest",
                    Protocol::S3 => "s3",
                    Protocol::Web => "web",
                })
            }),
            method: Some(Cow::Borrowed(record.method.as_str())),
            operation: Cow::Borrowed(classified.map_or("unknown", |classified| classified.operation.spec().id)),
            targets,
            targets_more,
            force: classified.is_some_and(|classified| classified.force != Force::No),
            dangers: dangers.iter().collect(),
            rule: facts.rule.clone().map(Cow::Owned),
            reason: facts.reason.map(Cow::Borrowed),
            shadow: facts.shadow.iter().map(|by| Cow::Owned(by.clone())).collect(),
            outcome: verdict::of(&facts),
            status: Some(record.status),
            upstream_status: facts.upstream_status,
            upstream_request_id: facts.upstream_request_id.clone().map(Cow::Owned),
            received_bytes: record.received_bytes,
            sent_bytes: record.sent_bytes,
        }
    }
}

fn objects(targets: &[Target]) -> (Vec<Object<'_>>, usize) {
    let mut names = 0;
    let fits = |target: &&Target| {
        names += bytes(target);
        names <= NAMES_MAX
    };
    let objects: Vec<_> = targets.iter().take(TARGETS_MAX).take_while(fits).map(object).collect();
    let more = targets.len() - objects.len();
    (objects, more)
}

fn object(target: &Target) -> Object<'_> {
    Object {
        role: Cow::Borrowed(match target.role {
            Role::Subject => "subject",
            Role::Source => "source",
        }),
        repository: Cow::Borrowed(&target.repository),
        reference: target.reference.as_deref().map(Cow::Borrowed),
        path: target.path.as_deref().map(Cow::Borrowed),
    }
}

fn bytes(target: &Target) -> usize {
    let of = |name: &Option<String>| name.as_ref().map_or(0, String::len);
    target.repository.len() + of(&target.reference) + of(&target.path)
}

/// When a request came: its id says so.
pub(super) fn time(context: &Context) -> Timestamp {
    context.id().get_timestamp().map_or_else(Timestamp::now, |time| {
        let (seconds, nanos) = time.to_unix();
        Timestamp(seconds * 1000 + u64::from(nanos) / 1_000_000)
    })
}

/// KiB of memory that a request's line holds while it waits.
pub(super) fn weight(context: &Context) -> u32 {
    let targets = context.classified().map_or(&[][..], |classified| &classified.targets);
    let all: usize = targets.iter().map(|target| bytes(target) + size_of::<Target>()).sum();
    u32::try_from(all / 1024).unwrap_or(u32::MAX).saturating_add(2)
}

/// Why a request has a line, if it has one. A read has one only if it was refused, or would have been.
pub(super) fn kind(context: &Context, method: &Method) -> Option<Kind> {
    let operation = context.classified().map(|classified| classified.operation);
    kind_of(operation, method, &context.facts())
}

fn kind_of(operation: Option<Operation>, method: &Method, facts: &crate::exchange::Facts) -> Option<Kind> {
    match operation {
        Some(operation) if is_login(operation) => Some(Kind::Login),
        Some(operation) if changes(operation, method) => Some(Kind::Change),
        _ if facts.decision == Some("refused") && !facts.forwarded => Some(Kind::Refusal),
        _ if !facts.shadow_refusals.is_empty() => Some(Kind::Shadow),
        _ => None,
    }
}

/// Whether a request asks for a line before it goes.
pub(super) fn is_taken_down(operation: Operation, method: &Method) -> bool {
    changes(operation, method) || is_login(operation)
}

/// Of what the gateway does not know, only the method tells.
fn changes(operation: Operation, method: &Method) -> bool {
    let unknown = matches!(
        operation,
        Operation::UnknownApi | Operation::S3Unknown | Operation::Iceberg
    );
    operation.spec().mutates && !(unknown && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS))
}

fn is_login(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Login
            | Operation::ExternalPrincipalLogin
            | Operation::StsLogin
            | Operation::JwtLogin
            | Operation::OauthCallback
    )
}
