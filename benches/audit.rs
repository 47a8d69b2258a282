//! What audit costs: the same requests through the same layers with and without it. `cargo bench --bench audit`.
//!
//! `read` is a listing that is added to its hour, `change` a commit that has a line, which is formed and written (to /dev/null) by other
//! threads meanwhile.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail")]

use std::convert::Infallible;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use lakegate::audit::{Admit, Audit};
use lakegate::config::{AuditConfig, Mode};
use lakegate::exchange::classify::InspectionLimits;
use lakegate::exchange::{Body, Classify, Context, Principal, Proof, Request, Response, step};
use lakegate::observe::{Metrics, Observe};
use lakegate::store::Store;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tower::util::BoxCloneService;
use tower::{Service as _, ServiceBuilder, service_fn};

const READ: &str = "/api/v1/repositories/lake/refs/main/objects/ls?prefix=data%2F&amount=1000";
const COMMIT: &str = "/api/v1/repositories/lake/branches/main/commits";

fn stack(audit: Option<&Arc<Audit>>) -> BoxCloneService<Request, Response, Infallible> {
    let limits = InspectionLimits {
        body: 1 << 20,
        timeout: std::time::Duration::from_secs(10),
    };
    let observe = Observe::new(Vec::new(), Arc::new(Metrics::new()));
    let classify = Classify::new(Vec::new(), limits, Mode::Enforce, Arc::new(Semaphore::new(1 << 20)));
    let bottom = service_fn(|request: Request| async move {
        let context = Context::of(&request);
        context.set_principal(Principal {
            name: "ann".into(),
            groups: Arc::default(),
            method: "basic",
            proof: Proof::Proved,
            key: Some("AKIAKEY".into()),
            limit_key: "ann".into(),
        });
        let mut facts = context.facts();
        (facts.forwarded, facts.upstream_status) = (true, Some(200));
        Ok::<_, Infallible>(Response::new("{}".to_owned().into()))
    });
    match audit {
        None => BoxCloneService::new(
            ServiceBuilder::new()
                .layer(step(observe))
                .layer(step(classify))
                .service(bottom),
        ),
        Some(audit) => BoxCloneService::new(
            ServiceBuilder::new()
                .layer(step(observe.seen_by(Arc::clone(audit) as _)))
                .layer(step(classify))
                .layer(step(Admit::new(Arc::clone(audit), Mode::Enforce)))
                .service(bottom),
        ),
    }
}

fn audit(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let config = AuditConfig {
        file: Some("/dev/null".into()),
        ..AuditConfig::default()
    };
    let audit = Audit::start(&config, Store::memory().unwrap(), Arc::new(Metrics::new())).unwrap();
    let requests = [
        ("read", Method::GET, READ, ""),
        ("change", Method::POST, COMMIT, "{\"message\":\"m\"}"),
    ];
    for (name, method, target, body) in requests {
        let mut group = criterion.benchmark_group(format!("audit/{name}"));
        for (label, audit) in [("off", None), ("on", Some(&audit))] {
            let mut stack = stack(audit);
            group.bench_function(label, |bencher| {
                bencher.iter(|| {
                    let mut request = Request::new(Body::from(body.to_owned()));
                    *request.method_mut() = method.clone();
                    *request.uri_mut() = target.parse().unwrap();
                    runtime.block_on(async {
                        let response = stack.call(request).await.unwrap();
                        response.into_body().read_capped(1024).await.unwrap()
                    })
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, audit);
criterion_main!(benches);
