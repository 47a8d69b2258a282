//! Takes in what other replicas change, in the order in which Redis got it, and knows how far it has come.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Bus, Replicas};
use crate::store::Foreign;

/// Changes of one look.
const GROUP: usize = 256;
/// How long a look waits for one.
const BLOCK: Duration = Duration::from_millis(1000);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// A place in the stream of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position(u64, u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (milliseconds, number) = text.split_once('-').ok_or(())?;
        let parse = |text: &str| text.parse().map_err(|_| ());
        Ok(Self(parse(milliseconds)?, parse(number)?))
    }
}

/// The entries of a stream: their ids and fields.
type Entries = Vec<(String, HashMap<String, Vec<u8>>)>;

/// Follows the stream, until it is dropped.
pub(super) async fn run(bus: Arc<Bus>) {
    let mut member = bus.member.subscribe();
    loop {
        if member.wait_for(|member| *member).await.is_err() {
            return;
        }
        // That Redis fails is told by the link; the stores are compared once it is back.
        _ = bus.follow().await;
        bus.receiving.store(false, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

impl Bus {
    async fn follow(self: &Arc<Self>) -> Result<(), RedisError> {
        let mut connection = self.link.apart(BLOCK * 2).await?;
        if *self.position.borrow() == Position::default() {
            self.position.send_replace(self.newest(&mut connection).await?);
        }
        self.receiving.store(true, Ordering::Relaxed);
        while *self.member.borrow() {
            let mut command = redis::cmd("XREAD");
            command
                .arg("COUNT")
                .arg(GROUP)
                .arg("BLOCK")
                .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(1000));
            command
                .arg("STREAMS")
                .arg(self.key("changes"))
                .arg(self.position.borrow().to_string());
            let read: Option<Vec<(String, Entries)>> = command.query_async(&mut connection).await?;
            let entries: Entries = read.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
            let Some(last) = entries.last().and_then(|(id, _)| id.parse().ok()) else {
                continue;
            };
            let foreign: Vec<Foreign> = entries
                .into_iter()
                .filter_map(|(_, fields)| self.foreign(fields))
                .collect();
            if !foreign.is_empty() {
                self.take_in(foreign).await;
            }
            self.position.send_replace(last);
        }
        Ok(())
    }

    async fn newest(&self, connection: &mut MultiplexedConnection) -> Result<Position, RedisError> {
        let newest: Entries = self.ask_newest().query_async(connection).await?;
        Ok(newest.first().and_then(|(id, _)| id.parse().ok()).unwrap_or_default())
    }

    fn ask_newest(&self) -> redis::Cmd {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.key("changes")).arg("+").arg("-").arg("COUNT").arg(1);
        command
    }

    /// What an entry says, unless it was this replica that wrote it.
    fn foreign(&self, mut fields: HashMap<String, Vec<u8>>) -> Option<Foreign> {
        let mut text = |name: &str| fields.remove(name).and_then(|value| String::from_utf8(value).ok());
        if text("replica")? == self.instance {
            return None;
        }
        let (kind, id) = (text("kind")?, Uuid::parse_str(&text("id")?).ok()?);
        let json = fields.remove("json");
        Some(Foreign { kind, id, json })
    }
}

impl Replicas {
    /// Returns once everything that another replica's client could know of is in the store, or after `replicas.redis.timeout`. For the
    /// moment before something is called unknown: another replica may just have made it.
    pub async fn caught_up(&self) {
        let Some(bus) = &self.0 else { return };
        if !bus.receiving.load(Ordering::Relaxed) {
            return;
        }
        let catching = async {
            let newest: Result<Entries, _> = bus.ask(&bus.ask_newest()).await;
            let newest: Option<Position> = newest.ok().and_then(|newest| newest.first()?.0.parse().ok());
            if let Some(newest) = newest {
                _ = bus.position.subscribe().wait_for(|position| *position >= newest).await;
            }
        };
        _ = timeout(bus.link.timeout(), catching).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_stream_are_in_their_order() {
        let place = |text: &str| text.parse::<Position>().unwrap();
        assert!(place("9-10") > place("9-9") && place("10-0") > place("9-10"));
        assert_eq!(place("1795532400123-7").to_string(), "1795532400123-7");
        assert!("7".parse::<Position>().is_err() && "a-b".parse::<Position>().is_err());
    }
}
