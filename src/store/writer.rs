//! The one thread that writes: jobs that wait together share one commit, so that many durable writes cost little more than one.
//!
//! A disk that failed once (full, say) leaves redb closed for writes; the next batch opens the file anew.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use redb::{Database, ReadableDatabase as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{error, info};

use super::StoreError;
use super::file::Opener;
use super::shared::{Commit, Touch, Touched};
use super::tables::{Counts, Reader, Tables};

/// Writes that may wait; beyond them a waiting caller waits longer, and one that cannot wait is told so.
const WAITING: usize = 8192;
/// The most writes in one commit.
const GROUP: usize = 1024;

/// Called after the commit, with what became of it.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Work inside a write transaction, or what to do if there is none.
pub(super) type Job = Box<dyn FnOnce(Result<&mut Tables<'_>, StoreError>) -> (Finish, Result<(), StoreError>) + Send>;

/// Those who wait for one commit.
#[derive(Default)]
struct Finishes {
    /// For it to be on disk.
    kept: Vec<Finish>,
    /// For other replicas to have heard of it too.
    told: Vec<Finish>,
}

/// Makes a job of `work`; `done` hears of it once, after the commit.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
) -> Job {
    Box::new(move |tables| {
        let worked = tables.and_then(|tables| guarded(tables.place, || work(tables)));
        let verdict = worked.as_ref().map(drop).map_err(Clone::clone);
        let finish: Finish = Box::new(move |committed| done(committed.and(worked)));
        (finish, verdict)
    })
}

/// The database, and the way to its writer.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    /// See [`super::Store::bound_uploads`].
    pub(super) max_uploads: Arc<AtomicUsize>,
}

/// What the writer's thread and readers share.
#[derive(Debug)]
struct Shared {
    opener: Opener,
    /// Why there is none, while a failed one could not be opened again.
    database: RwLock<Result<Database, StoreError>>,
    counts: watch::Sender<Counts>,
    max_uploads: Arc<AtomicUsize>,
    failing: AtomicBool,
    /// Who wants to hear of changes of shared records.
    feed: OnceLock<mpsc::UnboundedSender<Commit>>,
    /// When a failed one may be opened again.
    pause: Mutex<Option<Instant>>,
}

impl Writer {
    /// Opens the database and starts its thread, which ends with the last handle.
    pub(super) fn start(opener: Opener) -> Result<Self, StoreError> {
        let place = Arc::clone(&opener.place);
        let (database, counts) = guarded(&place, || opener.open())?;
        let max_uploads = Arc::new(AtomicUsize::new(usize::MAX));
        let shared = Arc::new(Shared {
            opener,
            database: RwLock::new(Ok(database)),
            counts: watch::Sender::new(counts),
            max_uploads: Arc::clone(&max_uploads),
            failing: AtomicBool::new(false),
            feed: OnceLock::new(),
            pause: Mutex::new(None),
        });
        let (jobs, waiting) = mpsc::channel(WAITING);
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || of_thread.write(waiting))
            .map_err(|error| StoreError::of(&place, redb::Error::Io(error)))?;
        Ok(Self {
            jobs,
            shared,
            max_uploads,
        })
    }

    pub(super) fn counts(&self) -> watch::Receiver<Counts> {
        self.shared.counts.subscribe()
    }

    /// Whether the last write failed.
    pub(super) fn failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Tells of changes of shared records from the next commit on. Of two who ask, the first hears.
    pub(super) fn feed(&self) -> mpsc::UnboundedReceiver<Commit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        _ = self.shared.feed.set(sender);
        receiver
    }

    /// Waits for a place in the queue.
    pub(super) async fn send(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.send(job).await.map_err(|_| StoreError::Gone)
    }

    /// Takes a place in the queue, or tells the job at once that there is none.
    pub(super) fn submit(&self, job: Job) {
        let (job, error) = match self.jobs.try_send(job) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(job)) => (job, StoreError::Busy),
            Err(mpsc::error::TrySendError::Closed(job)) => (job, StoreError::Gone),
        };
        let (finish, _) = job(Err(error.clone()));
        finish(Err(error));
    }

    /// Reads on the blocking pool.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let place = &shared.opener.place;
            guarded(place, || {
                let database = shared.database.read().unwrap_or_else(PoisonError::into_inner);
                let database = database.as_ref().map_err(Clone::clone)?;
                let txn = database.begin_read().map_err(|error| StoreError::of(place, error))?;
                read(&Reader::open(&txn, place)?)
            })
        });
        reading.await.unwrap_or(Err(StoreError::Gone))
    }
}

