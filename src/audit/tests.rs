//! Audit through its layers: which requests have a line, what it says, and what a disk that is full does to them.

use std::convert::Infallible;
use std::path::PathBuf;

use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tower::util::BoxCloneService;
use tower::{Layer as _, Service as _, ServiceBuilder, service_fn};

use super::*;
use crate::config::{Mode, RotateConfig};
use crate::exchange::classify::InspectionLimits;
use crate::exchange::step::step;
use crate::exchange::{Body, Classify, Context, Rejection, Request, Response};
use crate::observe::Observe;

/// An audit log in a folder of its own, behind the layers that it needs.
struct World {
    _folder: TempDir,
    file: PathBuf,
    audit: Arc<Audit>,
    metrics: Arc<Metrics>,
    mode: Mode,
}

impl World {
    fn new(adapt: impl FnOnce(&mut AuditConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let mut config = AuditConfig {
            file: Some(file.clone()),
            ..AuditConfig::default()
        };
        adapt(&mut config);
        let metrics = Arc::new(Metrics::new());
        Self {
            audit: Audit::start(&config, Store::memory().unwrap(), Arc::clone(&metrics)).unwrap(),
            file: config.file.unwrap_or(file),
            _folder: folder,
            metrics,
            mode: Mode::Enforce,
        }
    }

    /// The stack, with `lakefs` at its bottom.
    fn stack<F>(&self, lakefs: fn(Request) -> F) -> BoxCloneService<Request, Response, Infallible>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let limits = InspectionLimits {
            body: 4 << 20,
            timeout: Duration::from_secs(10),
        };
        let budget = Arc::new(Semaphore::new(1 << 16));
        let observe = Observe::new(Vec::new(), Arc::clone(&self.metrics)).seen_by(Arc::clone(&self.audit) as _);
        let bottom = service_fn(move |request: Request| {
            Context::of(&request).facts().forwarded = true;
            lakefs(request).map(Ok)
        });
        let stack = ServiceBuilder::new()
            .layer(step(observe))
            .layer(step(Classify::new(Vec::new(), limits, self.mode, budget)))
            .layer(step(Admit::new(Arc::clone(&self.audit), self.mode)));
        BoxCloneService::new(stack.service(bottom))
    }

    /// Sends a request to a lakeFS that answers 201, and reads the answer.
    async fn send(&self, method: &str, target: &str, body: impl Into<Body>) -> StatusCode {
        let mut request = Request::new(body.into());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = target.parse().unwrap();
        let response = self.stack(created).call(request).await.unwrap();
        let status = response.status();
        response.into_body().read_capped(1 << 20).await.unwrap();
        status
    }

