//! What deciding costs: classify, guard, and admission where nobody waits. `cargo bench --bench decide`.
//!
//! Wanted (issue 5): guard at most 1 us with 10 rules and 3 us with 1,000; (issue 8): admission at most 2 us, flat from 10 to 10,000
//! principals. Admission is measured through its layer, so compare it with `admission/bare layer`, which only passes requests on.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail")]

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{Method, request::Parts};
use lakegate::config::{GuardConfig, GuardDefault, LimitConfig, Mode, Preset, Role, RoleConfig, RuleConfig};
use lakegate::exchange::step::Inner;
use lakegate::exchange::{Body, Client, Context, Next, Principal, Proof, Request, Response, Step, step};
use lakegate::guard::{Asked, Rules, decide};
use lakegate::lakefs::{self, Classified};
use lakegate::limit::{Limit, State};
use lakegate::observe::Metrics;
use tower::{Layer as _, Service, service_fn};

fn head(method: Method, target: &str) -> Parts {
    let request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost");
    request.body(()).unwrap().into_parts().0
}

fn classified(method: Method, target: &str) -> Classified {
    lakefs::classify(&head(method, target), &[]).unwrap()
}

const READ: &str = "/api/v1/repositories/lake/refs/main/objects/ls?prefix=data%2F&amount=1000";
const RESET: &str = "/api/v1/repositories/lake/branches/work/hard_reset?ref=main~1&force=true";
const OBJECT: &str = "/lake/main/data/2026/11/part-00001.parquet";

fn classify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let domains = ["s3.local.lakefs.io".to_owned()];
    let mut object = head(Method::GET, OBJECT);
    object.headers.insert("host", "s3.local.lakefs.io".parse().unwrap());
    let heads = [
        ("listObjects", head(Method::GET, READ)),
        ("hardResetBranch", head(Method::PUT, RESET)),
        ("s3:GetObject", object),
    ];
    for (name, head) in &heads {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| lakefs::classify(black_box(head), &domains))
        });
    }
}

/// `count` rules, each over a branch pattern of its own that does not match `work`.
fn rules(count: usize, pattern: fn(usize) -> String) -> Rules {
    let with_pattern = |number| RuleConfig {
        branches: Some(vec![pattern(number)]),
        ..rule(number)
    };
    compiled((0..count).map(with_pattern).collect())
}

/// One rule of its number, over one branch.
fn rule(number: usize) -> RuleConfig {
    RuleConfig {
        name: format!("rule-{number}"),
        branches: Some(vec![format!("main-{number}")]),
        preset: Some(Preset::Protect),
        ..RuleConfig::default()
    }
}

fn compiled(rules: Vec<RuleConfig>) -> Rules {
    Rules::new(&GuardConfig {
        rules,
        ..GuardConfig::default()
    })
}

