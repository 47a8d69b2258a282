//! The data plane: connections, threads, limits, drain.

use lakegate::config::ServerConfig;
use lakegate::config::types::Period;
use lakegate::exchange::{Body, Connection, Request, Response};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

use super::support::plane::{TestPlane, quick};
use super::support::raw::{Wire, soon, until};

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

async fn hello(_: Request) -> Response {
    Response::new(Body::from("hello".to_owned()))
}

#[tokio::test]
async fn a_connection_stays_on_its_thread_and_new_ones_go_where_there_are_fewest() {
    let cores = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&cores);
    let plane = TestPlane::answering(&quick(), move |request| {
        let connection = request.extensions().get::<Connection>().copied().expect("a connection");
        seen.lock().unwrap().push((connection.peer, connection.core));
        hello(request)
    });
    let mut wires = Vec::new();
    for _ in 0..4 {
        let mut wire = plane.connect().await;
        assert_eq!(wire.ask(GET).await.text(), "hello");
        assert_eq!(wire.ask(GET).await.text(), "hello");
        wires.push(wire);
    }
    let distinct: HashSet<_> = cores.lock().unwrap().iter().copied().collect();
    assert_eq!(distinct.len(), 4, "each connection has one core: {distinct:?}");
    assert_eq!(
        distinct.iter().filter(|(_, core)| *core == 0).count(),
        2,
        "{distinct:?}"
    );
    drop(wires);
    plane.rests().await;
}

#[tokio::test]
async fn beyond_max_connections_new_ones_wait_for_a_seat() {
    let config = ServerConfig {
        max_connections: 2,
        keep_alive: Period(Duration::from_secs(60)),
        header_timeout: Period(Duration::from_secs(60)),
        ..quick()
    };
    let plane = TestPlane::answering(&config, hello);
    let mut first = plane.connect().await;
    let mut second = plane.connect().await;
    first.ask(GET).await;
    second.ask(GET).await;
    let mut third = plane.connect().await;
    third.send(GET).await;
    assert_eq!(plane.metrics.connections.get(), 2);
    drop(first);
    assert_eq!(third.answer().await.text(), "hello");
    assert_eq!(plane.metrics.connections.get(), 2);
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (held, begins) = (Arc::clone(&gate), Arc::clone(&begun));
    let plane = TestPlane::answering(&quick(), move |request| {
        let held = Arc::clone(&held);
        begins.add_permits(1);
        async move {
            let _permit = held.acquire().await;
            hello(request).await
        }
    });
    let mut busy = plane.connect().await;
    busy.send(GET).await;
    let mut idle = plane.connect().await;
    until("both connections", || plane.metrics.connections.get() == 2).await;
    let _ = soon("the request", begun.acquire()).await;
    let mut watch = plane.plane.watch();
    assert!(!watch.is_draining());
    let address = plane.plane.addresses()[0];
    let draining = async {
        let (first, second) = tokio::join!(plane.plane.drain(), plane.plane.drain());
        assert_eq!((first.cut, second.cut), (0, 0));
    };
    let client = async {
        soon("the drain", watch.begun()).await;
        assert_eq!(idle.rest().await, b"", "an idle connection is closed");
        until("the listener to close", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        gate.add_permits(1);
        let answer = busy.answer().await;
        assert_eq!((answer.text(), answer.header("connection")), ("hello", Some("close")));
        assert_eq!(busy.rest().await, b"");
    };
    tokio::join!(draining, client);
    plane.rests().await;
    soon("the threads to end", plane.plane.stop()).await;
}

#[tokio::test]
async fn a_drain_cuts_what_outlives_it() {
    let plane = TestPlane::answering(&quick(), |_| std::future::pending());
    let mut wire = plane.connect().await;
    wire.send(GET).await;
    until("the connection", || plane.metrics.connections.get() == 1).await;
    assert_eq!(soon("the drain", plane.plane.drain()).await.cut, 1);
    assert_eq!(wire.rest().await, b"");
    plane.rests().await;
}

#[tokio::test]
async fn a_new_pipeline_serves_the_next_request_of_an_old_connection() {
    let plane = TestPlane::answering(&quick(), hello);
    let mut wire = plane.connect().await;
    assert_eq!(wire.ask(GET).await.text(), "hello");
    let other = TestPlane::answering(&quick(), |_| async { Response::new(Body::from("other".to_owned())) });
    plane.pipeline.store(other.pipeline.load_full());
    assert_eq!(wire.ask(GET).await.text(), "other");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let plane = TestPlane::answering(&quick(), |request| async move {
        Response::new(Body::from(request.uri().path().to_owned()))
    });
    let mut wire: Wire = plane.connect().await;
    wire.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(wire.answer().await.text(), path);
    }
}