    async fn lines(&self) -> Vec<Entry<'static>> {
        self.audit.flush().await;
        let files = files::of_log(&self.file).unwrap();
        let text: String = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn created(request: Request) -> Response {
    let context = Context::of(&request);
    let _ = request.into_body().read_capped(1 << 20).await;
    let mut facts = context.facts();
    (facts.decision, facts.upstream_status) = (Some("forwarded"), Some(201));
    facts.upstream_request_id = Some("up-1".to_owned());
    let mut response = Response::new("done".to_owned().into());
    *response.status_mut() = StatusCode::CREATED;
    response
}

const COMMIT: &str = "/api/v1/repositories/lake/branches/main/commits";

#[tokio::test]
async fn a_change_has_one_line_that_says_who_what_where_and_how_it_ended() {
    let world = World::new(|_| {});
    let body = r#"{"message":"m","force":true}"#;
    assert_eq!(world.send("POST", COMMIT, body.to_owned()).await, 201);
    assert_eq!(
        world
            .send("GET", "/api/v1/repositories/lake/branches/main", Body::empty())
            .await,
        201
    );
    let lines = world.lines().await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((line.kind, line.outcome), (Kind::Change, Outcome::Allowed));
    assert_eq!((&*line.operation, line.method.as_deref()), ("commit", Some("POST")));
    let target = &line.targets[0];
    assert_eq!(
        (&*target.repository, target.reference.as_deref()),
        ("lake", Some("main"))
    );
    assert!(line.force && line.dangers == [crate::lakefs::Danger::Force]);
    assert_eq!((line.status, line.upstream_status), (Some(201), Some(201)));
    assert_eq!(line.upstream_request_id.as_deref(), Some("up-1"));
    assert_eq!(line.sent_bytes, 4);
    assert!(Timestamp::now().since(line.time) < Duration::from_secs(60));
    assert_eq!(world.metrics.audit_lines.get(), 1);
}

#[tokio::test]
async fn a_bulk_delete_names_every_key_and_counts_what_is_too_much() {
    let world = World::new(|_| {});
    let bulk = |count: usize, name: &str| {
        let paths: Vec<String> = (0..count).map(|number| format!("\"{name}{number}\"")).collect();
        format!("{{\"paths\":[{}]}}", paths.join(","))
    };
    let target = "/api/v1/repositories/lake/branches/main/objects/delete";
    world.send("POST", target, bulk(1000, "data/part-")).await;
    world.send("POST", target, bulk(1000, &"x".repeat(1000))).await;
    let lines = world.lines().await;
    let counts: Vec<_> = lines
        .iter()
        .map(|line| (line.targets.len(), line.targets_more))
        .collect();
    let [whole, (named, more)] = counts[..] else {
        panic!("{counts:?}")
    };
    assert_eq!((whole, named + more), ((1000, 0), 1000));
    assert!(named > 200 && more > 0, "{counts:?}");
    assert_eq!(lines[0].targets[999].path.as_deref(), Some("data/part-999"));
}

#[tokio::test]
async fn refusals_logins_and_shadows_have_lines_and_other_reads_have_none() {
    let world = World::new(|_| {});
    world.send("POST", "/api/v1/auth/login", "{}".to_owned()).await;
    world.send("DELETE", "/api/v1/repositories/l%61ke", Body::empty()).await;
    world.send("GET", "/api/v1/no/such", Body::empty()).await;
    world.send("PATCH", "/api/v1/no/such", Body::empty()).await;
    let mut refusing = world.stack(|request| async move {
        let context = Context::of(&request);
        context.facts().forwarded = false;
        Rejection::Unauthenticated.respond(&context, request.method())
    });
    let read = || Request::new(Body::empty());
    drop(refusing.call(read()).await.unwrap());
    let mut shadowing = world.stack(|request| async move {
        Rejection::Closed("it").shadow(&Context::of(&request), "a-rule");
        created(request).await
    });
    drop(shadowing.call(read()).await.unwrap());
    let said: Vec<_> = world
        .lines()
        .await
        .into_iter()
        .map(|line| (line.kind, line.outcome, line.reason))
        .collect();
    assert_eq!(
        said,
        [
            (Kind::Login, Outcome::Allowed, None),
            (Kind::Change, Outcome::Refused, Some("ambiguous-target".into())),
            (Kind::Change, Outcome::Allowed, None),
            (Kind::Refusal, Outcome::Refused, Some("unauthenticated".into())),
            (Kind::Shadow, Outcome::Shadow, None),
        ]
    );
}

#[tokio::test]
async fn a_change_that_outlives_its_client_is_written_with_lakefss_answer() {
    let world = World::new(|_| {});
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let bottom = service_fn(move |request: Request| {
        let gone = gone.lock().unwrap().take().unwrap();
        async move {
            Context::of(&request).facts().forwarded = true;
            gone.await.unwrap();
            Ok::<_, Infallible>(created(request).await)
        }
    });
    let context = Context::of(&Request::new(Body::empty()));
    let mut request = Request::new(Body::empty());
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, COMMIT.parse().unwrap());
    let (head, body) = request.into_parts();
    context.set_classified(crate::lakefs::classify(&head, &[]).unwrap());
    let mut request = Request::from_parts(head, body);
    request.extensions_mut().insert(context.clone());
    // As limit does it: the rest runs in a task of its own.
    let mut admit = step(Admit::new(Arc::clone(&world.audit), Mode::Enforce)).layer(bottom);
    let task = tokio::spawn(async move { admit.call(request).await.unwrap() });
    while context.facts().kept.is_none() {
        tokio::task::yield_now().await;
    }
    world.audit.ended(&Finished {
        context: &context,
        method: &Method::POST,
        status: 499,
        received_bytes: 0,
        sent_bytes: 0,
    });
    assert!(world.lines().await.is_empty(), "lakeFS has not answered");
    go.send(()).unwrap();
    drop(task.await.unwrap());
    let lines = world.lines().await;
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line.outcome, line.status, line.upstream_status))
        .collect();
    assert_eq!(said, [(Outcome::Allowed, Some(499), Some(201))]);
}

