//! The connection to Redis, and the circuit that opens when Redis fails or hangs: from then on nobody waits, until it answers again.
//!
//! The circuit is the connection itself: where there is none, a question is answered at once. One task makes it anew.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, RedisError};
use redis::{RedisConnectionInfo, TlsCertificates};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::config::RedisConfig;
use crate::observe::Metrics;

/// How long a new connection may take, with its trial.
const CONNECT: Duration = Duration::from_secs(2);
/// Questions in a row that may go without an answer in time.
const PATIENCE: u32 = 3;
/// The longest wait between two tries to connect.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Redis is not there, or has not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Redis cannot be reached")]
pub struct Unreachable;

/// The connection.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    /// A key that is written to see whether that can be done.
    trial: String,
    /// How long a question may take.
    timeout: Duration,
    current: watch::Sender<Option<Current>>,
    misses: AtomicU32,
    metrics: Arc<Metrics>,
}

/// A connection that stands.
#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    era: u64,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Current").field(&self.era).finish()
    }
}

impl Link {
    /// Makes no connection yet.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub(super) fn new(config: &RedisConfig, metrics: Arc<Metrics>) -> Result<Self, RedisError> {
        let url = &config.url;
        let address = if url.secure {
            ConnectionAddr::TcpTls {
                host: url.host.clone(),
                port: url.port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(url.host.clone(), url.port)
        };
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(url.database));
        if let Some(username) = &config.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &config.password {
            settings = settings.set_password(password.expose());
        }
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let client = match config.ca.as_ref().and_then(|ca| ca.pem()) {
            Some(pem) if url.secure => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(pem.as_bytes().to_vec()),
                },
            )?,
            _ => Client::open(info)?,
        };
        Ok(Self {
            client,
            trial: format!("{}:trial", config.prefix),
            timeout: config.timeout.0,
            current: watch::Sender::new(None),
            misses: AtomicU32::new(0),
            metrics,
        })
    }

    /// A connection apart, for what may take long.
    pub(super) async fn apart(&self, answer: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(answer));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// How long a question may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks Redis, if it is there, within the configured time.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unreachable> {
        let current = self.current.borrow().clone();
        let Some(Current { mut connection, era }) = current else {
            return Err(Unreachable);
        };
        match timeout(self.timeout, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => {
                self.misses.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.lost(era, &told(&error));
                Err(Unreachable)
            }
            Err(_) => {
                self.metrics.redis_timeouts.inc();
                if self.misses.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
                    self.lost(era, "it does not answer in time");
                }
                Err(Unreachable)
            }
        }
    }

    /// Gives the connection up, once.
    fn lost(&self, era: u64, why: &str) {
        let lost = self.current.send_if_modified(|current| {
            let same = current.as_ref().is_some_and(|current| current.era == era);
            if same {
                *current = None;
            }
            same
        });
        if lost {
            self.metrics.redis_up.set(0);
            warn!(target: "lakegate::replicas", error = why, "Redis cannot be used: this gateway goes on alone until it can");
        }
    }

    /// The number of the connection that stands, whenever that changes.
    pub(super) async fn era(&self, known: Option<u64>) -> Option<u64> {
        let of = |current: &Option<Current>| current.as_ref().map(|current| current.era);
        let mut watched = self.current.subscribe();
        let changed = watched.wait_for(|current| of(current) != known).await;
        changed.ok().and_then(|current| of(&current))
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        self.current.borrow().is_some()
    }

    /// Makes the connection, again and again, until it is dropped. Says once what is wrong.
    pub(super) async fn run(&self) {
        let (mut era, mut pause, mut told_of) = (0, Duration::ZERO, String::new());
        loop {
            sleep(pause).await;
            let tried = timeout(CONNECT, self.connect()).await;
            let error = match tried {
                Ok(Ok(connection)) => {
                    era += 1;
                    self.misses.store(0, Ordering::Relaxed);
                    self.current.send_replace(Some(Current { connection, era }));
                    self.metrics.redis_up.set(1);
                    info!(target: "lakegate::replicas", "Redis is reached");
                    let mut watched = self.current.subscribe();
                    _ = watched.wait_for(Option::is_none).await;
                    (pause, told_of) = (Duration::from_millis(50), String::new());
                    continue;
                }
                Ok(Err(error)) => told(&error),
                Err(_) => "it does not answer in time".to_owned(),
            };
            pause = (pause * 2).clamp(Duration::from_millis(100), PAUSE_MAX);
            if era == 0 && error != told_of {
                warn!(target: "lakegate::replicas", error, "Redis cannot be reached: this gateway works alone until it can");
                told_of = error;
            }
        }
    }

    /// Connects, and sees that it can write.
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.apart(CONNECT).await?;
        let mut trial = redis::cmd("SET");
        let () = trial
            .arg(&self.trial)
            .arg("")
            .arg("PX")
            .arg(1000)
            .query_async(&mut connection)
            .await?;
        Ok(connection)
    }
}

/// An error with its cause. Nothing secret is ever in it.
fn told(error: &RedisError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
