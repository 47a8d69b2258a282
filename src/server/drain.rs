//! Ending well: the phases of a drain, who may watch them, and the signals that begin it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It has not begun.
    Serving,
    /// No new connections; requests under way are finished.
    Draining,
    /// What is still under way is cut.
    Cut,
}

/// Watches for the end of the data plane. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain(pub(super) watch::Receiver<Phase>);

impl Drain {
    /// Whether it has begun: whoever balances load should send nothing more.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Returns once it has begun.
    pub async fn begun(&mut self) {
        self.reached(Phase::Draining).await;
    }

    /// Returns once whatever is still under way is cut.
    pub(super) async fn cut(&mut self) {
        self.reached(Phase::Cut).await;
    }

    async fn reached(&mut self, phase: Phase) {
        // The sender is gone only when the plane is, and then everything has ended.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still open after `server.drain_timeout` and were cut.
    pub cut: usize,
}

/// Returns the name of the first signal that asks the process to end.
///
/// # Errors
/// When the system refuses to tell of signals.
pub async fn terminated() -> io::Result<&'static str> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}