fn by_nobody<'a>(classified: &'a Classified, method: &'a Method) -> Asked<'a> {
    Asked {
        classified,
        method,
        principal: None,
        address: [127, 0, 0, 1].into(),
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard, allowed");
    let (read, reset) = (classified(Method::GET, READ), classified(Method::PUT, RESET));
    let thousand = rules(1000, |number| format!("main-{number}"));
    let asked = by_nobody(&read, &Method::GET);
    group.bench_function("a read, 1,000 rules", |bencher| {
        bencher.iter(|| decide(black_box(asked), &thousand))
    });
    let asked = by_nobody(&reset, &Method::PUT);
    type Pattern = fn(usize) -> String;
    let patterns: [(&str, Pattern); 3] = [
        ("names", |number| format!("main-{number}")),
        ("globs with a beginning", |number| format!("release-{number}-*")),
        ("globs without a beginning", |number| format!("*-{number}")),
    ];
    for (name, pattern) in patterns {
        for count in [10, 1000] {
            let rules = rules(count, pattern);
            group.bench_function(format!("a hard reset, {count} rules, {name}"), |bencher| {
                bencher.iter(|| decide(black_box(asked), &rules));
            });
        }
    }
}

/// What can hurt a branch or a whole repository, where rules let it pass and where they refuse it.
fn dangers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard, dangers");
    let requests = [
        ("delete a branch", Method::DELETE, "/branches/work", ""),
        (
            "a forced hard reset",
            Method::PUT,
            "/branches/work/hard_reset?ref=x&force=true",
            "",
        ),
        ("an upload", Method::POST, "/branches/work/objects?path=a%2Fb", ""),
        (
            "a hook",
            Method::POST,
            "/branches/work/objects?path=_lakefs_actions%2Fx",
            "",
        ),
        ("a merge", Method::POST, "/refs/dev/merge/work", r#"{"message":"m"}"#),
        ("delete a tag", Method::DELETE, "/tags/v1", ""),
        ("delete a repository", Method::DELETE, "", ""),
    ];
    let elsewhere: fn(usize) -> RuleConfig = |number| RuleConfig {
        repositories: vec![format!("lake-{number}")],
        ..rule(number)
    };
    for (name, method, target, body) in &requests {
        let mut classified = classified(method.clone(), &format!("/api/v1/repositories/lake{target}"));
        classified.read_body(body.as_bytes());
        let asked = by_nobody(&classified, method);
        for count in [10, 1000] {
            for (where_, make) in [("here", rule as fn(usize) -> RuleConfig), ("elsewhere", elsewhere)] {
                let rules = compiled((0..count).map(make).collect());
                let verdict = if decide(asked, &rules).denied.is_some() {
                    "refused"
                } else {
                    "allowed"
                };
                group.bench_function(format!("{name}, {count} rules {where_}, {verdict}"), |bencher| {
                    bencher.iter(|| decide(black_box(asked), &rules));
                });
            }
        }
    }
}

/// `default: deny` with a role a person, of whom one asks.
fn roles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("guard, roles");
    let (read, reset) = (classified(Method::GET, READ), classified(Method::PUT, RESET));
    for count in [10, 1000] {
        let role = |number| RoleConfig {
            role: Role::Writer,
            users: vec![format!("user-{number}@example.com")],
            groups: Vec::new(),
            keys: Vec::new(),
            addresses: Vec::new(),
            repositories: vec!["*".to_owned()],
            branches: None,
        };
        let rules = Rules::new(&GuardConfig {
            default: Some(GuardDefault::Deny),
            roles: (0..count).map(role).collect(),
            rules: (0..count).map(rule).collect(),
            ..GuardConfig::default()
        });
        let principals = principals(count);
        for (name, classified, method) in [("a read", &read, &Method::GET), ("a hard reset", &reset, &Method::PUT)] {
            let asked = Asked {
                principal: principals.get(count / 2),
                ..by_nobody(classified, method)
            };
            let verdict = if decide(asked, &rules).denied.is_some() {
                "refused"
            } else {
                "allowed"
            };
            group.bench_function(format!("{name}, {count} roles and rules, {verdict}"), |bencher| {
                bencher.iter(|| decide(black_box(asked), &rules));
            });
        }
    }
}

/// A layer that does nothing.
struct Bare;

impl Step for Bare {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        next.run(request).await
    }
}

fn request(principal: &Principal, classified: &Classified) -> Request {
    let peer = ([127, 0, 0, 1], 9).into();
    let address = [127, 0, 0, 1].into();
    let context = Context::new(Client {
        address,
        peer,
        secure: false,
    });
    context.set_classified(classified.clone());
    context.set_principal(principal.clone());
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(context);
    request
}

fn principals(count: usize) -> Vec<Principal> {
    let principal = |number| {
        let name: Arc<str> = format!("user-{number}@example.com").into();
        Principal {
            name: Arc::clone(&name),
            groups: Arc::new([]),
            method: "basic",
            proof: Proof::Proved,
            key: None,
            limit_key: name,
        }
    };
    (0..count).map(principal).collect()
}

/// Sends requests of `principals` in turn through a layer over a lakeFS that answers at once.
fn through<S: Service<Request, Response = Response, Error = Infallible>>(
    criterion: &mut Criterion,
    name: &str,
    mut stack: S,
    principals: &[Principal],
) {
    let read = classified(Method::GET, READ);
    let mut turn = principals.iter().cycle();
    criterion.benchmark_group("admission").bench_function(name, |bencher| {
        bencher.iter_batched(
            || request(turn.next().unwrap(), &read),
            |request| stack.call(request).now_or_never().unwrap(),
            BatchSize::SmallInput,
        );
    });
}

fn admission(criterion: &mut Criterion) {
    let lakefs = || service_fn(|_: Request| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
    through(criterion, "bare layer", step(Bare).layer(lakefs()), &principals(10));
    let mut config = LimitConfig::default();
    (config.principal.requests_per_second, config.principal.burst) = (1_000_000_000, 1_000_000_000);
    for (name, count) in [("10 principals", 10), ("10,000 principals", 10_000)] {
        let state = Arc::new(State::new(Arc::new(Metrics::new())));
        let layer = step(Limit::new(&config, Mode::Enforce, state));
        through(criterion, name, layer.layer(lakefs()), &principals(count));
    }
}

criterion_group!(benches, classify, guard, dangers, roles, admission);
criterion_main!(benches);
