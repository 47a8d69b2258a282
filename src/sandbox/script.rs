//! What tests prepare and look at: answers queued ahead of lakeFS's own, and the requests that arrived.
//!
//! In the process through [`super::Sandbox`], over HTTP through `POST /_sandbox/script` and `GET /_sandbox/requests`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reply::Reply;
use super::world::sha256_hex;

/// Requests that are remembered.
const REMEMBERED: usize = 1000;
/// Answers that may wait.
const QUEUED: usize = 10_000;

/// An answer queued for requests to come; the first that matches is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scripted {
    /// lakeFS's operation id; empty matches every one.
    pub operation: String,
    /// The method; empty matches every one.
    pub method: String,
    /// What the target must contain.
    pub path_contains: String,
    /// The status to answer; 0 lets the sandbox do what was asked (after the delay).
    pub status: u16,
    /// Headers to add or replace.
    pub headers: BTreeMap<String, String>,
    /// The body: text as it is (JSON by its type, if it begins so), anything else as JSON.
    pub body: Value,
    /// How many requests it answers.
    pub times: u32,
    /// How long it waits before it answers.
    pub delay_ms: u64,
    /// Breaks the connection: before the head, or in the middle of the body (of the real answer too, where `status` is 0).
    pub close: Option<Close>,
}

/// Where a scripted answer breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// The connection closes without an answer.
    BeforeHead,
    /// The head promises more than comes.
    MidBody,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            operation: String::new(),
            method: String::new(),
            path_contains: String::new(),
            status: 0,
            headers: BTreeMap::new(),
            body: Value::Null,
            times: 1,
            delay_ms: 0,
            close: None,
        }
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its target: path and query as sent.
    pub target: String,
    /// lakeFS's operation id, empty where it named none.
    pub operation: String,
    /// All its headers. They hold what the client sent: secrets too.
    pub headers: HeaderMap,
}

impl Received {
    /// For tests outside the process: the scheme and a hash instead of a credential, the names of cookies without their values.
    fn redacted(&self) -> Value {
        let value = |name: HeaderName| self.headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = value(header::AUTHORIZATION).map(|text| {
            let scheme = text.split_whitespace().next().unwrap_or_default();
            json!({ "scheme": scheme, "sha256": sha256_hex(text.as_bytes()) })
        });
        let cookies = self
            .headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let cookies: Vec<&str> = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('=').map(|(name, _)| name.trim()))
            .collect();
        let mut others: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &self.headers {
            if *name != header::AUTHORIZATION && *name != header::COOKIE {
                let value = String::from_utf8_lossy(value.as_bytes());
                others
                    .entry(name.as_str())
                    .and_modify(|all| *all = format!("{all}, {value}"))
                    .or_insert_with(|| value.into_owned());
            }
        }
        json!({
            "method": self.method, "target": self.target, "operation": self.operation,
            "authorization": authorization, "cookies": cookies, "headers": others,
        })
    }
}

/// The queue and the memory.
#[derive(Debug, Default)]
pub(super) struct Script {
    queued: Mutex<VecDeque<Scripted>>,
    received: Mutex<VecDeque<Received>>,
}

impl Script {
    /// Queues an answer; false if the queue is full.
    pub(super) fn queue(&self, scripted: Scripted) -> bool {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        if queued.len() >= QUEUED {
            return false;
        }
        queued.push_back(scripted);
        true
    }

    pub(super) fn clear(&self) {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(super) fn remember(&self, received: Received) {
        let mut all = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back(received);
    }

    /// The queued answer for a request, used up once.
    pub(super) fn take(&self, received: &Received) -> Option<Scripted> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let at = queued.iter().position(|scripted| {
            let fits = |wanted: &str, given: &str| wanted.is_empty() || wanted == given;
            fits(&scripted.operation, &received.operation)
                && fits(&scripted.method, &received.method)
                && received.target.contains(&scripted.path_contains)
        })?;
        let scripted = queued.get_mut(at)?;
        scripted.times = scripted.times.saturating_sub(1);
        let taken = scripted.clone();
        if taken.times == 0 {
            queued.remove(at);
        }
        Some(taken)
    }

    /// `/_sandbox/...`: the same over HTTP.
    pub(super) fn serve(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let message = |status, text: &str| Reply::json(status, &json!({ "message": text }));
        match (method, path) {
            ("POST", "/_sandbox/script") => {
                let parsed =
                    serde_json::from_slice::<Value>(body).and_then(|value| -> serde_json::Result<Vec<Scripted>> {
                        match value {
                            Value::Array(all) => all.into_iter().map(serde_json::from_value).collect(),
                            one => serde_json::from_value(one).map(|one| vec![one]),
                        }
                    });
                match parsed {
                    Ok(all) if all.iter().all(|scripted| self.queue(scripted.clone())) => Reply::no_content(),
                    Ok(_) => message(StatusCode::TOO_MANY_REQUESTS, "too many scripted answers wait"),
                    Err(error) => message(StatusCode::BAD_REQUEST, &error.to_string()),
                }
            }
            ("DELETE", "/_sandbox/script") => {
                self.clear();
                Reply::no_content()
            }
            ("GET", "/_sandbox/requests") => {
                let all: Vec<Value> = self.received().iter().map(Received::redacted).collect();
                Reply::ok(&Value::Array(all))
            }
            _ => message(
                StatusCode::NOT_FOUND,
                "the sandbox knows /_sandbox/script (POST, DELETE) and /_sandbox/requests (GET)",
            ),
        }
    }
}

impl Scripted {
    /// How long the answer waits.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Makes the answer of it; with status 0 changes the real one.
    pub(super) fn apply(&self, real: Option<Reply>) -> Reply {
        let mut reply = real.unwrap_or_else(|| {
            let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            match &self.body {
                Value::Null => Reply::empty(status),
                Value::String(text) if text.starts_with('{') => Reply::empty(status)
                    .with_static(header::CONTENT_TYPE, "application/json")
                    .body(text.clone()),
                Value::String(text) => Reply::text(status, text.clone()),
                json => Reply::json(status, json),
            }
        });
        for (name, value) in &self.headers {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                reply = reply.with(name, value);
            }
        }
        if self.close == Some(Close::MidBody) {
            reply.body = reply.body.cut();
        }
        reply
    }
}
