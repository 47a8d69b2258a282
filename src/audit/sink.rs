//! The queue of lines: bounded by the memory that they hold, and never waited for but by a change that is about to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::exchange::Context;
use crate::observe::{Finished, Metrics};

use super::entry::{self, Act, Entry};

/// Memory for lines that wait, in KiB.
const WAITING_KIB: u32 = 64 << 10;
/// How long a change waits for a place: the writer takes thousands of lines a second.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a line is made of. It holds the request's context, and so is made where it is written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) context: Context,
    pub(super) method: Method,
    pub(super) status: u16,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

impl Record {
    pub(super) fn of(request: &Finished<'_>) -> Self {
        Self {
            context: request.context.clone(),
            method: request.method.clone(),
            status: request.status,
            received_bytes: request.received_bytes,
            sent_bytes: request.sent_bytes,
        }
    }

    /// Of a request of which the end is not known.
    pub(super) fn begun(context: Context, method: Method) -> Self {
        Self {
            context,
            method,
            status: 0,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }
}

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Place {
    /// Given back when the line is written.
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) enum Message {
    Record(Record, Place),
    /// A line that is made already.
    Line(Vec<u8>, Place),
    /// All before it shall be on disk.
    Flush(oneshot::Sender<()>),
}

/// What the queue and its writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) failing: AtomicBool,
    pub(super) metrics: Arc<Metrics>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Sink {
    /// Bounded by `budget`: whatever waits in it holds a place.
    messages: mpsc::UnboundedSender<Message>,
    budget: Arc<Semaphore>,
    shared: Arc<Shared>,
}

impl Sink {
    /// The queue, and its end.
    pub(super) fn new(metrics: Arc<Metrics>) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            failing: AtomicBool::new(false),
            metrics,
        };
        let sink = Self {
            messages,
            budget: Arc::new(Semaphore::new(WAITING_KIB as usize)),
            shared: Arc::new(shared),
        };
        (sink, receiver)
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// A place of so many KiB, if there is one now.
    pub(super) fn try_place(&self, weight: u32) -> Option<Place> {
        let permit = Arc::clone(&self.budget).try_acquire_many_owned(weight.min(WAITING_KIB));
        permit.ok().map(|permit| Place { _permit: permit })
    }

    /// A place, waited for if need be. None while the file cannot be written.
    pub(super) async fn place(&self, weight: u32) -> Option<Place> {
        if self.shared.failing.load(Ordering::Relaxed) {
            return None;
        }
        let permit = Arc::clone(&self.budget).acquire_many_owned(weight.min(WAITING_KIB));
        let permit = timeout(PATIENCE, permit).await.ok()?.ok()?;
        Some(Place { _permit: permit })
    }

    /// Hands a line to the writer; one without a place is lost, and said to be.
    pub(super) fn write(&self, record: Record, place: Option<Place>) {
        let weight = || entry::weight(&record.context);
        let Some(place) = place.or_else(|| self.try_place(weight())) else {
            return self.lost(&record);
        };
        if let Err(mpsc::error::SendError(Message::Record(record, _))) =
            self.messages.send(Message::Record(record, place))
        {
            self.lost(&record);
        }
    }

    pub(super) fn act(&self, act: &Act<'_>) {
        let line = serde_json::to_vec(act).ok();
        let sent = line.zip(self.try_place(2)).is_some_and(|(mut line, place)| {
            line.push(b'\n');
            self.messages.send(Message::Line(line, place)).is_ok()
        });
        if !sent {
            self.shared.metrics.audit_lost.inc();
            tracing::warn!(target: "lakegate::audit", operation = act.operation, "an operator's act is not in the audit log");
        }
    }

    /// Resolves once all that was handed over before is on disk.
    pub(super) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.messages.send(Message::Flush(done)).is_ok() {
            let _ = flushed.await;
        }
    }

    /// The log is the last place that can tell of a change.
    fn lost(&self, record: &Record) {
        self.shared.metrics.audit_lost.inc();
        let entry = Entry::of(record);
        if matches!(entry.kind, super::Kind::Change) {
            let subject = entry.targets.first();
            tracing::warn!(
                target: "lakegate::audit",
                {
                    request.id = %record.context.id(),
                    principal = entry.principal.as_deref(),
                    operation = &*entry.operation,
                    repository = subject.map(|subject| &*subject.repository),
                    reference = subject.and_then(|subject| subject.reference.as_deref()),
                    outcome = ?entry.outcome,
                },
                "a change is not in the audit log"
            );
        }
    }
}
