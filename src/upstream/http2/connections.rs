//! The HTTP/2 connections of one data thread: each carries as many requests as lakeFS allows; when they are full there is another.
//!
//! Live state, as the pool it stands in. A connection ends when it has been unused for long, when lakeFS says goodbye (what is under way
//! goes on), or when lakeFS is silent for too long.

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use crate::lakefs_client::Dialer;

/// Requests at a time on a connection, if lakeFS allows as many (Go's server: 250). Few, as the requests of one share its fate.
const STREAMS_MAX: usize = 32;
/// Connections of a data thread.
const CONNECTIONS_MAX: usize = 32;
/// What lakeFS may send of an answer whose client does not read, and with that what one holds in memory.
const STREAM_WINDOW: u32 = 1 << 20;
/// As much as all streams together: who does not read holds up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What is kept of a body that lakeFS has room for and the network has not.
const SEND_BUFFER: usize = 256 << 10;
/// The longest frame: as hyper reads from clients.
const FRAME_MAX: u32 = 64 << 10;
/// The longest head of an answer: as hyper takes by HTTP/1.1.
const HEAD_MAX: u32 = 400 << 10;
/// How often lakeFS is asked whether it is there, and how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The connections.
#[derive(Debug)]
pub(in crate::upstream) struct Connections {
    all: Mutex<Vec<Arc<Shared>>>,
    /// Told when there may be room again.
    freed: Arc<Notify>,
    /// The turn to open a connection: the others wait whether it has room for them too.
    turn: Semaphore,
    /// Whether lakeFS chose HTTP/1.1 when it was asked last.
    pub(in crate::upstream) declined: AtomicBool,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            freed: Arc::default(),
            turn: Semaphore::new(1),
            declined: AtomicBool::new(false),
        }
    }
}

/// A connection, as its requests share it.
#[derive(Debug)]
struct Shared {
    sender: SendRequest<Bytes>,
    dialer: Arc<Dialer>,
    use_: Mutex<Use>,
}

#[derive(Debug)]
struct Use {
    streams: usize,
    /// Since when there have been none.
    unused_since: Instant,
    /// It takes no more.
    gone: bool,
}

impl Shared {
    fn usage(&self) -> MutexGuard<'_, Use> {
        self.use_.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests are on it, if it takes another.
    fn room(&self) -> Option<usize> {
        let most = self.sender.current_max_send_streams().min(STREAMS_MAX);
        let usage = self.usage();
        (!usage.gone && usage.streams < most).then_some(usage.streams)
    }

    /// Ends it if it has been unused for so long.
    fn expire(&self, after: Duration) -> bool {
        let mut usage = self.usage();
        usage.gone |= usage.streams == 0 && usage.unused_since.elapsed() >= after;
        usage.gone && usage.streams == 0
    }
}

/// A request's place on a connection; the place is free again when it is dropped.
#[derive(Debug)]
pub(in crate::upstream) struct Slot {
    connection: Arc<Shared>,
    freed: Arc<Notify>,
}

impl Slot {
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.connection.sender.clone()
    }

    /// The connection takes no more requests.
    pub(super) fn leave(&self) {
        self.connection.usage().gone = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut usage = self.connection.usage();
            usage.streams -= 1;
            usage.unused_since = Instant::now();
        }
        self.freed.notify_one();
    }
}

impl Connections {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Shared>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on the connection that has the fewest requests, of those that `dialer` opened.
    pub(in crate::upstream) fn slot(&self, dialer: &Arc<Dialer>) -> Option<Slot> {
        let mut all = self.all();
        all.retain(|connection| !connection.usage().gone && Arc::ptr_eq(&connection.dialer, dialer));
        let with_room = all
            .iter()
            .filter_map(|connection| Some((connection.room()?, connection)));
        let (_, connection) = with_room.min_by_key(|(streams, _)| *streams)?;
        Some(self.occupy(connection))
    }

    fn occupy(&self, connection: &Arc<Shared>) -> Slot {
        connection.usage().streams += 1;
        Slot {
            connection: Arc::clone(connection),
            freed: Arc::clone(&self.freed),
        }
    }

    /// The turn to open a connection, once there may be room on one, or for one more. Nothing if it is not needed any more.
    pub(in crate::upstream) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.turn.acquire().await.ok();
        while self.is_full() {
            self.freed().await;
        }
        turn
    }

    /// Returns when a place may have become free.
    pub(in crate::upstream) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn is_full(&self) -> bool {
        let mut all = self.all();
        all.retain(|connection| !connection.usage().gone);
        all.len() >= CONNECTIONS_MAX && all.iter().all(|connection| connection.room().is_none())
    }

    /// Begins HTTP/2 on a new connection, and takes a place on it. An unused one is kept for `keep_alive`.
    pub(in crate::upstream) async fn open<S: Io>(
        &self,
        stream: S,
        dialer: &Arc<Dialer>,
        keep_alive: Duration,
    ) -> io::Result<Slot> {
        let begun = timeout(dialer.connect_timeout(), begin(stream)).await;
        let (sender, ping, driver) = begun.map_err(io::Error::from)?.map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            sender,
            dialer: Arc::clone(dialer),
            use_: Mutex::new(Use {
                streams: 0,
                unused_since: Instant::now(),
                gone: false,
            }),
        });
        let slot = self.occupy(&shared);
        self.all().push(Arc::clone(&shared));
        tokio::spawn(keep(driver, ping, shared, keep_alive, Arc::clone(&self.freed)));
        Ok(slot)
    }
}

