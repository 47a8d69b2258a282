//! Shares, turns and slots under load, on a paused clock: order, bounds, and that nothing leaks whoever leaves or fails.

mod door;
mod line;
mod shares;
mod slots;
mod tails;
mod turns;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::config::types::Period;
use crate::exchange::step::StepLayer;
use crate::exchange::{Body, BodyError, Client, Principal, Proof, step};
use crate::lakefs::{self, Operation, Role, Target};

/// How long the lakeFS of these tests works on a request.
const WORK: Duration = Duration::from_secs(1);

/// A lakeFS that works for [`WORK`] on whatever it gets, and notes how much it has to do at a time.
#[derive(Debug, Default)]
struct Lakefs {
    running: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
    /// The names in the order in which they came.
    came: Mutex<Vec<String>>,
}

struct Running<'a>(&'a Lakefs);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lakefs {
    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let name = request
            .headers()
            .get("name")
            .map(|name| name.to_str().unwrap().to_owned());
        self.came.lock().unwrap().extend(name.clone());
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _running = Running(&self);
        sleep(WORK).await;
        assert_ne!(name.as_deref(), Some("faulty"), "a fault of the upstream's");
        self.done.fetch_add(1, Ordering::SeqCst);
        Response::new(Body::empty())
    }

    fn came(&self) -> Vec<String> {
        self.came.lock().unwrap().clone()
    }
}

struct World {
    lakefs: Arc<Lakefs>,
    state: Arc<State>,
    layer: StepLayer<Limit>,
}

impl World {
    fn new(configure: impl FnOnce(&mut LimitConfig)) -> Self {
        let state = Arc::new(State::new(Arc::new(Metrics::new())));
        let layer = Self::layer(configure, &state);
        let lakefs = Arc::default();
        Self { lakefs, state, layer }
    }

    fn layer(configure: impl FnOnce(&mut LimitConfig), state: &Arc<State>) -> StepLayer<Limit> {
        let mut config = LimitConfig::default();
        configure(&mut config);
        step(Limit::new(&config, Mode::Enforce, Arc::clone(state)))
    }

    fn reload(&mut self, configure: impl FnOnce(&mut LimitConfig)) {
        self.layer = Self::layer(configure, &self.state);
    }

    /// Sends a request to the lakeFS that works.
    fn send(&self, request: Request) -> JoinHandle<Answered> {
        let lakefs = Arc::clone(&self.lakefs);
        self.send_to(
            request,
            service_fn(move |request| {
                let answer = Arc::clone(&lakefs).answer(request);
                async { Ok(answer.await) }
            }),
        )
    }

    fn send_to<S: Inner>(&self, request: Request, lakefs: S) -> JoinHandle<Answered>
    where
        S::Future: Send,
    {
        let (service, context) = (self.layer.layer(lakefs), Context::of(&request));
        tokio::spawn(async move {
            let sent = Instant::now();
            let response = service.oneshot(request).await.unwrap();
            let took = sent.elapsed();
            Answered {
                response,
                context,
                took,
            }
        })
    }

    /// How often a turn was not waited for to its end.
    fn missed(&self, reason: &'static str) -> u64 {
        let labels = crate::observe::metrics::ReasonLabels { reason };
        self.state.metrics.turns_missed.get_or_create(&labels).get()
    }

    /// That nobody holds or waits for anything any more.
    fn assert_idle(&self) {
        assert_eq!((self.state.waiting(), self.state.branches()), (0, 0));
        for slot in [Slot::Request, Slot::Stream] {
            assert!(self.state.slots.door(slot).unwrap().is_idle(), "{slot:?}");
        }
        let key = "alice".into();
        let rate = Rate::of(&LimitConfig::default().principal);
        assert!(self.state.shares.of(&key, rate, 256).in_flight.is_idle());
        assert_eq!(self.state.metrics.waiting.get(), 0);
    }
}

#[derive(Debug)]
struct Answered {
    response: Response,
    context: Context,
    took: Duration,
}

impl Answered {
    fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    fn reason(&self) -> &str {
        self.response
            .headers()
            .get("x-lakegate-reason")
            .map_or("", |reason| reason.to_str().unwrap())
    }

    fn retry_after(&self) -> u64 {
        self.response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }
}

fn request(operation: Operation, branch: &str, user: &str, protocol: Protocol) -> Request {
    let peer = ([127, 0, 0, 1], 9).into();
    let context = Context::new(Client {
        address: [127, 0, 0, 1].into(),
        peer,
        secure: false,
    });
    let target = Target {
        role: Role::Subject,
        repository: "lake".to_owned(),
        reference: Some(branch.to_owned()),
        path: None,
    };
    let (head, ()) = http::Request::new(()).into_parts();
    let mut classified = lakefs::classify(&head, &[]).unwrap();
    (classified.protocol, classified.operation, classified.targets) = (protocol, operation, vec![target]);
    context.set_classified(classified);
    context.set_principal(Principal {
        name: user.into(),
        groups: Arc::new([]),
        method: "basic",
        proof: Proof::Proved,
        key: None,
        limit_key: user.into(),
    });
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(context);
    request
}

fn commit(branch: &str) -> Request {
    request(Operation::Commit, branch, "alice", Protocol::Rest)
}

fn read() -> Request {
    request(Operation::GetBranch, "main", "alice", Protocol::Rest)
}

fn named(mut request: Request, name: impl std::fmt::Display) -> Request {
    request.headers_mut().insert("name", name.to_string().parse().unwrap());
    request
}

fn one_a_second(config: &mut LimitConfig) {
    config.principal.requests_per_second = 1;
    config.principal.burst = 1;
}

/// Lets every task run until it waits for time or for another.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// A body that never ends.
fn endless() -> Body {
    struct Endless;
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
            std::task::Poll::Pending
        }
    }
    Body::new(Endless)
}

fn answering(make: fn() -> Response) -> impl Inner {
    service_fn(move |_: Request| async move { Ok::<_, Infallible>(make()) })
}
