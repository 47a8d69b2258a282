//! A small lakeFS look-alike, to try the gateway on and to test it with: one user, S3-like storage of its own, lakeFS's texts, races and
//! quirks. It is held true by `tests/clients/parity.py`, which sends the same requests to it and to a real lakeFS.
//!
//! It is a fixture, not a product: no S3 gateway, hooks, imports, pull requests or garbage collection. It shares no routing with the
//! gateway, on purpose.

mod branches;
mod call;
mod change;
mod login;
mod merge;
mod objects;
mod persist;
mod presign;
mod reply;
mod repositories;
mod route;
mod script;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod uploads;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub use script::{Close, Received, Scripted};

use persist::{Saved, Saver};
use script::Script;
use store::{Store, now};
use world::{State, User};

/// How a sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The one user's key.
    pub access_key_id: String,
    /// And its secret.
    pub secret_access_key: String,
    /// The one user's name.
    pub user: String,
    /// lakeFS's `auth.encrypt.secret_key`: signs tokens and cookies.
    pub secret: String,
    /// Whether the user exists from the start; without, `POST /setup_lakefs` makes one.
    pub installed: bool,
    /// Keeps everything in this folder; without, in memory.
    pub data_dir: Option<PathBuf>,
    /// How long a commit or merge takes between reading a branch and writing it. Races come of it; zero makes them rare.
    pub commit_time: Duration,
    /// The largest object or part, in bytes.
    pub max_object: u64,
    /// The most that all objects and parts together may take, in bytes.
    pub max_bytes: u64,
    /// Answers `/_sandbox/...` to clients on this machine: scripted answers and the requests received. (In the process there are
    /// [`Sandbox::script`] and [`Sandbox::received`] without it.)
    pub scripting: bool,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            user: "admin".to_owned(),
            secret: "THIS_MUST_BE_CHANGED_IN_PRODUCTION".to_owned(),
            installed: true,
            data_dir: None,
            commit_time: Duration::from_millis(2),
            max_object: 256 << 20,
            max_bytes: 2 << 30,
            scripting: false,
        }
    }
}

/// A running sandbox. It stops when dropped; [`Sandbox::shutdown`] also waits for it.
#[derive(Debug)]
pub struct Sandbox {
    inner: Arc<Sandboxed>,
    address: SocketAddr,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Sandbox {
    /// Starts a sandbox on the caller's runtime.
    ///
    /// # Errors
    /// If the address is taken, or the data folder cannot be used.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let inner = Arc::new(Sandboxed::new(config, address)?);
        inner.save().await?;
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(serve::accept(listener, Arc::clone(&inner), stopped));
        Ok(Self {
            inner,
            address,
            stop,
            task,
        })
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues an answer for a request to come; at most 10,000 wait.
    pub fn script(&self, scripted: Scripted) {
        self.inner.script.queue(scripted);
    }

    /// The last thousand requests to operations, the oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.inner.script.received()
    }

    /// Drops queued answers and forgets received requests.
    pub fn clear(&self) {
        self.inner.script.clear();
    }

    /// Stops accepting, lets requests on their way finish for two seconds, and waits until then.
    pub async fn shutdown(self) {
        drop(self.stop);
        // The task ends by itself; a panic in it has been reported already.
        let _ = self.task.await;
    }
}

/// What its handlers share.
#[derive(Debug)]
struct Sandboxed {
    config: SandboxConfig,
    url: String,
    /// The folder of this run's new objects below `data/`.
    prefix: String,
    state: Mutex<State>,
    store: Store,
    script: Script,
    saver: Option<Saver>,
    /// Megabytes of bodies that may be on their way in at once.
    arriving: Arc<Semaphore>,
}

impl Sandboxed {
    fn new(config: SandboxConfig, address: SocketAddr) -> io::Result<Self> {
        if let Some(dir) = &config.data_dir {
            std::fs::create_dir_all(dir)?;
        }
        let saver = config.data_dir.as_deref().map(Saver::new);
        let saved = saver.as_ref().map(Saver::load).transpose()?.flatten();
        let Saved { mut state, store } = saved.unwrap_or_default();
        if state.installation.is_empty() {
            state.installation = uuid::Uuid::new_v4().to_string();
        }
        if config.installed {
            state.user = Some(User {
                name: config.user.clone(),
                created: state.user.map_or_else(now, |user| user.created),
                access_key_id: config.access_key_id.clone(),
                secret_access_key: config.secret_access_key.clone(),
            });
        }
        let host = if address.ip().is_unspecified() {
            SocketAddr::from(([127, 0, 0, 1], address.port()))
        } else {
            address
        };
        Ok(Self {
            url: format!("http://{host}"),
            prefix: objects::new_name(now()),
            state: Mutex::new(state),
            store: Store::open(config.data_dir.clone(), &config.secret, config.max_bytes, store)?,
            script: Script::default(),
            saver,
            arriving: Arc::new(Semaphore::new(1024)),
            config,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the state to the data folder, if there is one.
    async fn save(&self) -> io::Result<()> {
        match &self.saver {
            Some(saver) => {
                saver
                    .save(|| persist::snapshot(&self.state(), &self.store.index()))
                    .await
            }
            None => Ok(()),
        }
    }
}
