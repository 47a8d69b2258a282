//! The limits before a lakeFS of hidden capacity, on a paused clock: the layer as it is, a model of lakeFS, and scenarios that say what
//! comes and what must hold. `cargo test --test simulator -- --nocapture` prints the numbers; a new scenario is a new file.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod lakefs;
mod scenario;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use lakegate::config::Mode;
use lakegate::exchange::{Body, Client, Context, Principal, Proof, Request, Response, step};
use lakegate::limit::{Limit, State};
use lakegate::observe::Metrics;
use tokio::time::{Instant, sleep_until, timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};

use lakefs::{Lakefs, Random};
use scenario::{Expect, Kind, Scenario, Tenant, What};

/// One request that ended.
#[derive(Debug, Clone)]
struct Answered {
    tenant: usize,
    principal: usize,
    sent: f64,
    took: f64,
    /// None: its client went away.
    status: Option<u16>,
}

#[derive(Debug, Clone)]
struct Asking {
    kind: Kind,
    user: Arc<str>,
    branch: String,
}

impl Asking {
    fn request(&self) -> Request {
        let branch = &self.branch;
        let (method, target) = match self.kind {
            Kind::Stat => (Method::GET, format!("refs/{branch}/objects/stat?path=a")),
            Kind::Read => (Method::GET, format!("branches/{branch}")),
            Kind::List => (Method::GET, format!("refs/{branch}/objects/ls")),
            Kind::Upload => (Method::POST, format!("branches/{branch}/objects?path=a")),
            Kind::Commit => (Method::POST, format!("branches/{branch}/commits")),
            Kind::Merge => (Method::POST, format!("refs/other/merge/{branch}")),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1/repositories/lake/{target}"))
            .header("host", "localhost");
        let mut request = request.body(Body::empty()).unwrap();
        let peer = ([127, 0, 0, 1], 9).into();
        let context = Context::new(Client {
            address: [127, 0, 0, 1].into(),
            peer,
            secure: false,
        });
        let (head, body) = request.into_parts();
        context.set_classified(lakegate::lakefs::classify(&head, &[]).unwrap());
        context.set_principal(Principal {
            name: Arc::clone(&self.user),
            groups: Arc::new([]),
            method: "basic",
            proof: Proof::Proved,
            key: None,
            limit_key: Arc::clone(&self.user),
        });
        request = Request::from_parts(head, body);
        request.extensions_mut().insert(context);
        request.extensions_mut().insert(self.clone());
        request
    }
}

/// What became of a scenario.
struct Run {
    answered: Vec<Answered>,
    seconds: Vec<(f64, f64)>,
    /// The limit in force, each second.
    limits: Vec<i64>,
}

/// Runs a scenario, through lakegate or direct, with all tenants or one.
async fn run(scenario: &Scenario, direct: bool, only: Option<&str>) -> Run {
    let lakefs = Lakefs::start(scenario.lakefs.clone(), scenario.seed);
    let below = {
        let lakefs = Arc::clone(&lakefs);
        service_fn(move |request: Request| {
            let lakefs = Arc::clone(&lakefs);
            async move {
                let asking = request.extensions().get::<Asking>().unwrap().clone();
                let mut response = Response::new(Body::empty());
                *response.status_mut() = lakefs.answer(asking.kind, &asking.branch).await;
                Ok::<_, Infallible>(response)
            }
        })
    };
    let metrics = Arc::new(Metrics::new());
    let limits: Arc<Mutex<Vec<i64>>> = Arc::default();
    let state = Arc::new(State::new(Arc::clone(&metrics)));
    let watching = Arc::clone(&limits);
    tokio::spawn(async move {
        loop {
            watching.lock().unwrap().push(metrics.upstream_limit.get());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mode = if direct { Mode::Observe } else { Mode::Enforce };
    let stack = step(Limit::new(&scenario.limit, mode, state)).layer(below);
    let began = Instant::now();
    let end = began + Duration::from_secs(scenario.seconds);
    let answered: Arc<Mutex<Vec<Answered>>> = Arc::default();
    let mut random = Random::new(scenario.seed);
    for (tenant, of) in scenario.tenants.iter().enumerate() {
        if only.is_some_and(|only| of.name != only) {
            continue;
        }
        for principal in 0..of.times {
            for _ in 0..of.clients.max(1) {
                let (stack, answered, of) = (stack.clone(), Arc::clone(&answered), of.clone());
                let mut random = Random::new(random.next());
                tokio::spawn(async move {
                    let user: Arc<str> = format!("{}-{principal}", of.name).into();
                    let send = |kind| {
                        let asking = Asking {
                            kind,
                            user: Arc::clone(&user),
                            branch: of.branch.clone().unwrap_or_else(|| user.to_string()),
                        };
                        let (stack, answered) = (stack.clone(), Arc::clone(&answered));
                        let patience = of.leaves_after.map_or(Duration::MAX, Duration::from_secs_f64);
                        async move {
                            let sent = Instant::now();
                            let answer = timeout(patience, stack.oneshot(asking.request())).await;
                            let status = answer.ok().map(|answer| answer.unwrap().status().as_u16());
                            answered.lock().unwrap().push(Answered {
                                tenant,
                                principal,
                                sent: (sent - began).as_secs_f64(),
                                took: sent.elapsed().as_secs_f64(),
                                status,
                            });
                            status.is_some_and(|status| status < 300)
                        }
                    };
                    let mut next = began + Duration::from_secs_f64(of.from) + jitter(&of, &mut random);
                    let until = began + Duration::from_secs_f64(of.until.min(1e6));
                    loop {
                        sleep_until(next).await;
                        if Instant::now() >= until.min(end) {
                            return;
                        }
                        let kind = of.asks[random.next() as usize % of.asks.len()];
                        if of.rate > 0.0 {
                            tokio::spawn(send(kind));
                            next += Duration::from_secs_f64(random.exponential() / of.rate);
                        } else {
                            // Who was refused takes a breath.
                            let breath = if send(kind).await {
                                0.0
                            } else {
                                0.1 + 0.2 * random.part()
                            };
                            next = Instant::now() + Duration::from_secs_f64(breath);
                        }
                    }
                });
            }
        }
    }
    sleep_until(end).await;
    let answered = std::mem::take(&mut *answered.lock().unwrap());
    Run {
        answered,
        seconds: lakefs.seconds(),
        limits: std::mem::take(&mut *limits.lock().unwrap()),
    }
}

/// Clients do not all begin in one instant.
fn jitter(of: &Tenant, random: &mut Random) -> Duration {
    let spread = if of.rate > 0.0 { 1.0 / of.rate } else { 0.05 };
    Duration::from_secs_f64(random.part() * spread)
}

impl Run {
    fn of<'a>(&'a self, scenario: &'a Scenario, expect: &'a Expect) -> impl Iterator<Item = &'a Answered> {
        self.answered.iter().filter(move |answered| {
            let of = expect.of.as_ref();
            of.is_none_or(|of| scenario.tenants[answered.tenant].name == *of)
                && (expect.from..expect.until).contains(&answered.sent)
        })
    }

    fn done<'a>(&'a self, scenario: &'a Scenario, expect: &'a Expect) -> impl Iterator<Item = &'a Answered> {
        let done = |answered: &&Answered| answered.status.is_some_and(|status| status < 300);
        self.of(scenario, expect).filter(done)
    }

