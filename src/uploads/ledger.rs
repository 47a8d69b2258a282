//! The live state of the feature: takes steps down, tells each as an event and in the metrics.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::{Dispatch, dispatcher, info, warn};

use super::lifecycle::{Outcome, Step};
use super::seen::{Answer, Seen};
use crate::config::{Mode, UploadsConfig};
use crate::lakefs_client::{Client, Identity};
use crate::observe::Metrics;
use crate::observe::metrics::UploadLabels;
use crate::replicas::Replicas;
use crate::store::{Store, StoreError, Timestamp, Upload};

/// The ledger of multipart uploads. Lives as long as the process; a reload gives it new settings.
#[derive(Debug)]
pub struct Ledger {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) config: ArcSwap<UploadsConfig>,
    pub(super) client: Client,
    pub(super) replicas: Replicas,
    pub(super) lakefs: ArcSwap<Lakefs>,
    /// Events are told on the store's thread: in the log of whoever made the ledger.
    pub(super) log: Dispatch,
}

/// As whom the gateway itself acts on uploads, and whether it does.
#[derive(Debug, Default)]
pub(super) struct Lakefs {
    pub(super) mode: Mode,
    /// The gateway's own user, if it has one.
    pub(super) identity: Option<Arc<dyn Identity>>,
}

impl Ledger {
    /// A ledger kept in `store`, which is shared with `replicas`; what is to be done at lakeFS goes by `client`.
    pub fn new(
        config: &UploadsConfig,
        store: Store,
        client: Client,
        replicas: Replicas,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let ledger = Self {
            store,
            metrics,
            config: ArcSwap::default(),
            client,
            replicas,
            lakefs: ArcSwap::default(),
            log: dispatcher::get_default(Clone::clone),
        };
        ledger.reconfigure(config);
        Arc::new(ledger)
    }

    /// Takes new settings.
    pub fn reconfigure(&self, config: &UploadsConfig) {
        self.store.bound_uploads(config.max_records);
        self.config.store(Arc::new(config.clone()));
    }

    /// Takes the gateway's own user, and the mode it acts in.
    pub(super) fn act_as(&self, mode: Mode, identity: Option<Arc<dyn Identity>>) {
        self.lakefs.store(Arc::new(Lakefs { mode, identity }));
    }

    /// Seals the signed address of an upload, for its record.
    pub(super) fn seal(&self, seen: &Seen, address: &str) -> Option<String> {
        let owner = Upload::owner(&seen.repository, &seen.branch, &seen.path);
        self.store.seal(&owner, address)
    }

    /// Takes down that a step is on its way. Never waits.
    pub(super) fn asked(&self, seen: &Arc<Seen>) {
        let (of_step, metrics) = (Arc::clone(seen), Arc::clone(&self.metrics));
        let answer = Answer::bare(Outcome::Asked, seen.at);
        self.store.submit_upload(
            seen.key(),
            Box::new(move |old| of_step.apply(&answer, old)),
            move |result| _ = taken_down(result, &metrics),
        );
    }

    /// Takes down how a step ended, counts it, and tells it in one event once it is in the store. Never waits: if too many writes wait
    /// already, the event says so and the record goes without.
    pub(super) fn ended(&self, seen: &Arc<Seen>, answer: Answer) {
        let labels = UploadLabels {
            step: seen.step.as_str(),
            outcome: match answer.outcome {
                Outcome::Asked | Outcome::Done => "ok",
                Outcome::Refused => "refused",
                Outcome::Denied | Outcome::Failed | Outcome::Lost => "failed",
            },
        };
        self.metrics.upload_steps.get_or_create(&labels).inc();
        let duration_ms = seen.started.elapsed().as_secs_f64() * 1000.0;
        let (of_step, metrics) = (Arc::clone(seen), Arc::clone(&self.metrics));
        let answer = Arc::new(answer);
        let applied = Arc::clone(&answer);
        let (seen, log) = (Arc::clone(seen), self.log.clone());
        self.store.submit_upload(
            seen.key(),
            Box::new(move |old| of_step.apply(&applied, old)),
            move |result| {
                let record = taken_down(result, &metrics);
                dispatcher::with_default(&log, || tell(&seen, &answer, duration_ms, record.as_ref()));
            },
        );
    }

    /// Tells that an upload's state changed without a step.
    pub(super) fn changed(&self, upload: &Upload, now: Timestamp) {
        dispatcher::with_default(&self.log, || tell_change(upload, now));
    }
}

/// The record, if it could be written; that it could not is counted, and logged by the store.
fn taken_down(result: Result<Option<Upload>, StoreError>, metrics: &Metrics) -> Option<Upload> {
    if let Err(error) = &result {
        metrics.ledger_failures.inc();
        if matches!(error, StoreError::Busy | StoreError::Record { .. }) {
            warn!(target: "lakegate::uploads", error = %error, "a step is missing in the ledger");
        }
    }
    result.ok().flatten()
}

/// One event a step.
fn tell(seen: &Seen, answer: &Answer, duration_ms: f64, record: Option<&Upload>) {
    let upload_id = match seen.step {
        Step::Create => answer.upload_id.as_deref(),
        _ => seen.upload_id.as_deref(),
    };
    let age = record.map(|record| answer.at.since(record.created));
    info!(
        target: "lakegate::uploads",
        {
            event = seen.step.as_str(),
            outcome = answer.outcome.as_str(),
            kind = seen.kind.as_str(),
            repository = &*seen.repository,
            branch = &*seen.branch,
            path = &*seen.path,
            upload.id = upload_id,
            upload.state = record.map(|record| record.state.as_str()),
            upload.record = record.map(|record| tracing::field::display(record.id)),
            physical_address = record.and_then(|record| record.physical_address.as_deref()),
            parts.asked = seen.parts_asked,
            part.number = seen.part_number,
            parts.count = seen.parts_count,
            bytes = answer.bytes,
            checksum = answer.checksum.as_deref(),
            principal = seen.principal.as_deref(),
            auth.method = seen.auth_method,
            client.address = %seen.client_address,
            user_agent = seen.user_agent.as_deref(),
            status = answer.status,
            reason = answer.reason,
            duration_ms,
            age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            request.id = %seen.request_id,
            upstream.request_id = answer.upstream_request_id.as_deref(),
            error = answer.error.as_deref(),
        },
        "upload {} {}",
        seen.step.as_str(),
        answer.outcome.as_str()
    );
}

/// One event where an upload's state changes without a step: `abandoned`, or `unknown` where an answer was lost.
fn tell_change(upload: &Upload, now: Timestamp) {
    info!(
        target: "lakegate::uploads",
        {
            event = upload.state.as_str(),
            repository = &*upload.repository,
            branch = &*upload.branch,
            path = &*upload.path,
            upload.id = upload.upload_id.as_deref(),
            upload.state = upload.state.as_str(),
            upload.record = %upload.id,
            physical_address = upload.physical_address.as_deref(),
            parts.asked = upload.parts_asked,
            principal = upload.principal.as_deref(),
            client.address = %upload.client_address,
            age_ms = u64::try_from(now.since(upload.created).as_millis()).unwrap_or(u64::MAX),
        },
        "upload {}",
        upload.state
    );
}