impl Shared {
    /// The thread: takes what waits, works it off in one transaction, tells each how it ended.
    fn write(&self, mut waiting: mpsc::Receiver<Job>) {
        let mut group = Vec::new();
        while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
            let mut finishes = Finishes::default();
            group.reverse();
            let outcome = guarded(&self.opener.place, || self.commit(&mut group, &mut finishes));
            // Those that a failure kept from their turn.
            while let Some(job) = group.pop() {
                let error = outcome.as_ref().err().cloned().unwrap_or(StoreError::Gone);
                finishes.kept.push(job(Err(error)).0);
            }
            self.note(outcome.as_ref().err());
            let touches = match &outcome {
                Ok(touches) => touches.clone(),
                Err(_) => Vec::new(),
            };
            let outcome = outcome.map(drop);
            finish_all(finishes.kept, &outcome);
            let told = move || finish_all(finishes.told, &outcome);
            match self.feed.get() {
                Some(feed) if !touches.is_empty() => {
                    let told = Box::new(told);
                    // Nobody listens any more: nobody is told, and whoever waits goes on.
                    if let Err(mpsc::error::SendError(commit)) = feed.send(Commit { touches, told }) {
                        (commit.told)();
                    }
                }
                _ => told(),
            }
        }
    }

    /// Runs all jobs, the last first, in one transaction; one that fails takes the whole group with it.
    /// Answers what changed for other replicas.
    fn commit(&self, group: &mut Vec<Job>, finishes: &mut Finishes) -> Result<Vec<Touch>, StoreError> {
        self.reopen_after_failure()?;
        let place = &self.opener.place;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().map_err(Clone::clone)?;
        let txn = database.begin_write().map_err(|error| StoreError::of(place, error))?;
        let max_uploads = self.max_uploads.load(Ordering::Relaxed);
        let touched = Touched {
            wanted: self.feed.get().is_some(),
            touches: RefCell::default(),
        };
        let mut tables = Tables::open(&txn, place, &touched, *self.counts.borrow(), max_uploads)?;
        while let Some(job) = group.pop() {
            let before = touched.touches.borrow().len();
            let (finish, worked) = job(Ok(&mut tables));
            match touched.news_since(before) {
                true => finishes.told.push(finish),
                false => finishes.kept.push(finish),
            }
            worked?;
        }
        let counts = tables.counts;
        drop(tables);
        txn.commit().map_err(|error| StoreError::of(place, error))?;
        self.counts
            .send_if_modified(|known| std::mem::replace(known, counts) != counts);
        Ok(touched.touches.into_inner())
    }

    fn reopen_after_failure(&self) -> Result<(), StoreError> {
        if !self.failing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let (Some(until), Err(error)) = (*pause, &*database)
            && begun < until
        {
            return Err(error.clone());
        }
        // The old handle holds the file's lock: it goes first.
        *database = Err(StoreError::Gone);
        match self.opener.open() {
            Ok((opened, counts)) => {
                (*database, *pause) = (Ok(opened), None);
                self.counts.send_replace(counts);
                Ok(())
            }
            Err(error) => {
                // Opening a large file takes seconds: most of the time, writers are told at once.
                *pause = Some(Instant::now() + begun.elapsed() * 4);
                *database = Err(error.clone());
                Err(error)
            }
        }
    }

    /// Says once when writing begins to fail, and once when it works again.
    fn note(&self, failure: Option<&StoreError>) {
        let failure = failure.filter(|failure| failure.is_of_the_disk());
        let failed_before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(failure) if !failed_before => {
                let cause = std::error::Error::source(failure).map(tracing::field::display);
                error!(target: "lakegate::store", error = %failure, cause, "the store cannot be written");
            }
            None if failed_before => {
                info!(target: "lakegate::store", place = %self.opener.place, "the store can be written again");
            }
            _ => {}
        }
    }
}

/// Tells each of those who wait how it ended.
fn finish_all(finishes: Vec<Finish>, outcome: &Result<(), StoreError>) {
    for finish in finishes {
        // What others do with the news must not stop the writer.
        let told = catch_unwind(AssertUnwindSafe(|| finish(outcome.clone())));
        if told.is_err() {
            error!(target: "lakegate::store", "whoever waited for a write panicked over its outcome");
        }
    }
}

/// redb checks sums when it opens a file, but pages that go bad later may make it panic.
fn guarded<T>(place: &Arc<str>, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::panicked(place)))
}
