//! A counting gate: so many at a time, first come first served, and its size can change while it is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// So many at a time.
#[derive(Debug)]
pub(super) struct Gate {
    /// tokio's semaphore is fair: who cannot enter at once waits in line, and nobody enters past the line.
    free: Semaphore,
    size: AtomicUsize,
    /// Permits given out beyond the size, by shrinking or by [`Gate::enter_over`]; paid back before any becomes free.
    debt: AtomicUsize,
}

/// One place inside a gate, given back when dropped.
#[derive(Debug)]
pub(super) struct Pass(Arc<Gate>);

impl Gate {
    pub(super) fn new(size: usize) -> Arc<Self> {
        let size = size.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Semaphore::new(size),
            size: AtomicUsize::new(size),
            debt: AtomicUsize::new(0),
        })
    }

    /// Makes it larger or smaller. Nobody inside is thrown out: a gate that is too full lets nobody in until enough have left.
    pub(super) fn resize(&self, size: usize) {
        let size = size.min(Semaphore::MAX_PERMITS);
        if self.size.load(Ordering::Relaxed) == size {
            return;
        }
        let before = self.size.swap(size, Ordering::Relaxed);
        for _ in before..size {
            self.give_back();
        }
        if size < before {
            let wanted = before - size;
            let taken = self.free.forget_permits(wanted);
            self.debt.fetch_add(wanted - taken, Ordering::Relaxed);
        }
    }

    /// Enters if there is a place and nobody waits for one.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Pass> {
        self.free.try_acquire().ok()?.forget();
        Some(Pass(Arc::clone(self)))
    }

    /// Waits for a place, in line.
    pub(super) async fn enter(self: &Arc<Self>) -> Pass {
        // The semaphore is never closed, so this cannot fail; if it did, a place too many is the lesser harm.
        if let Ok(permit) = self.free.acquire().await {
            permit.forget();
        }
        Pass(Arc::clone(self))
    }

    /// Enters in any case; if it is full, later ones wait longer for it.
    pub(super) fn enter_over(self: &Arc<Self>) -> Pass {
        self.try_enter().unwrap_or_else(|| {
            self.debt.fetch_add(1, Ordering::Relaxed);
            Pass(Arc::clone(self))
        })
    }

    /// Whether nobody is inside.
    pub(super) fn is_idle(&self) -> bool {
        self.free.available_permits() >= self.size.load(Ordering::Relaxed)
    }

    fn give_back(&self) {
        let less = |debt: usize| debt.checked_sub(1);
        if self
            .debt
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_err()
        {
            self.free.add_permits(1);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_many_are_inside_as_its_last_size_allows(steps in prop::collection::vec((0..4_u8, 0..6_usize), 1..60)) {
            let (gate, mut inside, mut size) = (Gate::new(3), Vec::new(), 3);
            for (step, number) in steps {
                match step {
                    0 => {
                        let before = inside.len();
                        inside.extend(gate.try_enter());
                        prop_assert_eq!(inside.len() > before, before < size);
                    }
                    1 => inside.push(gate.enter_over()),
                    2 => drop(inside.pop()),
                    _ => {
                        gate.resize(number);
                        size = number;
                    }
                }
            }
            inside.clear();
            while let Some(pass) = gate.try_enter() {
                inside.push(pass);
            }
            prop_assert_eq!(inside.len(), size);
        }
    }
}
