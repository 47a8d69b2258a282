//! What may be used once, on whichever replica: an assertion, a nonce, an approval.
//!
//! Redis decides between two replicas; each also writes down what it has seen used, so that neither a restart nor an emptied Redis lets
//! anything pass twice.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Replicas;
use crate::store::{Spent, Store, StoreError, Timestamp};

/// How often what is no longer of use is forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// Whether something has been used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It has not, and is used up now.
    First,
    /// It has.
    Again,
    /// There may be other replicas, and Redis cannot be asked: nobody knows. It is not used up.
    Unknown,
}

impl Replicas {
    /// Uses something up, until a time after which it is worth nothing anyway. `of` says what kind of thing `what` is.
    ///
    /// # Errors
    /// When the store could not be written.
    pub async fn use_once(&self, store: &Store, of: &str, what: &str, until: Timestamp) -> Result<Use, StoreError> {
        let spent = Spent::new(of, what, until);
        if let Some(bus) = &self.0 {
            let id = spent.id;
            let now = Timestamp::now();
            let known = move |table: &crate::store::Snapshot<'_, Spent>| table.get(id);
            if store.read(known).await?.is_some_and(|known| known.until > now) {
                return Ok(Use::Again);
            }
            let period = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX).max(1);
            let mut command = redis::cmd("SET");
            command
                .arg(bus.key(&format!("spent:{}", id.simple())))
                .arg(&bus.instance);
            command.arg("NX").arg("PX").arg(period);
            match bus.ask::<Option<String>>(&command).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Use::Again),
                Err(_) => return Ok(Use::Unknown),
            }
        }
        Ok(match store.spend(spent).await? {
            true => Use::First,
            false => Use::Again,
        })
    }
}

/// Forgets what was used up and is no longer of use, until it is dropped.
pub async fn tidy(store: Store) {
    let mut every = interval(TIDY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // What is wrong with the store is in the log already.
        _ = store.tidy_spent(Timestamp::now()).await;
    }
}
