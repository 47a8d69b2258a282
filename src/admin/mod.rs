//! The gateway's own doors, apart from the data plane: a TCP listener for health and metrics, and a unix socket for commands on the
//! running process. Both live on the control runtime.
//!
//! The listener tells nothing of a user, a path or a branch, and takes no orders. Whatever else there is to ask or to order goes by the
//! socket, which only the gateway's own user (and root) may open: one route of `commands` a command.

mod answer;
mod commands;
mod health;
mod hosts;
mod pages;
mod serve;
mod socket;
mod undo;
mod uploads;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::audit::Audit;
use crate::config::AdminConfig;
use crate::lakefs_client::Client;
use crate::observe::Metrics;
use crate::store::{Store, Timestamp};
use crate::uploads::Ledger;
use crate::{limit, record};

pub use answer::Failure;
pub use commands::{Page, ReadsPage, Status};
pub use socket::SocketError;
pub use undo::{ApprovalPage, UndoPage};
pub use uploads::ReapPage;

use commands::Commands;
use health::Health;
use hosts::Hosts;
use pages::Pages;
use serve::Limits;
use socket::Socket;

/// Why the doors cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The listener's address cannot be had.
    #[error("cannot listen on {address} (admin.listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the command socket (admin.socket)")]
    Socket(#[source] SocketError),
}

/// What the doors look into; handles all.
pub struct Parts {
    /// Where records are kept.
    pub store: Store,
    /// The heads that were lost, and the approvals.
    pub record: Arc<record::State>,
    /// The ledger of uploads.
    pub ledger: Arc<Ledger>,
    /// Whose turn it is.
    pub limit: Arc<limit::State>,
    /// Where acts are written down; tests have none.
    pub audit: Option<Arc<Audit>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The way to lakeFS, for readiness.
    pub client: Client,
    /// Whether a drain is under way.
    pub draining: Box<dyn Fn() -> bool + Send + Sync>,
    /// The configuration's file, if there is one.
    pub config: Option<PathBuf>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Both doors, bound and not yet open.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    socket: Socket,
    hosts: Hosts,
}

/// Health and metrics: small pages.
const PAGES: Limits = Limits {
    connections: 64,
    header_timeout: Duration::from_secs(5),
    whole: Duration::from_secs(30),
};

/// A sum over a million records takes seconds.
const COMMANDS: Limits = Limits {
    connections: 16,
    header_timeout: Duration::from_secs(5),
    whole: Duration::from_secs(120),
};

impl Admin {
    /// Takes the address and the socket, so that what is wrong with them is known before the gateway starts.
    ///
    /// # Errors
    /// With the address or path and what to do.
    pub async fn bind(config: &AdminConfig) -> Result<Self, AdminError> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| AdminError::Listen {
                address: config.listen,
                source,
            })?;
        let socket = Socket::bind(&config.socket).map_err(AdminError::Socket)?;
        Ok(Self {
            listener,
            socket,
            hosts: Hosts::new(&config.hosts),
        })
    }

    /// Where the listener listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves both doors until it is dropped; the socket's file goes then.
    pub async fn serve(self, parts: Parts) {
        let Self {
            listener,
            socket,
            hosts,
        } = self;
        let health = Arc::new(Health::new(parts.client, parts.store.clone(), parts.draining));
        let pages = Arc::new(Pages {
            hosts,
            health,
            metrics: parts.metrics,
        });
        let commands = Arc::new(Commands {
            store: parts.store,
            record: parts.record,
            ledger: parts.ledger,
            limit: parts.limit,
            audit: parts.audit,
            config: parts.config,
            started: Timestamp::now(),
            clock: Instant::now(),
        });
        tokio::join!(
            serve::run(&listener, PAGES, move |request| {
                let pages = Arc::clone(&pages);
                async move { pages.answer(&request).await }
            }),
            serve::run(&socket, COMMANDS, move |request| {
                let commands = Arc::clone(&commands);
                async move { commands.answer(&request).await }
            })
        );
    }
}
