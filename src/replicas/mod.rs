//! Several gateways in front of one lakeFS, and Redis between them.
//!
//! Each replica holds everything in a store of its own and answers from it; Redis carries changes from one to the others, and decides what
//! only one may do. It is never the only place of anything: emptied, it is filled again by the replicas; gone, each replica goes on alone.
//! What a feature gets here:
//!
//! - [`crate::store::Record::MERGE`]: records of such a kind are shared, with nothing more to do. A write resolves when the other replicas
//!   can see it, or after `replicas.redis.timeout`.
//! - [`Replicas::caught_up`]: before "there is no such record" is believed, what others have written until now is taken in.
//! - [`Replicas::use_once`]: a thing that may be used once, on whichever replica.
//! - [`Replicas::stand_for`]: what only one replica does.
//! - [`Replicas::alive`]: how many there are, to share a limit among them.
//!
//! None of these holds a request up for longer than `replicas.redis.timeout`, and none fails because Redis does.

mod beat;
mod compare;
mod lease;
mod link;
mod once;
mod publish;
mod receive;

#[cfg(test)]
#[path = "../../tests/gateway/support/redis.rs"]
mod redis_server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::ReplicasConfig;
use crate::observe::Metrics;
use crate::store::{Store, StoreError, Sums, Touch, add};

pub use lease::Leader;
pub use link::Unreachable;
pub use once::{Use, tidy};

use link::Link;
use receive::Position;

/// How long the end of a replica may take.
const END: Duration = Duration::from_secs(1);

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum ReplicasError {
    /// The client of Redis could not be made.
    #[error("the connection to Redis cannot be set up")]
    Redis(#[from] RedisError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// This gateway among its replicas; cheap to clone.
#[derive(Debug, Clone)]
pub struct Replicas(Option<Arc<Bus>>);

/// What the tasks of a replica share.
pub(crate) struct Bus {
    link: Link,
    prefix: String,
    /// This process, among all that ever were.
    instance: String,
    name: String,
    store: Store,
    metrics: Arc<Metrics>,
    /// Whether it is one of the replicas: Redis is there, and the sealing keys are the same.
    member: watch::Sender<bool>,
    alive: watch::Sender<Vec<String>>,
    /// How far the changes of others are in the store.
    position: watch::Sender<Position>,
    /// Whether they are followed now.
    receiving: AtomicBool,
    /// Of what is in the store.
    sums: Mutex<Sums>,
    ending: watch::Sender<bool>,
    publishing: Mutex<Option<JoinHandle<()>>>,
    tasks: Tasks,
}

/// The tasks on the control runtime.
struct Tasks {
    runtime: Handle,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|task| !task.is_finished());
        running.push(self.runtime.spawn(task));
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bus").field(&self.name).finish()
    }
}

impl Replicas {
    /// A gateway without others.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// Joins the others, if the configuration says where they meet. On the control runtime, before anything else changes the store.
    ///
    /// # Errors
    /// When the configuration cannot be used, or the store not be read; never because Redis is not there.
    pub async fn start(config: &ReplicasConfig, store: Store, metrics: Arc<Metrics>) -> Result<Self, ReplicasError> {
        let Some(redis) = &config.redis else {
            return Ok(Self::alone());
        };
        let (feed, sums) = store.share().await?;
        let instance = Uuid::new_v4().simple().to_string();
        let name = config.name.clone().or_else(machine).unwrap_or_else(|| instance.clone());
        let bus = Arc::new(Bus {
            link: Link::new(redis, Arc::clone(&metrics))?,
            prefix: redis.prefix.clone(),
            instance,
            name,
            store,
            metrics,
            member: watch::Sender::new(false),
            alive: watch::Sender::default(),
            position: watch::Sender::default(),
            receiving: AtomicBool::new(false),
            sums: Mutex::new(sums),
            ending: watch::Sender::new(false),
            publishing: Mutex::default(),
            tasks: Tasks {
                runtime: Handle::current(),
                running: Mutex::default(),
            },
        });
        let linking = Arc::clone(&bus);
        bus.tasks.spawn(async move { linking.link.run().await });
        let publishing = tokio::spawn(publish::run(Arc::clone(&bus), feed));
        *bus.publishing.lock().unwrap_or_else(PoisonError::into_inner) = Some(publishing);
        bus.tasks.spawn(receive::run(Arc::clone(&bus)));
        let wanted = compare::start(&bus);
        bus.tasks.spawn(beat::run(Arc::clone(&bus), wanted));
        Ok(Self(Some(bus)))
    }

    /// The names of the replicas alive, this one among them; none while Redis is down. A process that was killed is missing after
    /// 5 seconds.
    pub fn alive(&self) -> watch::Receiver<Vec<String>> {
        match &self.0 {
            Some(bus) => bus.alive.subscribe(),
            None => watch::Sender::default().subscribe(),
        }
    }

    /// Whether there are no others and never will be: the configuration names no Redis.
    pub const fn are_one(&self) -> bool {
        self.0.is_none()
    }

    /// Whether there may be others, and Redis is there to ask.
    pub fn is_member(&self) -> bool {
        self.0.as_ref().is_some_and(|bus| bus.is_member())
    }

    /// Tells the others what is still to be told, and leaves them.
    pub async fn stop(&self) {
        let Some(bus) = &self.0 else { return };
        bus.ending.send_replace(true);
        let publishing = bus.publishing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(publishing) = publishing {
            _ = timeout(END, publishing).await;
        }
        _ = timeout(END, bus.leave()).await;
        bus.end().await;
    }
}

impl Bus {
    /// Ends all tasks.
    async fn end(&self) {
        let running = std::mem::take(&mut *self.tasks.running.lock().unwrap_or_else(PoisonError::into_inner));
        for task in running {
            task.abort();
            _ = task.await;
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn is_member(&self) -> bool {
        *self.member.borrow() && self.link.is_up()
    }

    /// Asks Redis, if this gateway is one of the replicas.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unreachable> {
        match self.is_member() {
            true => self.link.ask(command).await,
            false => Err(Unreachable),
        }
    }

    /// Keeps the sums up with changes of the store.
    fn count(&self, touches: &[Touch]) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        for touch in touches {
            let Some(sum) = sums.get_mut(touch.kind) else { continue };
            let now = touch.now.as_ref().map(|(version, _)| *version);
            for version in [touch.before, now].into_iter().flatten() {
                add(sum, touch.id, version);
            }
        }
    }

    fn sums(&self) -> Sums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The machine's name.
fn machine() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
