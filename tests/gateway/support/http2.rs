//! A lakeFS behind TLS that agrees on HTTP/2: served by hyper, or frame by frame.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lakegate::config::{UpstreamConfig, UpstreamTls};
use lakegate::exchange::body::Read;
use lakegate::exchange::{Body, BodyError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::plane::upstream_at;
use super::raw::soon;
use super::tls::Authority;

/// A listener that the test serves by hand.
pub(crate) struct TlsLakefs {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: Authority,
}

impl TlsLakefs {
    /// Listens on a free port, and offers these protocols.
    pub(crate) async fn listen(alpn: &[&str]) -> Self {
        let authority = Authority::new();
        let identity = authority.sign(&["lakefs.test"]);
        Self {
            listener: TcpListener::bind(("127.0.0.1", 0)).await.expect("a port"),
            acceptor: authority.server(&identity, alpn),
            authority,
        }
    }

    /// A gateway's configuration for it, with HTTP/2 on offer.
    pub(crate) fn upstream(&self) -> UpstreamConfig {
        let address = self.listener.local_addr().expect("an address");
        UpstreamConfig {
            url: format!("https://{address}").parse().expect("an address"),
            tls: UpstreamTls {
                ca: Some(self.authority.path()),
                server_name: Some("lakefs.test".to_owned()),
                http2: true,
                ..UpstreamTls::default()
            },
            ..upstream_at(address)
        }
    }

    /// The gateway's next connection.
    pub(crate) async fn accept(&self) -> TlsStream<TcpStream> {
        soon("a connection of the gateway", self.accept_whenever()).await
    }

    async fn accept_whenever(&self) -> TlsStream<TcpStream> {
        let (stream, _) = self.listener.accept().await.expect("accepts");
        stream.set_nodelay(true).expect("nodelay");
        self.acceptor.accept(stream).await.expect("a handshake")
    }

    /// The gateway's next connection, frame by frame, with so many streams at a time.
    pub(crate) async fn frames(&self, streams: u32) -> Frames {
        let mut frames = Frames(self.accept().await);
        frames.greet(streams).await;
        frames
    }

    /// Serves all connections with `answer`, so many requests at a time on each, until the test ends.
    pub(crate) fn serve<F, A>(self, streams: u32, answer: F) -> Served
    where
        F: Fn(Seen) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let served = Served::default();
        let log = Arc::clone(&served.0);
        tokio::spawn(async move {
            loop {
                let stream = self.accept_whenever().await;
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                log.lock().expect("a lock").connections += 1;
                let (log, answer) = (Arc::clone(&log), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (log, answer) = (Arc::clone(&log), answer.clone());
                    async move {
                        let seen = Seen::read(request).await?;
                        log.lock().expect("a lock").requests.push(seen.clone());
                        Ok::<_, BodyError>(answer(seen).await)
                    }
                });
                let served = http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(streams)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(served);
            }
        });
        served
    }
}

/// A request as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: request::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Seen {
    async fn read(request: Request<Incoming>) -> Result<Self, BodyError> {
        let (head, body) = request.into_parts();
        let Read::Whole(body, trailers) = Body::from(body).read_capped(1 << 30).await? else {
            panic!("a body that no test sends");
        };
        Ok(Self { head, body, trailers })
    }

    /// Its header lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        self.head.headers.iter().map(line).collect()
    }
}

/// What came to a lakeFS that serves by itself.
#[derive(Default)]
pub(crate) struct Served(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Seen>,
}

impl Served {
    /// How often it was connected to.
    pub(crate) fn connections(&self) -> usize {
        self.0.lock().expect("a lock").connections
    }

    /// What it was asked, as far as requests came whole.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.0.lock().expect("a lock").requests.clone()
    }

    /// The last of them.
    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request")
    }
}

/// One frame (RFC 9113 section 4.1).
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

/// A connection served frame by frame.
pub(crate) struct Frames(TlsStream<TcpStream>);

impl Frames {
    async fn greet(&mut self, streams: u32) {
        let mut preface = [0; 24];
        self.0.read_exact(&mut preface).await.expect("a preface");
        let most = [&[0, 3][..], &streams.to_be_bytes()].concat();
        self.send(SETTINGS, 0, 0, &most).await;
    }

    /// Writes a frame.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).await.expect("writes");
        self.0.flush().await.expect("flushes");
    }

    /// Reads a frame of this kind; settings and pings are answered, all others passed over. Nothing if the connection ends.
    pub(crate) async fn next(&mut self, kind: u8) -> Option<Frame> {
        soon("a frame", self.next_whenever(kind)).await
    }

    async fn next_whenever(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.read().await?;
            match (frame.kind, frame.flags) {
                (SETTINGS, 0) => self.send(SETTINGS, 1, 0, &[]).await,
                (PING, 0) => self.send(PING, 1, 0, &frame.payload).await,
                _ => {}
            }
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// Says goodbye: nothing above `last` was or will be looked at.
    pub(crate) async fn goodbye(&mut self, last: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat()).await;
    }

    /// Ends a stream with an error code.
    pub(crate) async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Answers a stream with 200 and this body: `:status: 200` is entry 8 of HPACK's static table.
    pub(crate) async fn answer(&mut self, stream: u32, body: &str) {
        self.send(HEADERS, 4, stream, &[0x88]).await;
        self.send(DATA, 1, stream, body.as_bytes()).await;
    }
}
