//! Leases: of all replicas one has it, for as long as it renews it; it goes over when its holder ends or no longer reaches Redis.
//!
//! Whoever has it may believe so only until the end of the period that began *before* Redis was asked. Its token grows with each holder:
//! what is done under a lease can be told apart by it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::info;

use super::Replicas;
use super::link::Unreachable;

const LEASE: &str = include_str!("lease.lua");
/// How long one stands without being renewed.
const PERIOD: Duration = Duration::from_secs(6);
/// How often it is renewed, or asked for.
const EVERY: Duration = Duration::from_secs(2);

/// Whether this replica has a lease now.
#[derive(Debug, Clone)]
pub struct Leader(watch::Receiver<bool>);

impl Leader {
    /// One that always has it: there is nobody else.
    pub(super) fn only() -> Self {
        Self(watch::Sender::new(true).subscribe())
    }

    /// Whether it has it now.
    pub fn leads(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it has it.
    pub async fn elected(&mut self) {
        if self.0.wait_for(|leads| *leads).await.is_err() {
            // The replica ends.
            std::future::pending::<()>().await;
        }
    }
}

impl Replicas {
    /// Takes or renews a lease; answers its token if this replica has it.
    pub(crate) async fn lease(&self, name: &str, period: Duration) -> Result<Option<u64>, Unreachable> {
        let Some(bus) = &self.0 else { return Ok(Some(0)) };
        let mut command = redis::cmd("EVAL");
        command
            .arg(LEASE)
            .arg(0)
            .arg(bus.key(&format!("lease:{name}")))
            .arg(&bus.instance);
        command.arg(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
        let token: u64 = bus.ask(&command).await?;
        Ok((token > 0).then_some(token))
    }

    /// Stands for a lease for as long as the gateway runs.
    pub fn stand_for(&self, name: &'static str) -> Leader {
        let Some(bus) = &self.0 else { return Leader::only() };
        let (leads, led) = watch::channel(false);
        let replicas = self.clone();
        bus.tasks.spawn(async move {
            let mut until = None;
            loop {
                let asked = Instant::now();
                match replicas.lease(name, PERIOD).await {
                    Ok(Some(_)) => until = Some(asked + PERIOD),
                    Ok(None) => until = None,
                    // What it has stays its own until it ends.
                    Err(Unreachable) => {}
                }
                let has = until.is_some_and(|until| until > Instant::now());
                if leads.send_if_modified(|leads| std::mem::replace(leads, has) != has) {
                    info!(target: "lakegate::replicas", lease = name, leads = has, "a lease changed hands");
                }
                let next = sleep(EVERY);
                match until {
                    Some(until) if has => _ = timeout_at(until, next).await,
                    _ => next.await,
                }
                if leads.is_closed() {
                    return;
                }
            }
        });
        Leader(led)
    }
}