    fn p99(&self, scenario: &Scenario, expect: &Expect) -> f64 {
        let mut times: Vec<f64> = self.done(scenario, expect).map(|answered| answered.took).collect();
        times.sort_by(f64::total_cmp);
        times[(times.len() * 99 / 100).min(times.len() - 1)]
    }

    fn rate(&self, scenario: &Scenario, expect: &Expect) -> f64 {
        let until = expect.until.min(scenario.seconds as f64);
        self.done(scenario, expect).count() as f64 / (until - expect.from)
    }

    fn refused(&self, scenario: &Scenario, expect: &Expect) -> f64 {
        let refused = |answered: &&Answered| matches!(answered.status, Some(420 | 423 | 429 | 500 | 503));
        self.of(scenario, expect).filter(refused).count() as f64
    }

    fn jain(&self, scenario: &Scenario, expect: &Expect) -> f64 {
        let mut done: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for answered in self.done(scenario, expect) {
            *done.entry((answered.tenant, answered.principal)).or_default() += 1.0;
        }
        let wanted = scenario
            .tenants
            .iter()
            .filter(|of| expect.of.as_ref().is_none_or(|name| of.name == *name));
        let principals: usize = wanted.map(|of| of.times).sum();
        let (sum, squares) = done
            .values()
            .fold((0.0, 0.0), |(sum, squares), n| (sum + n, squares + n * n));
        sum * sum / (principals as f64 * squares)
    }

