//! TLS with clients: names, client certificates, renewal, and who speaks the wrong protocol on a port.

use std::time::Duration;

use lakegate::config::ServerConfig;
use lakegate::config::tls::{ClientCertificates, ListenTls};
use lakegate::config::types::Period;
use lakegate::exchange::{Body, Connection, Request, Response};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::support::log;
use super::support::plane::{TestPlane, quick};
use super::support::raw::{Wire, soon, until};
use super::support::tls::{Authority, behind_tls, connect, listen, patient};

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

async fn secure(request: Request) -> Response {
    let connection = request.extensions().get::<Connection>().copied();
    let is_secure = connection.is_some_and(|connection| connection.secure);
    Response::new(Body::from(is_secure.to_string()))
}

fn plane(config: &ServerConfig, tls: ListenTls) -> TestPlane {
    behind_tls(&TestPlane::answering(config, secure), config, tls)
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_the_name_it_asks_for_or_else_the_first() {
    let authority = Authority::new();
    let (first, second) = (
        authority.sign(&["lakefs.test", "127.0.0.1"]),
        authority.sign(&["*.s3.test", "s3.test"]),
    );
    let plane = plane(&patient(), authority.shows(&[&first, &second], ClientCertificates::Off));
    let client = authority.client(None, &["h2", "http/1.1"]);
    let lakefs = connect(&client, &plane, "lakefs.test").await.unwrap();
    let s3 = connect(&client, &plane, "bucket.s3.test").await.unwrap();
    assert_ne!(shown(&lakefs), shown(&s3));
    assert_eq!(
        shown(&connect(&client, &plane, "127.0.0.1").await.unwrap()),
        shown(&lakefs)
    );
    assert_eq!(shown(&connect(&client, &plane, "s3.test").await.unwrap()), shown(&s3));
    assert_eq!(lakefs.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let wrong = connect(&client, &plane, "other.test").await.unwrap_err();
    assert!(wrong.to_string().contains("not valid for name"), "{wrong}");
    // The client alone can say that it is not whom it asked for.
    let line = log::line(&["a TLS handshake failed", "\"tls.server_name\":\"other.test\""]).await;
    assert!(line.contains("received fatal alert"), "{line}");
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(&authority.client(None, alpn), &plane, "s3.test").await.unwrap();
        let mut wire = Wire::over(stream);
        assert_eq!(wire.ask(GET).await.text(), "true");
        assert_eq!(wire.ask(GET).await.text(), "true");
    }
    drop((lakefs, s3));
    plane.rests().await;
}

#[tokio::test]
async fn client_certificates_pass_by_authority_and_date() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.sign(&["lakefs.test"]);
    let (good, expired, unknown) = (
        authority.sign(&["client"]),
        authority.sign_expired(&["client"]),
        other.sign(&["client"]),
    );
    for (wanted, client, why_not) in [
        (ClientCertificates::Required, Some(&good), None),
        (ClientCertificates::Required, Some(&expired), Some("expired")),
        (
            ClientCertificates::Required,
            Some(&unknown),
            Some("invalid peer certificate: "),
        ),
        (ClientCertificates::Required, None, Some("no certificate")),
        (ClientCertificates::Optional, Some(&good), None),
        (
            ClientCertificates::Optional,
            Some(&unknown),
            Some("invalid peer certificate: "),
        ),
        (ClientCertificates::Optional, None, None),
        (ClientCertificates::Off, Some(&unknown), None),
    ] {
        let plane = plane(&patient(), authority.shows(&[&server], wanted));
        let mut stream = connect(&authority.client(client, &[]), &plane, "lakefs.test")
            .await
            .unwrap();
        let Some(why_not) = why_not else {
            assert_eq!(
                Wire::over(stream).ask(GET).await.text(),
                "true",
                "{wanted:?} {client:?}"
            );
            continue;
        };
        let from = format!("\"{}\"", stream.get_ref().0.local_addr().unwrap());
        // In TLS 1.3 the client is done first, and then reads what the server thinks of it.
        let mut nothing = Vec::new();
        let alert = soon("the alert", stream.read_to_end(&mut nothing)).await.unwrap_err();
        assert!(alert.to_string().contains("alert"), "{wanted:?}: {alert}");
        until("the failure to be counted", || plane.metrics.tls_failures.get() == 1).await;
        let line = log::line(&["a TLS handshake failed", &from]).await;
        let says = line.contains(why_not) && line.contains("\"tls.server_name\":\"lakefs.test\"");
        assert!(says, "{wanted:?}, {why_not}: {line}");
        plane.rests().await;
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let authority = Authority::new();
    let server = authority.sign(&["lakefs.test"]);
    let plane = plane(&patient(), authority.shows(&[&server], ClientCertificates::Off));
    let mut wire = plane.connect().await;
    let answer = wire
        .ask(format!("PUT /a HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(9000)))
        .await;
    assert_eq!((answer.status(), answer.header("connection")), (400, Some("close")));
    assert!(answer.text().contains("this port speaks TLS"), "{answer:?}");
    assert_eq!(wire.rest().await, b"");
    drop(wire);
    plane.rests().await;
    assert_eq!(plane.metrics.tls_failures.get(), 1);
    let line = log::line(&["\"lakegate::access\"", answer.header("x-request-id").unwrap()]).await;
    assert!(
        line.contains("this port speaks TLS") && line.contains("\"status\":400"),
        "{line}"
    );
}

#[tokio::test]
async fn tls_on_a_plain_port_is_told_so_at_once() {
    let plane = TestPlane::answering(&patient(), secure);
    let refused = connect(&Authority::new().client(None, &["h2"]), &plane, "lakefs.test").await;
    assert!(refused.unwrap_err().to_string().contains("corrupt message"));
    plane.rests().await;
}

#[tokio::test]
async fn half_a_handshake_has_a_deadline_and_a_drain_does_not_wait_for_it() {
    let authority = Authority::new();
    let server = authority.sign(&["lakefs.test"]);
    let shows = authority.shows(&[&server], ClientCertificates::Off);
    let plane = plane(&quick(), shows.clone());
    // A record header, and the beginning of what it announces.
    let half = [22, 3, 1, 2, 0, 1, 0];
    let mut wire = plane.connect().await;
    wire.send(half).await;
    assert_eq!(wire.rest().await, b"");
    let mut silent = plane.connect().await;
    assert_eq!(silent.rest().await, b"");
    plane.rests().await;
    assert_eq!(plane.metrics.tls_failures.get(), 2);
    let plane = self::plane(&patient(), shows);
    let mut wire = plane.connect().await;
    wire.send(half).await;
    until("the connection", || plane.metrics.connections.get() == 1).await;
    assert_eq!(soon("the drain", plane.plane.drain()).await.cut, 1);
    assert_eq!(wire.rest().await, b"");
}

#[tokio::test]
async fn renewed_certificates_are_shown_to_new_connections_and_old_ones_stay() {
    let authority = Authority::new();
    let (old, new) = (authority.sign(&["lakefs.test"]), authority.sign(&["lakefs.test"]));
    let plane = plane(&patient(), authority.shows(&[&old], ClientCertificates::Off));
    let client = authority.client(None, &["http/1.1"]);
    let first = connect(&client, &plane, "lakefs.test").await.unwrap();
    let seen = shown(&first);
    let mut first = Wire::over(first);
    plane
        .plane
        .renew(&listen(authority.shows(&[&new], ClientCertificates::Off)));
    let second = connect(&client, &plane, "lakefs.test").await.unwrap();
    assert_ne!(seen, shown(&second));
    assert_eq!(first.ask(GET).await.text(), "true");
    assert_eq!(Wire::over(second).ask(GET).await.text(), "true");
    let nothing = ListenTls {
        certificates: Vec::new(),
        ..authority.shows(&[&old], ClientCertificates::Off)
    };
    plane.plane.renew(&listen(nothing));
    assert_eq!(
        Wire::over(connect(&client, &plane, "lakefs.test").await.unwrap())
            .ask(GET)
            .await
            .text(),
        "true",
        "what cannot be used changes nothing"
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_over_tls_is_given_up() {
    let authority = Authority::new();
    let server = authority.sign(&["lakefs.test"]);
    let config = ServerConfig {
        idle_timeout: Period(Duration::from_millis(400)),
        ..patient()
    };
    let long = TestPlane::answering(&config, |_| async { Response::new(Body::from("x".repeat(16 << 20))) });
    let plane = behind_tls(&long, &config, authority.shows(&[&server], ClientCertificates::Off));
    let stream = connect(&authority.client(None, &[]), &plane, "lakefs.test")
        .await
        .unwrap();
    let mut wire = Wire::over(stream);
    wire.send(GET).await;
    until("the connection", || plane.metrics.connections.get() == 1).await;
    plane.rests().await;
    drop(wire);
}
