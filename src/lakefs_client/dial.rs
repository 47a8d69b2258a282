//! Opens connections to lakeFS: names with several addresses, TCP, TLS. Waiting for a lakeFS that restarts is left to `upstream`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{HTTP2, Tls, TlsError};
use crate::config::UpstreamConfig;

/// The least time that one of several addresses gets.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);
/// When the system begins to ask a silent lakeFS whether it is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name did not resolve, nobody listens, or the network is down.
    #[error("cannot connect to {to}")]
    Connect {
        /// Host and port.
        to: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It took longer than `upstream.connect_timeout`.
    #[error("connecting to {to} took too long")]
    Timeout {
        /// Host and port.
        to: String,
    },
    /// Somebody listens, but TLS with it fails: waiting would not help.
    #[error("no TLS with {to}")]
    Tls {
        /// Host and port.
        to: String,
        /// What rustls says.
        #[source]
        source: io::Error,
    },
}

impl DialError {
    /// Whether it may be another thing in a moment, as when lakeFS restarts.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Tls { .. })
    }
}

/// Opens connections to the configured lakeFS.
pub struct Dialer {
    to: String,
    connect_timeout: Duration,
    tls: Option<Tls>,
}

impl Dialer {
    /// A dialer for the configured server. Reads the files that `upstream.tls` names.
    ///
    /// # Errors
    /// When `upstream.tls` cannot be used.
    pub fn new(config: &UpstreamConfig) -> Result<Self, TlsError> {
        Ok(Self {
            to: config.url.authority(),
            connect_timeout: config.connect_timeout.0,
            tls: config.url.secure.then(|| Tls::new(config)).transpose()?,
        })
    }

    /// Host and port that it dials.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// How long a connection may take until it can be used.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Whether lakeFS may choose HTTP/2: by TLS alone, and if `upstream.tls.http2` allows it.
    pub fn offers_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.with_http2.is_some())
    }

    /// Opens one connection for HTTP/1.1; the whole of it, TLS too, within `upstream.connect_timeout`.
    ///
    /// # Errors
    /// When nobody answers, or too late, or is not who they should be.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        self.open(self.tls.as_ref().map(|tls| &tls.connector)).await
    }

    /// [`Dialer::connect`], but lakeFS may choose HTTP/2 ([`Stream::is_http2`]) if it is offered at all.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_offering_http2(&self) -> Result<Stream, DialError> {
        let connector = |tls: &'_ Tls| tls.with_http2.as_ref().unwrap_or(&tls.connector).clone();
        self.open(self.tls.as_ref().map(connector).as_ref()).await
    }

    async fn open(&self, connector: Option<&TlsConnector>) -> Result<Stream, DialError> {
        let deadline = Instant::now() + self.connect_timeout;
        let connecting = async {
            let tcp = self.tcp(deadline).await.map_err(|source| DialError::Connect {
                to: self.to.clone(),
                source,
            })?;
            let (Some(tls), Some(connector)) = (&self.tls, connector) else {
                return Ok(Stream::Tcp(tcp));
            };
            match connector.connect(tls.name.clone(), tcp).await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                // rustls tells its own verdicts by this kind; a reset is the network's.
                Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(DialError::Tls {
                    to: self.to.clone(),
                    source,
                }),
                Err(source) => Err(DialError::Connect {
                    to: self.to.clone(),
                    source,
                }),
            }
        };
        timeout_at(deadline, connecting)
            .await
            .unwrap_or_else(|_| Err(DialError::Timeout { to: self.to.clone() }))
    }

    /// Tries each address of the name; each but the last gets its part of the time.
    async fn tcp(&self, deadline: Instant) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = lookup_host(&self.to).await?.collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let rest = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match timeout((left / rest).max(ATTEMPT_MIN), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer")),
            }
        }
        Err(last)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("to", &self.to)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Tcp(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether both sides agreed on HTTP/2; else it is HTTP/1.1.
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn to(authority: &str) -> Dialer {
        let config = UpstreamConfig {
            url: format!("http://{authority}").parse().unwrap(),
            ..UpstreamConfig::default()
        };
        Dialer::new(&config).unwrap()
    }

    #[tokio::test]
    async fn each_address_of_a_name_is_tried() {
        // `localhost` may be ::1 first, where nobody listens.
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(matches!(
            to(&format!("localhost:{port}")).connect().await,
            Ok(Stream::Tcp(_))
        ));
    }

    #[tokio::test]
    async fn nobody_there_may_pass() {
        let port = TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let error = to(&format!("127.0.0.1:{port}")).connect().await.unwrap_err();
        assert!(
            matches!(error, DialError::Connect { .. }) && error.may_pass(),
            "{error:?}"
        );
    }
}
