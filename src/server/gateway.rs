//! Everything wired: the one place that makes long-lived state. A reload builds a new pipeline over it and swaps one pointer.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Drained, Plane, terminated};
use crate::admin::{Admin, AdminError, Parts};
use crate::audit::{Audit, AuditError, Outcome};
use crate::config::{self, Config};
use crate::lakefs_client::{Client, Dialer, TlsError};
use crate::observe::Metrics;
use crate::observe::metrics::OutcomeLabels;
use crate::pipeline::{self, Pipeline, State};
use crate::replicas::{self, Replicas, ReplicasError};
use crate::store::{Store, StoreError};
use crate::uploads::Ledger;
use crate::upstream::Pools;
use crate::{auth, guard, limit, record};

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
    /// What replicas share could not be set up.
    #[error("the way to the other replicas cannot be set up")]
    Replicas(#[from] ReplicasError),
    /// The audit log could not be opened.
    #[error("the audit log cannot be opened")]
    Audit(#[from] AuditError),
    /// TLS to lakeFS could not be set up.
    #[error("TLS to lakeFS cannot be set up")]
    Tls(#[from] TlsError),
    /// A listener could not be opened, or a thread not started.
    #[error("the gateway cannot listen")]
    Listen(#[source] io::Error),
    /// The admin listener or socket could not be opened.
    #[error("the administration cannot start")]
    Admin(#[from] AdminError),
}

/// The running gateway.
#[derive(Debug)]
pub struct Gateway {
    plane: Plane,
    admin: SocketAddr,
    pipeline: Arc<ArcSwap<Pipeline>>,
    state: State,
    config: Arc<Config>,
    /// The sweepers of the ledger, the records and what was used up, and the admin doors: they end with the gateway.
    background: [JoinHandle<()>; 4],
}

impl Gateway {
    /// Starts everything on the runtime it is called on, which becomes the control runtime.
    ///
    /// # Errors
    /// When a port, a file or a certificate cannot be used; nothing is left running then.
    pub async fn start(config: Config, file: Option<PathBuf>) -> Result<Self, StartError> {
        let admin = Admin::bind(&config.admin).await?;
        let admin_address = admin.address().map_err(StartError::Listen)?;
        let metrics = Arc::new(Metrics::new());
        let store = Store::open(&config.store)?;
        let replicas = Replicas::start(&config.replicas, store.clone(), Arc::clone(&metrics)).await?;
        let audit = Audit::start(&config.audit, store.clone(), Arc::clone(&metrics))?;
        let dialer = Arc::new(Dialer::new(&config.upstream)?);
        let client = Client::new(Arc::clone(&dialer), &config.upstream.url, Handle::current());
        let ledger = Ledger::new(
            &config.uploads,
            store.clone(),
            client.clone(),
            replicas.clone(),
            Arc::clone(&metrics),
        );
        ledger.recover().await?;
        let record = record::State::new(store.clone(), client.clone(), replicas.clone(), Arc::clone(&metrics));
        record.recover().await?;
        let inspected_kib = config
            .server
            .inspected_bodies
            .as_usize()
            .div_ceil(1024)
            .min(Semaphore::MAX_PERMITS);
        let state = State {
            inspection: Arc::new(Semaphore::new(inspected_kib)),
            audit: Arc::clone(&audit),
            auth: Arc::new(auth::State::new(client.clone(), Arc::clone(&metrics))),
            guard: Arc::new(guard::State::new(client.clone())),
            ledger: Arc::clone(&ledger),
            limit: Arc::new(limit::State::new(Arc::clone(&metrics))),
            store: store.clone(),
            replicas: replicas.clone(),
            record: Arc::clone(&record),
            dialer,
            pools: Arc::new(Pools::new(Plane::threads(&config.server))),
            metrics: Arc::clone(&metrics),
        };
        let pipeline = Arc::new(ArcSwap::from_pointee(pipeline::build(&config, &state)));
        let plane = Plane::start(&config.listen, &config.server, &pipeline, &metrics).map_err(StartError::Listen)?;
        let drain = plane.watch();
        let draining = Box::new(move || drain.is_draining());
        let tidying = replicas::tidy(store.clone());
        let doors = admin.serve(Parts {
            store,
            record: Arc::clone(&record),
            ledger: Arc::clone(&ledger),
            limit: Arc::clone(&state.limit),
            audit: Some(audit),
            metrics,
            client,
            draining,
            config: file,
        });
        let background = [
            tokio::spawn(tidying),
            tokio::spawn(doors),
            tokio::spawn(ledger.run()),
            tokio::spawn(record.run()),
        ];
        Ok(Self {
            plane,
            admin: admin_address,
            pipeline,
            state,
            config: Arc::new(config),
            background,
        })
    }

    /// Where clients connect, ports filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.plane.addresses()
    }

    /// Where health and metrics answer, port filled in.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Puts a new configuration in force: requests that begin from now on meet it.
    pub fn reload(&self, config: &Config) {
        self.plane.renew(&config.listen);
        self.state.ledger.reconfigure(&config.uploads);
        self.state.audit.reconfigure(&config.audit);
        self.state.audit.act("reload", "gateway", Outcome::Allowed);
        self.pipeline.store(Arc::new(pipeline::build(config, &self.state)));
    }

    /// Serves until a signal asks it to end, following the configuration's file meanwhile; then drains.
    ///
    /// # Errors
    /// If the process cannot listen for signals.
    pub async fn run(self, file: Option<PathBuf>) -> io::Result<Drained> {
        let (configs, following) = self.follow(file)?;
        let following = tokio::spawn(following);
        let reloading = async {
            let Some(mut configs) = configs else {
                return pending().await;
            };
            while configs.changed().await.is_ok() {
                let config = Arc::clone(&configs.borrow_and_update());
                self.reload(&config);
            }
            pending().await
        };
        let signal = tokio::select! {
            signal = terminated() => signal?,
            () = reloading => "nothing",
        };
        following.abort();
        tracing::info!(
            signal,
            timeout_ms = self.config.server.drain_timeout.0.as_millis(),
            "draining"
        );
        let drained = self.stop().await;
        tracing::info!(connections.cut = drained.cut, "ended");
        Ok(drained)
    }

    /// Drains, waits for mutations whose clients have left, and stops everything; the store last.
    pub async fn stop(self) -> Drained {
        let drained = self.plane.drain().await;
        let left = timeout(self.config.server.drain_timeout.0, self.state.limit.mutations_done());
        if left.await.is_err() {
            tracing::warn!("mutations whose clients had left were still under way and are cut");
        }
        self.plane.stop().await;
        for task in self.background {
            task.abort();
            // It ends with its handles on the store; that it was aborted is no news.
            let _ = task.await;
        }
        self.state.audit.stop().await;
        self.state.replicas.stop().await;
        if let Err(error) = self.state.store.flush().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store could not be flushed"
            );
        }
        drained
    }

    #[expect(clippy::type_complexity, reason = "a channel and what feeds it")]
    fn follow(
        &self,
        file: Option<PathBuf>,
    ) -> io::Result<(
        Option<watch::Receiver<Arc<Config>>>,
        futures_util::future::BoxFuture<'static, ()>,
    )> {
        let Some(file) = file else {
            return Ok((None, Box::pin(pending())));
        };
        let metrics = Arc::clone(&self.state.metrics);
        let counted = move |taken: bool| {
            let outcome = if taken { "ok" } else { "failed" };
            metrics.reloads.get_or_create(&OutcomeLabels { outcome }).inc();
        };
        let (receiver, following) = config::reload::follow(file, Arc::clone(&self.config), counted)?;
        Ok((Some(receiver), Box::pin(following)))
    }
}
