//! The routes of the command socket: what `lakegate` commands ask the running process. HTTP/1 and JSON; a command more is a route more.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::{self, Answer};
use super::serve::Peer;
use crate::audit::rollup::{self, Total, Wanted};
use crate::audit::{Audit, Outcome};
use crate::record::{Operator, Refusal};
use crate::store::{Counts, Filter, Store, StoreError, Timestamp, Upload};
use crate::uploads::Ledger;
use crate::{limit, record};

/// Records of one answer, unless asked otherwise, and at most.
pub(super) const PAGE: usize = 100;
pub(super) const PAGE_MAX: usize = 10_000;
const READS_MAX: usize = 100_000;

/// Answers the socket's requests.
pub(super) struct Commands {
    pub(super) store: Store,
    pub(super) record: Arc<record::State>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) limit: Arc<limit::State>,
    pub(super) audit: Option<Arc<Audit>>,
    pub(super) config: Option<PathBuf>,
    pub(super) started: Timestamp,
    pub(super) clock: Instant,
}

/// What `/status` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// For how long it has been running.
    pub uptime_seconds: u64,
    /// Its configuration file.
    pub config: Option<PathBuf>,
    /// Uploads in the ledger, by state.
    pub uploads: Counts,
}

/// What `/uploads` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The newest that pass.
    pub uploads: Vec<Upload>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// What `/audit/reads` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadsPage {
    /// The largest that pass.
    pub reads: Vec<Total>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

impl Commands {
    /// Whatever is more than a question is written down.
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let answer = self.answered(request).await;
        if let Some(audit) = self.audit.as_ref().filter(|_| request.method() != Method::GET) {
            let outcome = match answer.status().as_u16() {
                ..400 => Outcome::Allowed,
                400..500 => Outcome::Refused,
                _ => Outcome::Failed,
            };
            audit.act(
                &format!("{} {}", request.method(), request.uri().path()),
                &by(request).to_string(),
                outcome,
            );
        }
        answer
    }

    async fn answered(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let query = request.uri().query().unwrap_or_default();
        let answered = match (request.method(), segments.as_slice()) {
            (&Method::GET, ["status"]) => Ok(self.status()),
            (&Method::GET, ["uploads"]) => self.uploads(query).await,
            (&Method::GET, ["uploads", "stats"]) => self.stats(query).await,
            (&Method::POST, ["uploads", "reap"]) => self.reap(query).await,
            (_, ["uploads", "reap"]) => Ok(answer::not_allowed("POST")),
            (&Method::GET, ["uploads", id]) => self.upload(id).await,
            (method, ["undo" | "approvals", ..]) => self.undo(method, &segments, query, by(request)).await,
            (&Method::GET, ["audit", "reads"]) => self.reads(query).await,
            (_, ["audit", "reads"] | ["status"] | ["uploads"] | ["uploads", _]) => Ok(answer::not_allowed("GET")),
            _ => Ok(answer::not_found()),
        };
        answered.unwrap_or_else(|Refusal(status, message)| answer::failure(status, message))
    }

    fn status(&self) -> Answer {
        let status = Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started: self.started,
            uptime_seconds: self.clock.elapsed().as_secs(),
            config: self.config.clone(),
            uploads: *self.store.counts().borrow(),
        };
        answer::json(StatusCode::OK, &status)
    }

    async fn uploads(&self, query: &str) -> Result<Answer, Refusal> {
        let asked = Asked::of(query)?;
        let limit = asked.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let mut uploads = self.store.uploads(asked.filter, limit + 1).await.map_err(broken)?;
        let more = uploads.len() > limit;
        uploads.truncate(limit);
        let uploads = uploads.into_iter().map(shown).collect();
        Ok(answer::json(StatusCode::OK, &Page { uploads, more }))
    }

    async fn stats(&self, query: &str) -> Result<Answer, Refusal> {
        let stats = self
            .store
            .upload_stats(Asked::of(query)?.filter)
            .await
            .map_err(broken)?;
        Ok(answer::json(StatusCode::OK, &stats))
    }

    async fn reads(&self, query: &str) -> Result<Answer, Refusal> {
        let wrong = |message: String| Refusal(StatusCode::BAD_REQUEST, message);
        let (mut wanted, mut limit) = (Wanted::default(), PAGE);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| wrong(format!("{name} `{value}` is not a number")))
            };
            match name {
                "since" => wanted.since = Some(Timestamp(number()?)),
                "until" => wanted.until = Some(Timestamp(number()?)),
                "limit" => limit = usize::try_from(number()?).unwrap_or(usize::MAX).clamp(1, READS_MAX),
                "principal" => wanted.principal = Some(value),
                "key" => wanted.key = Some(value),
                "repository" => wanted.repository = Some(value),
                "reference" => wanted.reference = Some(value),
                other => return Err(wrong(format!("`{other}` is not asked here"))),
            }
        }
        let (reads, more) = rollup::totals(&self.store, wanted, limit).await.map_err(broken)?;
        Ok(answer::json(StatusCode::OK, &ReadsPage { reads, more }))
    }

    /// By the record's id or by lakeFS's upload id.
    async fn upload(&self, id: &str) -> Result<Answer, Refusal> {
        let id = decoded(id);
        let mut found = match Uuid::parse_str(&id) {
            Ok(id) => Vec::from_iter(self.store.upload(id).await.map_err(broken)?),
            Err(_) => Vec::new(),
        };
        if found.is_empty() {
            found = self.store.uploads_by_upload_id(id).await.map_err(broken)?;
        }
        if found.is_empty() {
            return Err(Refusal(
                StatusCode::NOT_FOUND,
                "the ledger knows no upload with this id".into(),
            ));
        }
        Ok(answer::json(
            StatusCode::OK,
            &Page {
                uploads: found.into_iter().map(shown).collect(),
                more: false,
            },
        ))
    }
}

/// A record as it is told: what is sealed is nobody's business.
pub(super) fn shown(upload: Upload) -> Upload {
    Upload {
        sealed_address: None,
        ..upload
    }
}

/// The user of the process that asks.
fn by(request: &Request<Incoming>) -> Operator {
    Operator {
        name: None,
        uid: request.extensions().get::<Peer>().and_then(|Peer(uid)| *uid),
    }
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked {
    filter: Filter,
    limit: Option<usize>,
}

impl Asked {
    fn of(query: &str) -> Result<Self, Refusal> {
        let wrong = |message: String| Refusal(StatusCode::BAD_REQUEST, message);
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match name {
                "state" => asked.filter.states.push(value.parse().map_err(wrong)?),
                "repository" => asked.filter.repository = Some(value),
                "branch" => asked.filter.branch = Some(value),
                "limit" => {
                    let limit = value
                        .parse()
                        .map_err(|_| wrong(format!("limit `{value}` is not a number")))?;
                    asked.limit = Some(limit);
                }
                other => return Err(wrong(format!("`{other}` is not asked here"))),
            }
        }
        Ok(asked)
    }
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The store cannot be read. Whoever asks is the operator: tell it.
#[expect(clippy::needless_pass_by_value, reason = "the form of map_err")]
pub(super) fn broken(error: StoreError) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
