//! Audit: a line for each decision in a log of its own, and who read how much.
//!
//! [`Audit`] is told of every request's end (`observe::Witness`): a change, a refusal or a login becomes an [`Entry`] in the file
//! (`sink` queues it, `files` writes and rotates), a read is added to its hour (`reads`, `rollup`). [`Admit`] stands in front of lakeFS:
//! a change goes only if it has a place in the queue, so that its line cannot be lost. Lines are formed and written off the data threads.

pub mod entry;
pub mod files;
pub mod rollup;

mod admit;
mod reads;
mod sink;
mod ticket;
mod verdict;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{AuditConfig, OnFull};
use crate::observe::{Finished, Metrics, Witness};
use crate::store::{Store, Timestamp};

pub use admit::Admit;
pub use entry::{Entry, Kind, Outcome};

use entry::Act;
use files::Files;
use reads::Reads;
use sink::{Record, Sink};
use ticket::Ticket;

/// How long the end of a drain waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The file for the log cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path} (audit.file)")]
pub struct AuditError {
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// The live state of audit: it outlives reloads.
#[derive(Debug)]
pub struct Audit {
    sink: Option<Arc<Sink>>,
    reads: Arc<Reads>,
    /// Whether reads are counted.
    counting: AtomicBool,
    store: Store,
    config: watch::Sender<AuditConfig>,
    /// The writers of lines and sums: they end with the gateway.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Audit {
    /// Opens the file, if there is to be one, and starts the writers of lines and sums on the runtime that this is called on. Blocks: for
    /// start-up only.
    ///
    /// # Errors
    /// When the file cannot be written, or another process writes it.
    pub fn start(config: &AuditConfig, store: Store, metrics: Arc<Metrics>) -> Result<Arc<Self>, AuditError> {
        let (sender, receiver) = watch::channel(config.clone());
        let mut tasks = Vec::new();
        let sink = match &config.file {
            None => None,
            Some(path) => {
                let mut files = Files::new(path);
                let failed = |source| AuditError {
                    path: path.clone(),
                    source,
                };
                files.open(Timestamp::now()).map_err(failed)?;
                let (sink, messages) = Sink::new(metrics);
                tasks.push(tokio::spawn(write::run(
                    messages,
                    files,
                    sink.shared(),
                    receiver.clone(),
                )));
                Some(Arc::new(sink))
            }
        };
        let reads = Arc::new(Reads::new());
        tasks.push(tokio::spawn(rollup::run(Arc::clone(&reads), store.clone(), receiver)));
        Ok(Arc::new(Self {
            sink,
            reads,
            counting: AtomicBool::new(config.reads.per_hour > 0),
            store,
            config: sender,
            tasks: Mutex::new(tasks),
        }))
    }

    /// Puts a new configuration in force. Another file needs a restart.
    pub fn reconfigure(&self, config: &AuditConfig) {
        self.counting.store(config.reads.per_hour > 0, Ordering::Relaxed);
        self.config.send_replace(config.clone());
    }

    /// Writes down what an operator has done by the command socket or a signal: `done` is its name, `by` who did it.
    pub fn act(&self, done: &str, by: &str, outcome: Outcome) {
        if let Some(sink) = &self.sink {
            sink.act(&Act {
                time: Timestamp::now(),
                kind: Kind::Admin,
                principal: by,
                operation: done,
                outcome,
            });
        }
    }

    /// Resolves once all lines and sums so far are written.
    pub async fn flush(&self) {
        let reads = self.config.borrow().reads.clone();
        rollup::flush(&self.reads, &self.store, &reads, reads::Sums::new()).await;
        if let Some(sink) = &self.sink
            && timeout(LAST_LINES, sink.flush()).await.is_err()
        {
            tracing::error!(target: "lakegate::audit", "the last lines of the audit log could not be written and are lost");
        }
    }

    /// Flushes, and ends the writers: for the end of a drain.
    pub async fn stop(&self) {
        self.flush().await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            // That it was aborted is no news.
            let _ = task.await;
        }
    }

    fn refuses_when_full(&self) -> bool {
        self.config.borrow().on_full == OnFull::Refuse
    }
}

impl Witness for Audit {
    fn ended(&self, request: &Finished<'_>) {
        if self.counting.load(Ordering::Relaxed) {
            self.reads.count(request);
        }
        let Some(sink) = &self.sink else { return };
        let kept = request.context.facts().kept.take();
        if let Some(ticket) = kept.and_then(|kept| kept.downcast::<Ticket>().ok()) {
            // Whoever drops the last handle on it writes: where the client has left, that is lakeFS's answer.
            ticket.ended(request);
            return;
        }
        if entry::kind(request.context, request.method).is_some() {
            sink.write(Record::of(request), sink.try_place(entry::weight(request.context)));
        }
    }
}
