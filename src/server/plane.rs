//! The data plane as a whole: listeners, acceptors and data threads; started once, drained once, stopped once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::accept::Acceptor;
use super::connection::Shared;
use super::drain::{Drain, Drained, Phase};
use super::listener::listen;
use super::thread::DataThread;
use super::tls::server_config;
use crate::config::{ListenConfig, Listener, ServerConfig};
use crate::observe::Metrics;
use crate::pipeline::Pipeline;

/// How long connections that are cut may take to be gone.
const CUT_MAX: Duration = Duration::from_secs(5);

/// The running data plane.
#[derive(Debug)]
pub struct Plane {
    addresses: Vec<SocketAddr>,
    /// Of each listener: what new connections meet.
    tls: Vec<Option<Arc<ArcSwap<rustls::ServerConfig>>>>,
    phase: watch::Sender<Phase>,
    seats: Arc<Semaphore>,
    max_connections: u32,
    drain_timeout: Duration,
    threads: Arc<[DataThread]>,
    joins: Vec<JoinHandle<()>>,
}

impl Plane {
    /// How many data threads `config` asks for: as many pools has the upstream.
    pub fn threads(config: &ServerConfig) -> usize {
        match config.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Listens, and serves what comes through whatever pipeline stands in `pipeline` when a request begins. The acceptors run on the
    /// runtime that this is called on.
    ///
    /// # Errors
    /// When an address cannot be listened on, or a thread cannot be started.
    pub fn start(
        listen_on: &ListenConfig,
        config: &ServerConfig,
        pipeline: &Arc<ArcSwap<Pipeline>>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let listeners = listen_on
            .listeners()
            .iter()
            .map(|Listener { address, .. }| {
                listen(*address)
                    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(|listener| listener.local_addr())
            .collect::<io::Result<_>>()?;
        let tls = listen_on
            .listeners()
            .iter()
            .map(|Listener { tls, .. }| tls.as_ref().map(server_config).transpose())
            .map(|config| config.map(|config| config.map(ArcSwap::from_pointee).map(Arc::new)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let (phase, watch) = watch::channel(Phase::Serving);
        let seats = config
            .max_connections
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let mut threads = Vec::new();
        let mut joins = Vec::new();
        for core in 0..Self::threads(config) {
            let shared = Shared::new(
                core,
                config,
                Arc::clone(pipeline),
                Arc::clone(metrics),
                Drain(watch.clone()),
            );
            let (thread, join) = DataThread::start(Arc::new(shared), seats)?;
            threads.push(thread);
            joins.push(join);
        }
        let plane = Self {
            addresses,
            tls,
            phase,
            seats: Arc::new(Semaphore::new(seats)),
            max_connections: u32::try_from(seats).unwrap_or(u32::MAX),
            drain_timeout: config.drain_timeout.0,
            threads: threads.into(),
            joins,
        };
        for (listener, tls) in listeners.into_iter().zip(&plane.tls) {
            let acceptor = Acceptor {
                listener: TcpListener::from_std(listener)?,
                tls: tls.clone(),
                threads: Arc::clone(&plane.threads),
                seats: Arc::clone(&plane.seats),
                metrics: Arc::clone(metrics),
                drain: plane.watch(),
            };
            tokio::spawn(acceptor.run());
        }
        Ok(plane)
    }

    /// Where it listens, ports filled in, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Shows the certificates of `listen_on`, whose addresses are the ones it was started with, to connections that are made from now on.
    pub fn renew(&self, listen_on: &ListenConfig) {
        for (listener, running) in listen_on.listeners().iter().zip(&self.tls) {
            let (Some(tls), Some(running)) = (&listener.tls, running) else {
                continue;
            };
            match server_config(tls) {
                Ok(config) => running.store(Arc::new(config)),
                Err(error) => tracing::error!(
                    listen = %listener.address,
                    error = &error as &dyn std::error::Error,
                    "the new certificates cannot be used, the old ones stay"
                ),
            }
        }
    }

    /// A handle that sees the drain begin.
    pub fn watch(&self) -> Drain {
        Drain(self.phase.subscribe())
    }

    /// Stops accepting, lets requests under way finish for `server.drain_timeout`, then cuts what is left. May be called again: whoever
    /// calls, waits for the end.
    pub async fn drain(&self) -> Drained {
        self.advance(Phase::Draining);
        let cut = match timeout(self.drain_timeout, self.seats.acquire_many(self.max_connections)).await {
            Ok(_) => 0,
            Err(_) => self.max_connections as usize - self.seats.available_permits(),
        };
        self.advance(Phase::Cut);
        if timeout(CUT_MAX, self.seats.acquire_many(self.max_connections))
            .await
            .is_err()
        {
            tracing::error!("connections that were cut are still not gone");
        }
        Drained { cut }
    }

    /// Ends the data threads, and with them whatever still runs on them.
    pub async fn stop(self) {
        self.advance(Phase::Cut);
        let Self { threads, joins, .. } = self;
        drop(threads);
        let joining = tokio::task::spawn_blocking(move || {
            for join in joins {
                // A panic of a data thread was reported when it happened.
                let _ = join.join();
            }
        });
        let _ = joining.await;
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
    }
}
