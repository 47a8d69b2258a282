//! Certificates made on the spot, a data plane that shows them, and clients that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakegate::config::tls::{CertificateConfig, ClientCertificates, ListenTls, PemFile};
use lakegate::config::types::{Period, Secret};
use lakegate::config::{ListenConfig, Listener, ServerConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::plane::{TestPlane, quick};
use super::raw::soon;

/// An authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Signs a certificate for these names.
    pub(crate) fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    /// Signs one whose time is over.
    pub(crate) fn sign_expired(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Identity {
            certificate: params.signed_by(&key, &self.issuer).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    fn file(&self, text: &str) -> PemFile {
        let path = self.folder.path().join("file.pem");
        std::fs::write(&path, text).expect("a file");
        PemFile::read(&path)
    }

    /// What a listener shows, and whom it asks.
    pub(crate) fn shows(&self, identities: &[&Identity], clients: ClientCertificates) -> ListenTls {
        let certificate = |identity: &&Identity| CertificateConfig {
            certificate: self.file(&identity.certificate),
            key: Secret::new(identity.key.clone()),
        };
        ListenTls {
            certificates: identities.iter().map(certificate).collect(),
            client_ca: Some(self.file(&self.issuer.pem())),
            client_certificates: clients,
        }
    }

    /// The authority itself, as a file.
    pub(crate) fn path(&self) -> PathBuf {
        let path = self.folder.path().join("ca.pem");
        std::fs::write(&path, self.issuer.pem()).expect("a file");
        path
    }

    /// A server that shows `identity`.
    pub(crate) fn server(&self, identity: &Identity, alpn: &[&str]) -> TlsAcceptor {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key"),
            )
            .expect("an identity");
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts this authority, and shows `identity`.
    pub(crate) fn client(&self, identity: Option<&Identity>, alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")],
                    PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key"),
                )
                .expect("an identity"),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// One listener with TLS on a free port.
pub(crate) fn listen(tls: ListenTls) -> ListenConfig {
    ListenConfig::One(Listener {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: Some(tls),
    })
}

/// Connects, and asks for a name.
pub(crate) async fn connect(
    connector: &TlsConnector,
    plane: &TestPlane,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    connect_to(connector, plane.plane.addresses()[0], name).await
}

/// Connects to an address, and asks for a name.
pub(crate) async fn connect_to(
    connector: &TlsConnector,
    address: SocketAddr,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    soon("a handshake", connector.connect(name, stream)).await
}

/// Connects to an address by HTTP/2.
pub(crate) async fn http2(authority: &Authority, address: SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = connect_to(&authority.client(None, &["h2"]), address, "lakefs.test").await;
    let handshake = h2::client::handshake(stream.expect("TLS"));
    let (sender, connection) = soon("HTTP/2", handshake).await.expect("HTTP/2");
    // It ends with the sender.
    tokio::spawn(connection);
    soon("room for a request", sender.ready()).await.expect("HTTP/2")
}

/// A plane with the stack of `plane`, behind one listener with TLS.
pub(crate) fn behind_tls(plane: &TestPlane, config: &ServerConfig, tls: ListenTls) -> TestPlane {
    let (pipeline, metrics) = (Arc::clone(&plane.pipeline), Arc::clone(&plane.metrics));
    TestPlane::on(&listen(tls), pipeline, config, metrics)
}

/// Two threads, and deadlines that nobody meets who does not mean to.
pub(crate) fn patient() -> ServerConfig {
    let long = Period(Duration::from_secs(20));
    ServerConfig {
        header_timeout: long,
        keep_alive: long,
        idle_timeout: long,
        ..quick()
    }
}
