//! The acceptor: takes new connections from one listener and hands each to the data thread that has the fewest.
//!
//! One acceptor and not a listener a thread: SO_REUSEPORT spreads a few connections unevenly and resets those that wait on a listener
//! that closes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::drain::Drain;
use super::thread::{Accepted, DataThread, Seat};
use crate::observe::Metrics;

/// How long the acceptor rests after an error of the system (no file descriptors left, no memory): first, and at most.
const REST_MIN: Duration = Duration::from_millis(10);
const REST_MAX: Duration = Duration::from_secs(1);
/// How long connections that the system has already taken may still come in when a drain begins: they would be reset.
const LAST_CALL: Duration = Duration::from_millis(50);

pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    /// TLS on it, as new connections meet it.
    pub(super) tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    pub(super) threads: Arc<[DataThread]>,
    pub(super) seats: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Drain,
}

impl Acceptor {
    /// Accepts until the drain begins, takes those who were connected by then, and closes the listener.
    pub(super) async fn run(mut self) {
        let mut drain = self.drain.clone();
        tokio::select! {
            biased;
            () = drain.begun() => {}
            () = self.accept_all() => {}
        }
        let _ = timeout(LAST_CALL, self.accept_all()).await;
    }

    async fn accept_all(&mut self) {
        let (mut rest, mut full) = (REST_MIN, false);
        loop {
            let accepted = self.listener.accept().await;
            match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok((stream, peer)) => {
                    rest = REST_MIN;
                    let Some((permit, thread)) = self.seat(&mut full).await else {
                        return;
                    };
                    let seat = Seat::new(permit, thread, &self.metrics);
                    let tls = self.tls.as_ref().map(|tls| tls.load_full());
                    thread.hand(Accepted {
                        stream,
                        peer,
                        tls,
                        seat,
                    });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    tracing::error!(%error, rest_ms = rest.as_millis() as u64, "cannot accept connections");
                    sleep(rest).await;
                    rest = (rest * 2).min(REST_MAX);
                }
            }
        }
    }

    /// A seat on the thread that has the fewest. Beyond `server.max_connections` one connection waits here, the others with the system.
    async fn seat(&self, full: &mut bool) -> Option<(OwnedSemaphorePermit, &DataThread)> {
        let permit = match Arc::clone(&self.seats).try_acquire_owned() {
            Ok(permit) => {
                *full = false;
                permit
            }
            Err(_) => {
                if !std::mem::replace(full, true) {
                    tracing::warn!("server.max_connections are open: new connections wait");
                }
                Arc::clone(&self.seats).acquire_owned().await.ok()?
            }
        };
        Some((permit, self.threads.iter().min_by_key(|thread| thread.load())?))
    }
}

/// Whether only this one connection failed: its client was gone before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
