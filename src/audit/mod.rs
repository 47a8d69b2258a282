//! Audit: a line for each decision in a log of its own, and who read how much.
//!
//! [`Audit`] is told of every request's end (`observe::Witness`): a change, a refusal or a login becomes an [`Entry`] in the file
//! (`sink` queues it, `files` writes and rotates), a read is added to its hour (`reads`, `rollup`). [`Admit`] stands in front of lakeFS:
//! a change goes only if it has a place in the queue, so that its line cannot be lost. Lines are formed and written off the data threads.

pub mod entry;
pub mod files;

mod admit;
mod sink;
mod ticket;
mod verdict;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::{AuditConfig, OnFull};
use crate::observe::{Finished, Metrics, Witness};
use crate::store::Timestamp;

pub use admit::Admit;
pub use entry::{Entry, Kind, Outcome};

use entry::Act;
use files::Files;
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
    config: watch::Sender<AuditConfig>,
}

impl Audit {
    /// Opens the file, if there is to be one, and starts its writer on the runtime that this is called on. Blocks: for start-up only.
    ///
    /// # Errors
    /// When the file cannot be written, or another process writes it.
    pub fn start(config: &AuditConfig, metrics: Arc<Metrics>) -> Result<Arc<Self>, AuditError> {
        let (sender, receiver) = watch::channel(config.clone());
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
                tokio::spawn(write::run(messages, files, sink.shared(), receiver));
                Some(Arc::new(sink))
            }
        };
        Ok(Arc::new(Self { sink, config: sender }))
    }

    /// Puts a new configuration in force. Another file needs a restart.
    pub fn reconfigure(&self, config: &AuditConfig) {
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

    /// Resolves once all lines so far are on disk: for the end of a drain.
    pub async fn flush(&self) {
        if let Some(sink) = &self.sink
            && timeout(LAST_LINES, sink.flush()).await.is_err()
        {
            tracing::error!(target: "lakegate::audit", "the last lines of the audit log could not be written and are lost");
        }
    }

    fn refuses_when_full(&self) -> bool {
        self.config.borrow().on_full == OnFull::Refuse
    }
}

impl Witness for Audit {
    fn ended(&self, request: &Finished<'_>) {
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
