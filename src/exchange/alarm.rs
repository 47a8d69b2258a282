//! A deadline that is moved with every byte and rings almost never, so moving it must cost nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The alarm. The timer behind it is touched only when it rings early or must ring sooner.
#[derive(Debug, Default)]
pub struct Alarm {
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.deadline.is_some()
    }

    /// Sets it, in place of what was set before.
    pub fn set(&mut self, after: Duration) {
        // Beyond what a clock can hold is as good as never.
        self.deadline = Instant::now().checked_add(after);
    }

    /// Sets it unless it is set.
    pub fn set_once(&mut self, after: Duration) {
        if self.deadline.is_none() {
            self.set(after);
        }
    }

    /// It shall not ring.
    pub fn clear(&mut self) {
        self.deadline = None;
    }

    /// Ready once its time has come; pending as long as it is not set.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn ring(alarm: &mut Alarm) {
        poll_fn(|cx| alarm.poll(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn rings_at_the_last_time_it_was_set_to() {
        let (begin, mut alarm) = (Instant::now(), Alarm::default());
        for seconds in [5, 60, 3] {
            alarm.set(Duration::from_secs(seconds));
            assert!(tokio::time::timeout(Duration::ZERO, ring(&mut alarm)).await.is_err());
        }
        alarm.set_once(Duration::from_secs(1));
        ring(&mut alarm).await;
        assert_eq!(begin.elapsed().as_secs(), 3);
        alarm.set(Duration::from_secs(10));
        ring(&mut alarm).await;
        assert_eq!(begin.elapsed().as_secs(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_ring_once_it_was_cleared() {
        let mut alarm = Alarm::default();
        alarm.set(Duration::from_secs(1));
        assert!(tokio::time::timeout(Duration::ZERO, ring(&mut alarm)).await.is_err());
        alarm.clear();
        assert!(
            tokio::time::timeout(Duration::from_secs(9), ring(&mut alarm))
                .await
                .is_err()
        );
    }
}
