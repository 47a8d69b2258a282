//! TLS to lakeFS: a private authority, the name in its certificate, the gateway's own certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lakegate::config::types::{Period, Secret};
use lakegate::config::{UpstreamConfig, UpstreamTls};
use lakegate::lakefs_client::{DialError, Dialer, TlsError};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::support::plane::{TestPlane, quick, upstream_at};
use super::support::raw::soon;

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tls", name].iter().collect()
}

fn pem(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(data(name))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// A lakeFS behind TLS that wants to see the gateway's certificate; answers each connection's first request.
async fn lakefs() -> (UpstreamConfig, tokio::task::JoinHandle<()>) {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem("ca.pem"));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            pem("server.pem"),
            PrivateKeyDer::from_pem_file(data("server.key")).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (acceptor, listener) = (
        TlsAcceptor::from(Arc::new(config)),
        TcpListener::bind(("127.0.0.1", 0)).await.unwrap(),
    );
    let mut upstream = upstream_at(listener.local_addr().unwrap());
    upstream.url.secure = true;
    upstream.response_timeout = Period(Duration::from_secs(10));
    upstream.tls = UpstreamTls {
        ca: Some(data("ca.pem")),
        certificate: Some(data("client.pem")),
        key: Some(Secret::new(std::fs::read_to_string(data("client.key")).unwrap())),
        server_name: Some("lakefs.test".into()),
        http2: false,
    };
    let serving = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    (upstream, serving)
}

#[tokio::test]
async fn a_request_goes_over_tls_with_the_gateways_certificate() {
    let (upstream, _serving) = lakefs().await;
    let plane = TestPlane::forwarding(&quick(), &upstream, Duration::ZERO);
    let mut wire = plane.connect().await;
    assert_eq!(
        wire.ask("GET /api/v1/repositories HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .text(),
        "secret"
    );
    drop(wire);
    plane.rests().await;
}

#[tokio::test]
async fn a_certificate_of_another_name_or_authority_is_refused_and_not_waited_for() {
    let (mut upstream, _serving) = lakefs().await;
    upstream.tls.server_name = Some("other.test".into());
    let patience = Duration::from_secs(600);
    let plane = TestPlane::forwarding(&quick(), &upstream, patience);
    let answer = plane
        .connect()
        .await
        .ask("GET /api/v1/repositories HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status(), answer.header("x-lakegate-reason")),
        (502, Some("upstream-down"))
    );

    upstream.tls.server_name = Some("lakefs.test".into());
    upstream.tls.ca = Some(data("client.pem"));
    let refused = soon("the refusal", Dialer::new(&upstream).unwrap().connect()).await;
    assert!(matches!(refused, Err(DialError::Tls { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_configuration_is_told_at_the_start() {
    let (upstream, _serving) = lakefs().await;
    let with = |change: fn(&mut UpstreamTls)| {
        let mut changed = upstream.clone();
        change(&mut changed.tls);
        Dialer::new(&changed).err()
    };
    assert!(with(|_| {}).is_none());
    assert!(matches!(with(|tls| tls.key = None), Some(TlsError::Half)));
    assert!(matches!(
        with(|tls| tls.key = Some(Secret::new("no key"))),
        Some(TlsError::Key(_))
    ));
    assert!(matches!(
        with(|tls| tls.ca = Some(data("none.pem"))),
        Some(TlsError::File { .. })
    ));
    assert!(matches!(
        with(|tls| tls.ca = Some(data("server.key"))),
        Some(TlsError::File { .. })
    ));
    assert!(matches!(
        with(|tls| tls.server_name = Some("a b".into())),
        Some(TlsError::Name(_))
    ));
}
