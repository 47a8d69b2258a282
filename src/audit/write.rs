//! The writer: takes what waits, forms the lines, and writes them, on the blocking pool. While the file cannot be written it takes
//! nothing more, and tries again each second.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::entry::Entry;
use super::files::Files;
use super::sink::{Message, Shared};
use crate::config::AuditConfig;
use crate::store::Timestamp;

/// How often the disk is seen to, and a failed one tried.
const EVERY: Duration = Duration::from_secs(1);
/// Old files are looked for so often.
const EXPIRY: u32 = 3600;
/// The most lines of one write.
const BATCH: usize = 256;

/// What is asked of the files at a time.
enum Job {
    Write(Vec<Message>),
    Tend { expire: bool },
    Retry,
}

/// What one job came to.
struct Done {
    files: Files,
    flushed: Vec<oneshot::Sender<()>>,
    result: io::Result<()>,
}

/// Writes until there is nobody left who could hand anything over.
pub(super) async fn run(
    mut messages: mpsc::UnboundedReceiver<Message>,
    mut files: Files,
    shared: Arc<Shared>,
    config: watch::Receiver<AuditConfig>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seconds: u32 = 0;
    loop {
        let mut batch = Vec::new();
        let mut job = tokio::select! {
            count = messages.recv_many(&mut batch, BATCH) => match count {
                0 => return,
                _ => Job::Write(std::mem::take(&mut batch)),
            },
            _ = ticks.tick() => {
                seconds = seconds.wrapping_add(1);
                Job::Tend { expire: seconds % EXPIRY == 1 }
            }
        };
        let mut flushed = Vec::new();
        loop {
            let (config, metrics) = (config.borrow().clone(), Arc::clone(&shared));
            let Ok(mut done) = spawn_blocking(move || work(files, job, &config, &metrics)).await else {
                // The runtime ends, or a panic has taken the files with it.
                shared.failing.store(true, Ordering::Relaxed);
                return;
            };
            files = done.files;
            flushed.append(&mut done.flushed);
            note(&shared, &done.result);
            if done.result.is_ok() {
                break;
            }
            job = Job::Retry;
            sleep(EVERY).await;
        }
        for flushed in flushed {
            let _ = flushed.send(());
        }
    }
}

fn work(mut files: Files, job: Job, config: &AuditConfig, shared: &Shared) -> Done {
    let now = Timestamp::now();
    let mut flushed = Vec::new();
    let result = match job {
        Job::Tend { expire } => files.tend(now, config).and_then(|()| match expire {
            true => files.expire(now, config.retention.0),
            false => Ok(()),
        }),
        Job::Retry => files.retry(now, config).and_then(|()| files.sync()),
        Job::Write(messages) => {
            let (mut lines, mut places, mut count) = (Vec::new(), Vec::new(), 0);
            for message in messages {
                match message {
                    Message::Record(record, place) => {
                        // Writing to memory cannot fail.
                        let _ = serde_json::to_writer(&mut lines, &Entry::of(&record));
                        lines.push(b'\n');
                        places.push(place);
                        count += 1;
                    }
                    Message::Line(line, place) => {
                        lines.extend_from_slice(&line);
                        places.push(place);
                        count += 1;
                    }
                    Message::Flush(done) => flushed.push(done),
                }
            }
            shared.metrics.audit_lines.inc_by(count);
            let written = files.append(&lines, now, config);
            drop(places);
            written.and_then(|()| match flushed.is_empty() {
                true => Ok(()),
                false => files.sync(),
            })
        }
    };
    Done { files, flushed, result }
}

/// Says once when writing begins to fail, and once when it works again.
fn note(shared: &Shared, result: &io::Result<()>) {
    let failed_before = shared.failing.swap(result.is_err(), Ordering::Relaxed);
    shared.metrics.audit_failing.set(i64::from(result.is_err()));
    match result {
        Err(error) if !failed_before => {
            tracing::error!(target: "lakegate::audit", %error, "the audit log cannot be written");
        }
        Ok(()) if failed_before => {
            tracing::info!(target: "lakegate::audit", "the audit log can be written again");
        }
        _ => {}
    }
}
