//! Data threads: a current-thread runtime each. A connection stays on its thread, and so do its upstream connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::connection::{Shared, serve};
use crate::observe::Metrics;

/// A new connection, on its way to a thread.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// How it is to speak TLS, if it is.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) seat: Seat,
}

/// A connection's place: counted while it is open, whatever ends it.
#[derive(Debug)]
pub(super) struct Seat {
    _permit: OwnedSemaphorePermit,
    load: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Seat {
    pub(super) fn new(permit: OwnedSemaphorePermit, thread: &DataThread, metrics: &Arc<Metrics>) -> Self {
        thread.load.fetch_add(1, Ordering::Relaxed);
        metrics.connections.inc();
        Self {
            _permit: permit,
            load: Arc::clone(&thread.load),
            metrics: Arc::clone(metrics),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.metrics.connections.dec();
    }
}

/// One data thread, as the acceptors see it. The thread ends when the last handle on it is dropped.
#[derive(Debug, Clone)]
pub(super) struct DataThread {
    load: Arc<AtomicUsize>,
    sender: mpsc::Sender<Accepted>,
}

impl DataThread {
    /// Starts a thread that takes at most `capacity` connections at a time.
    pub(super) fn start(shared: Arc<Shared>, capacity: usize) -> io::Result<(Self, JoinHandle<()>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (sender, mut receiver) = mpsc::channel::<Accepted>(capacity);
        let thread = thread::Builder::new()
            .name(format!("data-{}", shared.core))
            .spawn(move || {
                runtime.block_on(async {
                    while let Some(accepted) = receiver.recv().await {
                        tokio::spawn(serve(accepted, Arc::clone(&shared)));
                    }
                });
            })?;
        let load = Arc::new(AtomicUsize::new(0));
        Ok((Self { load, sender }, thread))
    }

    /// Connections that it serves now.
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Hands it a connection; if the thread is gone, the connection is closed.
    pub(super) fn hand(&self, accepted: Accepted) {
        // Never full: there are as many places as seats.
        let _ = self.sender.try_send(accepted);
    }
}