    fn limit(&self, expect: &Expect) -> f64 {
        let limits = self.limits.iter().enumerate();
        let asked: Vec<f64> = limits
            .filter(|(at, _)| (expect.from..expect.until).contains(&(*at as f64)))
            .map(|(_, limit)| *limit as f64)
            .collect();
        asked.iter().sum::<f64>() / asked.len() as f64
    }

    fn utilisation(&self, expect: &Expect) -> f64 {
        let seconds = self.seconds.iter().enumerate();
        let asked = seconds.filter(|(at, _)| (expect.from..expect.until).contains(&(*at as f64)));
        let (worked, could) = asked.fold((0.0, 0.0), |(worked, could), (_, second)| {
            (worked + second.0, could + second.1)
        });
        worked / could
    }
}

async fn measured(scenario: &Scenario, run_through: &Run, direct: Option<&Run>, expect: &Expect) -> f64 {
    match expect.what {
        What::Utilisation => run_through.utilisation(expect),
        What::Limit => run_through.limit(expect),
        What::Jain => run_through.jain(scenario, expect),
        What::Refused => run_through.refused(scenario, expect),
        What::Rate => run_through.rate(scenario, expect),
        What::P99 => run_through.p99(scenario, expect),
        What::P99OverAlone => {
            let alone = run(scenario, false, expect.of.as_deref()).await;
            run_through.p99(scenario, expect) / alone.p99(scenario, expect)
        }
        What::RefusedDirect => direct.unwrap().refused(scenario, expect),
        What::RateDirect => direct.unwrap().rate(scenario, expect),
        What::P99Direct => direct.unwrap().p99(scenario, expect),
    }
}

/// Runs one file. What does not hold.
async fn play(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let scenario: Scenario =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_stem().unwrap().to_string_lossy();
    println!("{name} (seed {}): {}", scenario.seed, scenario.about);
    let through = run(&scenario, false, None).await;
    let asks_direct = |expect: &Expect| matches!(expect.what, What::RefusedDirect | What::RateDirect | What::P99Direct);
    let direct = match scenario.expect.iter().any(asks_direct) {
        true => Some(run(&scenario, true, None).await),
        false => None,
    };
    let mut wrong = Vec::new();
    for expect in &scenario.expect {
        let number = measured(&scenario, &through, direct.as_ref(), expect).await;
        let good =
            expect.at_least.is_none_or(|least| number >= least) && expect.at_most.is_none_or(|most| number <= most);
        let until = expect.until.min(scenario.seconds as f64);
        let line = format!(
            "  {} {:?}{} {}-{until} s: {number:.3}{}{}",
            if good { " " } else { "!" },
            expect.what,
            expect.of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default(),
            expect.from,
            expect
                .at_least
                .map(|least| format!(", at least {least}"))
                .unwrap_or_default(),
            expect
                .at_most
                .map(|most| format!(", at most {most}"))
                .unwrap_or_default(),
        );
        println!("{line}");
        if !good {
            wrong.push(format!("{name}:{line}"));
        }
    }
    wrong
}

#[test]
fn every_scenario_ends_as_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/limit");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5, "the scenarios were not found");
    let mut wrong = Vec::new();
    for file in files {
        // A runtime each: whatever is still under way when a scenario is over goes with it.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        wrong.extend(runtime.block_on(play(&file)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
