//! All metrics, their names and their meaning, in one place. No path, user or branch is ever a label.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What a finished request is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `rest`, `s3` or `web`.
    pub protocol: &'static str,
    /// The class of its operation.
    pub class: &'static str,
    /// The status the client got.
    pub status: u16,
}

/// What a refusal, or a refusal in shadow, is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Reason code.
    pub reason: &'static str,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
}

/// What a wait that shadow mode did not impose is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// Reason code.
    pub reason: &'static str,
}

/// What a step of a multipart upload is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UploadLabels {
    /// `create`, `part_presign`, `part_copy`, `part`, `list`, `complete`, `abort`, `complete_request`, `abort_request`.
    pub step: &'static str,
    /// `ok`, `refused` or `failed`.
    pub outcome: &'static str,
}

/// What a bearer fetched for the upstream is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `ok` or `failed`.
    pub outcome: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty = $name:literal, $make:expr;)*) => {
        /// The gateway's metrics: each is a cheap handle to count with.
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $type,)*
            registry: Mutex<Registry>,
        }

        impl Metrics {
            /// A fresh set.
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("lakegate");
                $(
                    let $field: $type = $make;
                    // The registry ends a help text with a full stop itself.
                    registry.register($name, concat!($($help),+).trim().trim_end_matches('.'), $field.clone());
                )*
                Self { $($field,)* registry: Mutex::new(registry) }
            }
        }
    };
}

fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    ])
}

metrics! {
    /// Requests that ended.
    requests: Family<RequestLabels, Counter> = "requests", Family::default();
    /// Refusals of the gateway's own, and what shadow mode would have refused.
    refusals: Family<RefusalLabels, Counter> = "refusals", Family::default();
    /// Seconds from a request's head to the last byte of its answer.
    request_seconds: Histogram = "request_duration_seconds", seconds();
    /// Seconds a request waited for its share, turn and slot.
    queue_seconds: Histogram = "queue_duration_seconds", seconds();
    /// Waits that limits in shadow mode would have imposed.
    shadow_waits: Family<ReasonLabels, Counter> = "shadow_waits", Family::default();
    /// Turns on a branch that were not waited for to their end.
    turns_missed: Family<ReasonLabels, Counter> = "turns_missed", Family::default();
    /// Requests waiting for a turn now.
    waiting: Gauge = "waiting", Gauge::default();
    /// Requests that may be on their way to lakeFS at a time.
    upstream_limit: Gauge = "upstream_limit", Gauge::default();
    /// Requests that lakeFS can take at a time, as learned from its answers, in force or not.
    upstream_limit_learned: Gauge = "upstream_limit_learned", Gauge::default();
    /// Requests on their way now.
    in_flight: Gauge = "in_flight", Gauge::default();
    /// Client connections open now.
    connections: Gauge = "connections", Gauge::default();
    /// Connections to a TLS listener on which there came to be no TLS.
    tls_failures: Counter = "tls_failures", Counter::default();
    /// Bytes of request bodies.
    received_bytes: Counter = "received_bytes", Counter::default();
    /// Bytes of response bodies.
    sent_bytes: Counter = "sent_bytes", Counter::default();
    /// Connections to lakeFS that could not be opened.
    upstream_connect_failures: Counter = "upstream_connect_failures", Counter::default();
    /// Connections to lakeFS that were opened.
    upstream_connections: Counter = "upstream_connections", Counter::default();
    /// Bearers fetched for the upstream.
    upstream_logins: Family<OutcomeLabels, Counter> = "upstream_logins", Family::default();
    /// Steps of multipart uploads.
    upload_steps: Family<UploadLabels, Counter> = "upload_steps", Family::default();
    /// Steps of multipart uploads that the ledger could not take down.
    ledger_failures: Counter = "ledger_failures", Counter::default();
    /// Multipart uploads open now.
    uploads_open: Gauge = "uploads_open", Gauge::default();
    /// Abandoned uploads that the gateway has aborted, or could not.
    uploads_reaped: Family<OutcomeLabels, Counter> = "uploads_reaped", Family::default();
    /// Lines of the audit log that were written.
    audit_lines: Counter = "audit_lines", Counter::default();
    /// Decisions that the audit log has no line of, because it could not be written.
    audit_lost: Counter = "audit_lost", Counter::default();
    /// Whether the audit log cannot be written now: 1 if so.
    audit_failing: Gauge = "audit_failing", Gauge::default();
    /// Destructive calls whose heads were written down, by how they ended.
    undo_records: Family<OutcomeLabels, Counter> = "undo_records", Family::default();
    /// Commits about to be lost that could not be pinned by a tag.
    undo_pin_failures: Counter = "undo_pin_failures", Counter::default();
    /// Approvals asked for, given, denied and used.
    approvals: Family<OutcomeLabels, Counter> = "approvals", Family::default();
    /// Whether Redis can be used now: 1 if so.
    redis_up: Gauge = "redis_up", Gauge::default();
    /// Questions that Redis did not answer in time.
    redis_timeouts: Counter = "redis_timeouts", Counter::default();
    /// Replicas alive, this one included.
    replicas_alive: Gauge = "replicas_alive", Gauge::default();
    /// Whether this gateway is one of the replicas: 0 while Redis is down, or if its sealing key is another.
    replicas_member: Gauge = "replicas_member", Gauge::default();
    /// Records that came from other replicas.
    replicas_received: Counter = "replicas_received", Counter::default();
    /// Records that were told to other replicas.
    replicas_sent: Counter = "replicas_sent", Counter::default();
    /// Shards of records that were compared one by one, because they differed.
    replicas_compared: Counter = "replicas_compared", Counter::default();
    /// Reloads of the configuration.
    reloads: Family<OutcomeLabels, Counter> = "config_reloads", Family::default();
}

impl Metrics {
    /// All of them, in OpenMetrics text.
    pub fn encode(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut page, &registry);
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_what_was_counted() {
        let metrics = Metrics::new();
        metrics
            .refusals
            .get_or_create(&RefusalLabels {
                reason: "guarded",
                mode: "enforce",
            })
            .inc();
        let page = metrics.encode();
        assert!(
            page.contains("lakegate_refusals_total{reason=\"guarded\",mode=\"enforce\"} 1"),
            "{page}"
        );
        assert!(page.ends_with("# EOF\n"));
    }
}
