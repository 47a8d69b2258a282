//! TLS to lakeFS: which authorities are trusted, which name is expected, which certificate the gateway shows. Read once, at start or reload.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::config::UpstreamConfig;

/// How ALPN calls HTTP/2 over TLS (RFC 9113 section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// What is wrong with `upstream.tls`.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("upstream.tls: cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key is not a PEM private key.
    #[error("upstream.tls.key is not a private key in PEM form")]
    Key(#[source] pem::Error),
    /// There is a key without a certificate, or the other way round.
    #[error("upstream.tls: certificate and key belong together, but only one is set")]
    Half,
    /// Nothing is trusted: the machine has no roots, and `upstream.tls.ca` is not set.
    #[error("upstream.tls: the machine trusts no certificate authority; name one in upstream.tls.ca")]
    NoRoots,
    /// The name is no host name.
    #[error("upstream.tls: `{0}` is not a name that a certificate can have")]
    Name(String),
    /// Key, certificate or authority are refused.
    #[error("upstream.tls: the certificates cannot be used")]
    Rustls(#[from] rustls::Error),
}

/// TLS handshakes to lakeFS, ready to go.
#[derive(Clone)]
pub(super) struct Tls {
    /// Offers HTTP/1.1 alone.
    pub(super) connector: TlsConnector,
    /// Offers HTTP/2 and HTTP/1.1, if the configuration allows it.
    pub(super) with_http2: Option<TlsConnector>,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// Reads what `upstream.tls` names; the machine's own roots are trusted too.
    pub(super) fn new(config: &UpstreamConfig) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &config.tls.ca {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut client = match (&config.tls.certificate, &config.tls.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(path), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(TlsError::Key)?;
                builder.with_client_auth_cert(certificates(path)?, key)?
            }
            _ => return Err(TlsError::Half),
        };
        let mut offering = |protocols: &[&[u8]]| {
            client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(client.clone()))
        };
        let connector = offering(&[b"http/1.1"]);
        let with_http2 = config.tls.http2.then(|| offering(&[HTTP2, b"http/1.1"]));
        let name = config.tls.server_name.as_deref().unwrap_or(&config.url.host);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())
            .map_err(|_| TlsError::Name(name.to_owned()))?;
        Ok(Self {
            connector,
            with_http2,
            name,
        })
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File {
        path: path.clone(),
        source,
    };
    let all: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(file)?
        .collect::<Result<_, _>>()
        .map_err(file)?;
    match all.is_empty() {
        true => Err(file(pem::Error::NoItemsFound)),
        false => Ok(all),
    }
}
