//! A lakeFS that speaks bytes: each test says what it answers, strictly read requests are kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use super::raw::{Message, Wire, soon};

/// A listener that the test serves by hand.
#[derive(Debug)]
pub(crate) struct RawLakefs {
    listener: TcpListener,
}

impl RawLakefs {
    /// Listens on a free port.
    pub(crate) async fn listen() -> Self {
        Self::listen_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Listens where another has listened before.
    pub(crate) async fn listen_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        Self { listener }
    }

    /// Where.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The gateway's next connection.
    pub(crate) async fn accept(&self) -> Wire {
        let (stream, _) = soon("a connection of the gateway", self.listener.accept())
            .await
            .expect("accepts");
        Wire::new(stream)
    }

    /// The same, whenever it comes.
    pub(crate) async fn accept_whenever(&self) -> Wire {
        Wire::new(self.listener.accept().await.expect("accepts").0)
    }

    /// Serves everything with `answer`, until the test ends.
    pub(crate) fn serve(self, answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> ServedLakefs {
        let served = ServedLakefs {
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (requests, connections) = (Arc::clone(&served.requests), Arc::clone(&served.connections));
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                *connections.lock().expect("a lock") += 1;
                let (mut wire, requests, answer) = (Wire::new(stream), Arc::clone(&requests), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(head) = wire.head_whenever().await {
                        // Go's server says it as soon as somebody reads the body.
                        if head.header("expect").is_some() && !wire.try_send("HTTP/1.1 100 Continue\r\n\r\n").await {
                            return;
                        }
                        let request = wire.body(head, false).await;
                        let answered = request.as_ref().ok().map(&*answer);
                        requests.lock().expect("a lock").push(request);
                        let Some(bytes) = answered else { return };
                        if !wire.try_send(bytes).await {
                            return;
                        }
                    }
                });
            }
        });
        served
    }
}

/// A lakeFS that serves by itself.
#[derive(Debug)]
pub(crate) struct ServedLakefs {
    requests: Arc<Mutex<Vec<Result<Message, &'static str>>>>,
    connections: Arc<Mutex<usize>>,
}

impl ServedLakefs {
    /// What it was asked, cut requests as errors.
    pub(crate) fn requests(&self) -> Vec<Result<Message, &'static str>> {
        self.requests.lock().expect("a lock").clone()
    }

    /// The last request of a client, which is whole; what the gateway asks by itself aside.
    pub(crate) fn last(&self) -> Message {
        let own = |message: &Message| {
            let agents = message.all("user-agent");
            agents.iter().any(|agent| agent.starts_with("lakegate/"))
        };
        let requests = self.requests();
        let last = requests.iter().rfind(|request| !request.as_ref().is_ok_and(own));
        last.cloned().expect("a request").expect("a whole one")
    }

    /// How often it was connected to.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().expect("a lock")
    }
}

/// An answer as lakeFS would write it.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: up-1\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
