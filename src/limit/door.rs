//! The door to the upstream's slots: so many inside at a time, and a fair [`Line`] before it.
//!
//! While nobody waits, entering and leaving are an atomic each: no lock, no allocation. Who leaves lets in whoever is next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::line::{Comer, Line, Ticket};

/// So many at a time. It may be made larger and smaller while it is in use.
#[derive(Debug)]
pub(super) struct Door {
    size: AtomicUsize,
    inside: AtomicUsize,
    /// The line's length, to be read without its lock. A comer writes it and then looks whether there is room; a leaver makes room and
    /// then reads it: in one order for all (`SeqCst`), so one of them sees the other.
    waiting: AtomicUsize,
    line: Mutex<Line<oneshot::Sender<Entry>>>,
}

/// One place inside, given back when dropped.
#[derive(Debug)]
pub(super) struct Entry(Option<Arc<Door>>);

impl Door {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            size: AtomicUsize::new(size),
            inside: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            line: Mutex::default(),
        })
    }

    /// Makes it larger or smaller. Nobody inside is thrown out: a door with too many inside lets nobody in until enough have left.
    pub(super) fn resize(self: &Arc<Self>, size: usize) {
        if self.size.swap(size, Ordering::SeqCst) < size {
            self.let_in();
        }
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Enters if there is room and nobody waits.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Entry> {
        (self.waiting.load(Ordering::SeqCst) == 0 && self.claim()).then(|| Entry(Some(Arc::clone(self))))
    }

    /// Enters in any case; if it is full, later ones wait longer.
    pub(super) fn enter_over(self: &Arc<Self>) -> Entry {
        self.inside.fetch_add(1, Ordering::SeqCst);
        Entry(Some(Arc::clone(self)))
    }

    /// Takes a place in line; waiting in it is [`Place::entry`].
    ///
    /// # Errors
    /// The expected wait, if it is longer than the comer's patience.
    pub(super) fn queue(self: &Arc<Self>, comer: &Comer) -> Result<Place, Duration> {
        let (sender, receiver) = oneshot::channel();
        let ticket = {
            let mut line = self.line();
            let ticket = line.push(comer, sender, Instant::now())?;
            self.waiting.store(line.len(), Ordering::SeqCst);
            ticket
        };
        let place = Place {
            door: Arc::clone(self),
            ticket,
            receiver,
        };
        self.let_in();
        Ok(place)
    }

    fn line(&self) -> MutexGuard<'_, Line<oneshot::Sender<Entry>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place inside if there is one.
    fn claim(&self) -> bool {
        let more = |inside| (inside < self.size.load(Ordering::SeqCst)).then_some(inside + 1);
        self.inside
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more)
            .is_ok()
    }

    /// Lets in those who are next, as long as there is room.
    fn let_in(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0 && self.claim() {
            let next = {
                let mut line = self.line();
                let next = line.pop(Instant::now());
                self.waiting.store(line.len(), Ordering::SeqCst);
                next
            };
            // Woken without the lock. If nobody was left in line, or this one just went away, the place is free again.
            let unused = match next {
                Some(next) => next.send(Entry(Some(Arc::clone(self)))).err(),
                None => Some(Entry(Some(Arc::clone(self)))),
            };
            if let Some(mut entry) = unused {
                entry.0 = None;
                self.inside.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Whether nobody is inside or waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.inside() == 0 && self.waiting() == 0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(door) = self.0.take() {
            door.inside.fetch_sub(1, Ordering::SeqCst);
            door.let_in();
        }
    }
}

/// A place in line, left when dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Entry>,
}

impl Place {
    /// Waits to be let in.
    pub(super) async fn entry(mut self) -> Entry {
        match (&mut self.receiver).await {
            Ok(entry) => entry,
            // Whoever takes a place out of the line lets it in, so this cannot be; if it were, one too many is the lesser harm.
            Err(_) => self.door.enter_over(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.door.line();
        // Not in line any more: it was let in. An entry that nobody took is given back as the receiver drops, after the lock.
        if line.remove(&self.ticket) {
            self.door.waiting.store(line.len(), Ordering::SeqCst);
        }
    }
}