#[tokio::test]
async fn a_client_that_leaves_while_lakefs_works_leaves_an_unknown_outcome() {
    let world = World::new(|_| {});
    let mut stack = world.stack(|request| async move {
        let _request = request;
        std::future::pending().await
    });
    let mut request = Request::new("{}".to_owned().into());
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, COMMIT.parse().unwrap());
    let mut asked = Box::pin(stack.call(request));
    assert!(asked.as_mut().now_or_never().is_none());
    drop(asked);
    let lines = world.lines().await;
    let said: Vec<_> = lines.iter().map(|line| (line.outcome, line.status)).collect();
    assert_eq!(said, [(Outcome::Unknown, Some(499))]);
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_a_change_is_refused_and_a_read_is_not() {
    let world = World::new(|config| config.file = Some("/dev/full".into()));
    // That it is full is known once a line could not be written.
    assert_eq!(world.send("POST", COMMIT, "{}".to_owned()).await, 201);
    while world.metrics.audit_failing.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.send("POST", COMMIT, "{}".to_owned()).await, 503);
    assert_eq!(world.send("GET", "/api/v1/repositories", Body::empty()).await, 201);
    let observing = World {
        mode: Mode::Observe,
        ..world
    };
    assert_eq!(observing.send("POST", COMMIT, "{}".to_owned()).await, 201);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_may_be_passed_over_and_what_is_lost_is_counted() {
    let world = World::new(|config| {
        config.file = Some("/dev/full".into());
        config.on_full = OnFull::Continue;
    });
    let keys: Vec<String> = (0..1000)
        .map(|number| format!("\"{}{number}\"", "k".repeat(1000)))
        .collect();
    let bulk = format!("{{\"paths\":[{}]}}", keys.join(","));
    let target = "/api/v1/repositories/lake/branches/main/objects/delete";
    let mut sent = 0;
    while world.metrics.audit_lost.get() == 0 {
        assert_eq!(world.send("POST", target, bulk.clone()).await, 201);
        sent += 1;
        assert!(sent < 100, "memory for waiting lines is bounded");
    }
}

#[tokio::test]
async fn lines_go_to_new_files_and_none_is_lost_between_them() {
    let world = World::new(|config| {
        config.rotate = RotateConfig {
            size: crate::config::types::ByteSize(2000),
            ..RotateConfig::default()
        };
    });
    for _ in 0..20 {
        world.send("POST", COMMIT, "{}".to_owned()).await;
        world.audit.flush().await;
    }
    assert_eq!(world.lines().await.len(), 20);
    assert!(files::of_log(&world.file).unwrap().len() > 3);
}

#[tokio::test]
async fn what_an_operator_does_has_a_line() {
    let world = World::new(|_| {});
    world.audit.act("reload", "gateway", Outcome::Allowed);
    let lines = world.lines().await;
    assert_eq!((lines[0].kind, &*lines[0].operation), (Kind::Admin, "reload"));
    assert_eq!(lines[0].principal.as_deref(), Some("gateway"));
}

