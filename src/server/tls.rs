//! TLS with clients: which certificate a name gets, whose client certificates pass, and the handshake with its deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::tls::{CertificateError, ClientCertificates, ListenTls};

/// How ALPN calls HTTP/2.
pub(super) const H2: &[u8] = b"h2";
/// The first byte of a handshake (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;
/// How long a connection that was turned away is still read from: a reset would destroy what it was told.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// Why a listener's TLS cannot be set up; `lakegate check` would have said so.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// There is nothing to show to clients.
    #[error("`tls` names no certificate")]
    NoCertificate,
    /// A certificate or its key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The authorities of clients.
    #[error("`client_ca` {0}")]
    Authorities(String),
    /// Client certificates are asked for, and nobody's are good.
    #[error("`client_certificates` has no `client_ca` beside it")]
    NoAuthorities,
    /// rustls refuses the rest.
    #[error("TLS cannot be set up")]
    Rustls(#[from] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("`client_ca` cannot be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// What new connections of a listener meet.
pub(super) fn server_config(tls: &ListenTls) -> Result<ServerConfig, TlsError> {
    let certificates: Vec<_> = tls
        .certificates
        .iter()
        .map(|certificate| certificate.certified().map(Arc::new))
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let authorities = tls.authorities().map_err(TlsError::Authorities)?;
    let builder = match (tls.client_certificates, authorities) {
        (ClientCertificates::Off, _) => builder.with_no_client_auth(),
        (_, None) => return Err(TlsError::NoAuthorities),
        (wanted, Some(authorities)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
            let verifier = match wanted {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(certificates)));
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

/// Certificates by the names in them, as a client would judge; who asks for no name, or for one that none has, gets the first.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|certified| is_for(certified, &name)));
        named.or(self.0.first()).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certified.cert.first().map(ParsedCertificate::try_from);
    parsed.is_some_and(|parsed| parsed.is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, name).is_ok()))
}

/// Why there is no TLS on a connection.
#[derive(Debug)]
pub(super) enum NoTls {
    /// The client left before its first byte.
    Left,
    /// It speaks plain HTTP: it is to be told so.
    Plain(TcpStream),
    /// It speaks TLS, and there was no agreement.
    Failed {
        /// What one of the two found wrong.
        error: io::Error,
        /// Which server the client asked for, if it said so.
        name: Option<String>,
    },
    /// It took too long.
    Late,
}

/// Makes TLS of a new connection, within a time.
pub(super) async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    within: Duration,
) -> Result<TlsStream<TcpStream>, NoTls> {
    let shaking = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first == [HANDSHAKE] => {}
            Ok(1..) => return Err(NoTls::Plain(stream)),
            _ => return Err(NoTls::Left),
        }
        let mut accepting = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = match (&mut accepting).await {
            Ok(begun) => begun,
            Err(error) => {
                if let Some(stream) = accepting.take_io() {
                    linger(stream).await;
                }
                return Err(NoTls::Failed { error, name: None });
            }
        };
        let name = begun.client_hello().server_name().map(str::to_owned);
        match begun.into_stream(config).into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                linger(stream).await;
                Err(NoTls::Failed { error, name })
            }
        }
    };
    timeout(within, shaking).await.unwrap_or(Err(NoTls::Late))
}

/// Tells a client something, in bytes, and closes.
pub(super) async fn tell(mut stream: TcpStream, bytes: &Bytes, within: Duration) {
    if let Ok(Ok(())) = timeout(within, stream.write_all(bytes)).await {
        linger(stream).await;
    }
}

/// Sends no more, and reads on until the client has noticed.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let reading = async {
        let mut unread = [0; 1024];
        let _ = stream.shutdown().await;
        while stream.read(&mut unread).await.is_ok_and(|length| length > 0) {}
    };
    let _ = timeout(LINGER_MAX, reading).await;
}