/// What a connection is made of.
pub(in crate::upstream) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for S {}

type Driver<S> = Pin<Box<Connection<S, Bytes>>>;

/// Both sides' first frames. lakeFS's settings come before its answer to a ping: by then it is known how many requests it takes.
async fn begin<S: Io>(stream: S) -> Result<(SendRequest<Bytes>, PingPong, Driver<S>), h2::Error> {
    let (sender, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEAD_MAX)
        .handshake::<_, Bytes>(stream)
        .await?;
    let mut driver = Box::pin(connection);
    // There is one, and it was not taken before.
    let mut ping = driver.ping_pong().ok_or(h2::Reason::INTERNAL_ERROR)?;
    tokio::select! {
        biased;
        answered = ping.ping(Ping::opaque()) => answered.map(drop)?,
        ended = driver.as_mut() => {
            ended?;
            return Err(h2::Reason::CONNECT_ERROR.into());
        }
    }
    Ok((sender, ping, driver))
}

/// Moves a connection's bytes, to its end.
async fn keep<S: Io>(driver: Driver<S>, ping: PingPong, shared: Arc<Shared>, keep_alive: Duration, freed: Arc<Notify>) {
    tokio::select! {
        ended = driver => if let Err(error) = ended {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection to lakeFS ended badly");
        },
        why = watch(ping, &shared, keep_alive) => tracing::debug!(why, "a connection to lakeFS was closed"),
    }
    shared.usage().gone = true;
    freed.notify_one();
}

/// Returns when the connection has been unused for long, or does not answer.
async fn watch(mut ping: PingPong, shared: &Shared, keep_alive: Duration) -> &'static str {
    let mut asked = Instant::now();
    loop {
        sleep(PING_EVERY.min(keep_alive)).await;
        if shared.expire(keep_alive) {
            return "unused";
        }
        if asked.elapsed() >= PING_EVERY {
            match timeout(PING_TIMEOUT, ping.ping(Ping::opaque())).await {
                Ok(Ok(_)) => asked = Instant::now(),
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return "lakeFS is silent",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn dialer() -> Arc<Dialer> {
        Arc::new(Dialer::new(&crate::config::UpstreamConfig::default()).unwrap())
    }

    /// A connection, and the other end of it.
    async fn open(connections: &Connections, dialer: &Arc<Dialer>, answers: bool) -> Slot {
        let (near, far) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(far).await.unwrap();
            if answers {
                while server.accept().await.is_some() {}
                return;
            }
            // The first ping is answered, then nothing ever is.
            let _ = timeout(Duration::from_secs(1), server.accept()).await;
            std::future::pending::<()>().await;
        });
        connections.open(near, dialer, Duration::from_secs(55)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_lakefs_loses_the_connection_and_another_is_asked_for() {
        let (connections, dialer) = (Connections::default(), dialer());
        let slot = open(&connections, &dialer, false).await;
        assert!(connections.slot(&dialer).is_some());
        let begin = Instant::now();
        let error = slot
            .sender()
            .ready()
            .await
            .unwrap()
            .send_request(http::Request::new(()), true);
        let error = error.unwrap().0.await.unwrap_err();
        assert!(
            error.is_io() && !error.is_go_away(),
            "{error:?}: what was sent may have been looked at"
        );
        assert_eq!(begin.elapsed(), PING_EVERY + PING_TIMEOUT);
        assert!(connections.slot(&dialer).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_answers_stays_as_long_as_it_is_used_and_no_longer() {
        let (connections, dialer) = (Connections::default(), dialer());
        let slot = open(&connections, &dialer, true).await;
        sleep(Duration::from_secs(600)).await;
        assert!(connections.slot(&dialer).is_some());
        drop(slot);
        sleep(Duration::from_secs(54)).await;
        assert!(connections.slot(&dialer).is_some(), "and it is used again");
        sleep(Duration::from_secs(100)).await;
        assert!(connections.slot(&dialer).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_come_back() {
        let (connections, dialer) = (Connections::default(), dialer());
        let mut slots = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            slots.push(open(&connections, &dialer, true).await);
            slots.extend(std::iter::from_fn(|| connections.slot(&dialer)));
        }
        assert_eq!(slots.len(), CONNECTIONS_MAX * STREAMS_MAX);
        let second = Duration::from_secs(1);
        assert!(timeout(second, connections.turn()).await.is_err());
        slots.pop();
        assert!(timeout(second, connections.turn()).await.is_ok());
        assert!(connections.slot(&dialer).is_some());
        // Those of another dialer are never used again.
        assert!(connections.slot(&super::tests::dialer()).is_none());
    }

    #[tokio::test]
    async fn who_agrees_on_http2_and_speaks_something_else_is_found_out_at_once() {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let opened = Connections::default()
            .open(near, &dialer(), Duration::from_secs(55))
            .await;
        assert!(opened.is_err());
        let mut preface = [0; 3];
        far.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI");
    }
}