/// A read of `reference` by `user`, as the request's end tells it.
fn read(world: &World, user: &str, target: &str, status: u16) {
    let context = Context::of(&Request::new(Body::empty()));
    let (head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
    context.set_classified(crate::lakefs::classify(&head, &[]).unwrap());
    context.set_principal(crate::exchange::Principal {
        name: user.into(),
        groups: Arc::default(),
        method: "basic",
        proof: crate::exchange::Proof::Proved,
        key: Some(format!("key-of-{user}").into()),
        limit_key: user.into(),
    });
    context.facts().upstream_status = Some(status);
    world.audit.ended(&Finished {
        context: &context,
        method: &Method::GET,
        status,
        received_bytes: 0,
        sent_bytes: 10,
    });
}

impl World {
    async fn totals(&self, wanted: rollup::Wanted) -> Vec<(String, String, String, bool, u64, u64)> {
        self.audit.flush().await;
        let (totals, _) = rollup::totals(&self.audit.store, wanted, 1000).await.unwrap();
        let mut totals: Vec<_> = totals
            .into_iter()
            .map(|total| {
                let sum = total.sum;
                (
                    sum.principal,
                    sum.reference,
                    sum.operation,
                    sum.granted,
                    sum.count,
                    sum.bytes,
                )
            })
            .collect();
        totals.sort();
        totals
    }
}

const REFS: &str = "/api/v1/repositories/lake/refs";

#[tokio::test]
async fn reads_are_summed_up_and_what_passes_by_is_marked() {
    let world = World::new(|config| config.file = None);
    for _ in 0..3 {
        read(&world, "ann", &format!("{REFS}/main/objects?path=a"), 200);
        world.audit.flush().await;
    }
    read(&world, "ann", &format!("{REFS}/main/objects?path=b"), 302);
    read(&world, "ann", &format!("{REFS}/main/objects?path=b"), 404);
    read(&world, "bob", &format!("{REFS}/v1/objects/stat?path=b"), 200);
    read(&world, "bob", &format!("{REFS}/v1/objects/stat?path=b&presign=t"), 200);
    read(&world, "bob", &format!("{REFS}/v1/objects/ls?%70resign=true"), 200);
    read(
        &world,
        "bob",
        "/api/v1/repositories/lake/branches/dev/staging/backing?path=x",
        200,
    );
    read(&world, "bob", "/api/v1/user", 200);
    let row = |who: &str, what: &str, how: &str, granted, count| {
        (
            who.to_owned(),
            what.to_owned(),
            how.to_owned(),
            granted,
            count,
            count * 10,
        )
    };
    assert_eq!(
        world.totals(rollup::Wanted::default()).await,
        [
            row("ann", "main", "getObject", false, 3),
            row("ann", "main", "getObject", true, 1),
            row("bob", "dev", "getPhysicalAddress", true, 1),
            row("bob", "v1", "listObjects", true, 1),
            row("bob", "v1", "statObject", false, 1),
            row("bob", "v1", "statObject", true, 1),
        ]
    );
    let wanted = |adapt: fn(&mut rollup::Wanted)| {
        let mut wanted = rollup::Wanted::default();
        adapt(&mut wanted);
        wanted
    };
    let now = Timestamp::now();
    for (wanted, count) in [
        (wanted(|wanted| wanted.principal = Some("ann".into())), 2),
        (wanted(|wanted| wanted.key = Some("key-of-bob".into())), 4),
        (wanted(|wanted| wanted.reference = Some("v1".into())), 3),
        (wanted(|wanted| wanted.repository = Some("lak".into())), 0),
        (
            rollup::Wanted {
                since: Some(now),
                ..Default::default()
            },
            6,
        ),
        (
            rollup::Wanted {
                since: Some(Timestamp(now.0 + 4_000_000)),
                ..Default::default()
            },
            0,
        ),
        (
            rollup::Wanted {
                until: Some(now.before(Duration::from_secs(3700))),
                ..Default::default()
            },
            0,
        ),
    ] {
        assert_eq!(world.totals(wanted.clone()).await.len(), count, "{wanted:?}");
    }
}

#[tokio::test]
async fn however_many_names_are_read_the_sums_are_bounded_and_nothing_is_missing() {
    let world = World::new(|config| {
        config.file = None;
        config.reads.per_hour = 5;
    });
    for number in 0..30 {
        read(&world, "ann", &format!("{REFS}/branch-{number}/objects?path=a"), 200);
        if number % 7 == 0 {
            world.audit.flush().await;
        }
    }
    let totals = world.totals(rollup::Wanted::default()).await;
    assert_eq!(totals.len(), 6, "{totals:?}");
    assert_eq!(totals.iter().map(|total| total.4).sum::<u64>(), 30);
    let other = totals.iter().find(|total| total.0 == "(other)").unwrap();
    assert_eq!((&*other.1, other.4), ("(other)", 25));
}

#[tokio::test]
async fn sums_that_the_disk_did_not_take_are_kept_for_the_next_time() {
    let (store, full) = Store::with_a_disk();
    let reads = Reads::new();
    let world = World {
        audit: Arc::new(Audit {
            store: store.clone(),
            ..Arc::into_inner(World::new(|config| config.file = None).audit).unwrap()
        }),
        ..World::new(|_| {})
    };
    read(&world, "ann", &format!("{REFS}/main/objects?path=a"), 200);
    let config = crate::config::ReadsConfig::default();
    full.store(true, Ordering::Relaxed);
    let left = rollup::flush(&world.audit.reads, &store, &config, reads.take()).await;
    assert_eq!(left.len(), 1);
    full.store(false, Ordering::Relaxed);
    read(&world, "ann", &format!("{REFS}/main/objects?path=a"), 200);
    assert!(
        rollup::flush(&world.audit.reads, &store, &config, left)
            .await
            .is_empty()
    );
    let totals = world.totals(rollup::Wanted::default()).await;
    assert_eq!(totals.iter().map(|total| total.4).collect::<Vec<_>>(), [2]);
}
