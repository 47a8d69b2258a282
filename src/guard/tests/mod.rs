//! What the rules say of requests, by table and by property, and what a client of the layer sees.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use proptest::prelude::*;
use tower::{ServiceBuilder, ServiceExt};

use super::*;
use crate::config::{Effect, GuardDefault, HardResetMember, Preset, RuleConfig, RuleMode, WhoConfig};
use crate::exchange::{Body, Client, Principal, step};
use crate::lakefs::{self, Class, Classified, Danger, Force, ForceIn, Operation, Protocol, Role, Target};

mod theirs;
mod wire;

fn rule(name: &str, repositories: &[&str], branches: &[&str]) -> RuleConfig {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    RuleConfig {
        name: name.to_owned(),
        repositories: owned(repositories),
        branches: Some(owned(branches)),
        preset: Some(Preset::Protect),
        hard_reset: HardResetMember::Forced,
        ..RuleConfig::default()
    }
}

fn rules(rules: Vec<RuleConfig>) -> GuardConfig {
    GuardConfig {
        rules,
        ..GuardConfig::default()
    }
}

/// A request of nobody in particular.
fn asked<'a>(classified: &'a Classified, method: &'a Method) -> Asked<'a> {
    Asked {
        classified,
        method,
        principal: None,
        address: [127, 0, 0, 1].into(),
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn target(role: Role, repository: &str, reference: Option<&str>) -> Target {
    Target {
        role,
        repository: repository.to_owned(),
        reference: reference.map(str::to_owned),
        path: None,
    }
}

fn classified(operation: Operation, force: Force, targets: Vec<Target>) -> Classified {
    let (head, ()) = http::Request::new(()).into_parts();
    let mut classified = lakefs::classify(&head, &[]).unwrap();
    (classified.operation, classified.force, classified.targets) = (operation, force, targets);
    classified.protocol = Protocol::Rest;
    classified
}

fn hard_reset(repository: &str, branch: &str, force: Force) -> Classified {
    let (subject, source) = (Role::Subject, Role::Source);
    let targets = vec![
        target(subject, repository, Some(branch)),
        target(source, repository, Some("main~1")),
    ];
    classified(Operation::HardResetBranch, force, targets)
}

/// The name of the rule that refuses.
fn denied_by(classified: &Classified, method: &Method, config: &GuardConfig) -> Option<String> {
    let rules = Rules::new(config);
    let decision = decide(asked(classified, method), &rules);
    decision.denied.map(|refusal| refusal.by_name().to_owned())
}

#[test]
fn forced_hard_resets_are_refused_where_a_rule_stands_and_nowhere_else() {
    let config = rules(vec![
        rule("main-stays", &["*"], &["main", "release-*"]),
        rule("lake", &["lake"], &["*"]),
        rule("broken", &["pond"], &["[a"]),
    ]);
    let table = [
        ("other", "main", Force::Yes, Some("main-stays")),
        ("other", "main", Force::InBody, Some("main-stays")),
        ("other", "main", Force::No, None),
        ("other", "release-1", Force::Yes, Some("main-stays")),
        ("other", "release", Force::Yes, None),
        ("other", "mainly", Force::Yes, None),
        ("other", "dev", Force::Yes, None),
        ("lake", "dev", Force::Yes, Some("lake")),
        ("lake", "main", Force::Yes, Some("main-stays")),
        ("lakes", "dev", Force::Yes, None),
        ("pond", "dev", Force::Yes, Some("broken")),
    ];
    for (repository, branch, force, expected) in table {
        let reset = hard_reset(repository, branch, force);
        let name = denied_by(&reset, &Method::PUT, &config);
        assert_eq!(name.as_deref(), expected, "{repository}/{branch} {force:?}");
    }
}

#[test]
fn a_rule_may_refuse_every_hard_reset() {
    let mut any = rule("never", &["*"], &["main"]);
    any.hard_reset = HardResetMember::Any;
    let reset = hard_reset("lake", "main", Force::No);
    assert_eq!(
        denied_by(&reset, &Method::PUT, &rules(vec![any])).as_deref(),
        Some("never")
    );
}

#[test]
fn the_source_of_a_hard_reset_is_not_what_it_endangers() {
    let mut reset = hard_reset("lake", "work", Force::Yes);
    reset.targets[1].reference = Some("main".to_owned());
    assert_eq!(
        denied_by(&reset, &Method::PUT, &rules(vec![rule("r", &["*"], &["main"])])),
        None
    );
}

#[test]
fn every_subject_counts_and_one_without_a_name_could_be_any() {
    let config = rules(vec![rule("r", &["lake"], &["main"])]);
    let reset = |targets| classified(Operation::HardResetBranch, Force::Yes, targets);
    let denied = |targets| denied_by(&reset(targets), &Method::PUT, &config).is_some();
    assert!(denied(vec![
        target(Role::Subject, "lake", Some("work")),
        target(Role::Subject, "lake", Some("main"))
    ]));
    assert!(denied(vec![target(Role::Subject, "lake", None)]));
    assert!(denied(vec![target(Role::Source, "lake", None)]), "no subject at all");
    assert!(denied(Vec::new()));
    assert!(!denied(vec![target(Role::Subject, "pond", None)]));
}

#[test]
fn unknown_changes_are_refused_in_a_repository_with_a_rule() {
    let config = rules(vec![rule("r", &["lake"], &["main"])]);
    let in_lake = vec![target(Role::Subject, "lake", Some("dev"))];
    let table = [
        (Operation::UnknownApi, Method::POST, in_lake.clone(), true),
        (Operation::UnknownApi, Method::DELETE, in_lake.clone(), true),
        (
            Operation::UnknownApi,
            Method::from_bytes(b"FOO").unwrap(),
            in_lake.clone(),
            true,
        ),
        (Operation::UnknownApi, Method::GET, in_lake.clone(), false),
        (Operation::UnknownApi, Method::HEAD, in_lake.clone(), false),
        (
            Operation::UnknownApi,
            Method::POST,
            vec![target(Role::Subject, "pond", None)],
            false,
        ),
        (Operation::UnknownApi, Method::POST, Vec::new(), false),
        (Operation::S3Unknown, Method::PUT, in_lake.clone(), true),
        (Operation::S3Unknown, Method::PUT, Vec::new(), false),
        (Operation::MergeIntoBranch, Method::POST, in_lake, false),
    ];
    for (operation, method, targets, expected) in table {
        let request = classified(operation, Force::No, targets);
        let denied = denied_by(&request, &method, &config).is_some();
        assert_eq!(denied, expected, "{method} {operation} {:?}", request.targets);
    }
}

#[test]
fn a_rule_in_shadow_refuses_nothing_and_is_told() {
    let mut shadow = rule("tried", &["*"], &["ma*", "main"]);
    shadow.mode = RuleMode::Shadow;
    let config = rules(vec![shadow, rule("main-stays", &["*"], &["main"])]);
    let compiled = Rules::new(&config);
    let reset = hard_reset("lake", "main", Force::Yes);
    let asked = asked(&reset, &Method::PUT);
    let decision = decide(asked, &compiled);
    assert_eq!(decision.denied.map(|refusal| refusal.by_name()), Some("main-stays"));
    assert_eq!(
        decision
            .shadow
            .iter()
            .map(|refusal| refusal.by_name())
            .collect::<Vec<_>>(),
        ["tried"]
    );
    let opinions: Vec<Opinion> = opinions(asked, &compiled)
        .into_iter()
        .map(|(_, opinion)| opinion)
        .collect();
    assert_eq!(opinions, [Opinion::WouldRefuse, Opinion::Refuses]);
}

#[test]
fn a_refusal_says_what_why_and_what_next() {
    let config = rules(vec![rule("main-stays", &["*"], &["main"])]);
    let compiled = Rules::new(&config);
    let reset = hard_reset("lake", "main", Force::Yes);
    let decision = decide(asked(&reset, &Method::PUT), &compiled);
    assert_eq!(
        decision.denied.unwrap().to_string(),
        "hard reset with force of protected branch `main` is refused by rule `main-stays`: revert the commits instead, or ask whoever owns the gateway's rules"
    );
}

/// A state whose lakeFS is not there.
fn nowhere() -> Arc<State> {
    let upstream = crate::config::UpstreamConfig::default();
    let dialer = Arc::new(crate::lakefs_client::Dialer::new(&upstream).unwrap());
    let runtime = tokio::runtime::Handle::current();
    Arc::new(State::new(crate::lakefs_client::Client::new(
        dialer,
        &upstream.url,
        runtime,
    )))
}

/// Sends a forced hard reset of `lake/main` through the layer; the answer, its context, and how often lakeFS was asked.
async fn send(config: &GuardConfig, mode: Mode) -> (Response, Context, usize) {
    send_through(Guard::new(config, mode, nowhere(), None)).await
}

async fn send_through(guard: Guard) -> (Response, Context, usize) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let stack = ServiceBuilder::new()
        .layer(step(guard))
        .service(tower::service_fn(move |_: Request| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        }));
    let peer = ([127, 0, 0, 1], 9).into();
    let context = Context::new(Client {
        address: [127, 0, 0, 1].into(),
        peer,
        secure: false,
    });
    context.set_classified(hard_reset("lake", "main", Force::Yes));
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::PUT;
    request.extensions_mut().insert(context.clone());
    let response = stack.oneshot(request).await.unwrap();
    (response, context, asked.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_refused_request_never_reaches_lakefs() {
    let (response, context, asked) = send(&rules(vec![rule("main-stays", &["*"], &["main"])]), Mode::Enforce).await;
    assert_eq!((response.status().as_u16(), asked), (403, 0));
    assert_eq!(response.headers()["x-lakegate-reason"], "guarded");
    assert_eq!(response.headers()["x-lakegate-rule"], "main-stays");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(context.facts().rule.as_deref(), Some("main-stays"));
}

#[tokio::test]
async fn shadow_and_observe_forward_and_count() {
    let mut shadow = rule("tried", &["*"], &["main"]);
    shadow.mode = RuleMode::Shadow;
    let enforced = rule("tried", &["*"], &["main"]);
    for (rule, mode) in [(shadow, Mode::Enforce), (enforced, Mode::Observe)] {
        let (response, context, asked) = send(&rules(vec![rule]), mode).await;
        assert_eq!((response.status().as_u16(), asked), (200, 1), "{mode:?}");
        assert_eq!(context.facts().shadow, ["tried"]);
        assert_eq!(context.facts().shadow_refusals, ["guarded"]);
    }
}

/// Rules of every kind over few names, so that they meet.
fn any_rule() -> impl Strategy<Value = RuleConfig> {
    let patterns = |most| prop::collection::vec("[a-c*?{,}\\[\\]!\\\\-]{0,5}", 0..most);
    let maybe = move || prop::option::of(patterns(3));
    let names = || prop::collection::vec("[ab*]", 0..2);
    let what = (
        prop::sample::select(vec![None, Some(Preset::Protect), Some(Preset::Everything)]),
        prop::collection::vec(prop::sample::select(Danger::ALL), 0..3),
        prop::collection::vec(
            prop::sample::select(vec![Class::Read, Class::Merge, Class::Branch]),
            0..2,
        ),
        prop::sample::select(vec![HardResetMember::Forced, HardResetMember::Any]),
    );
    let effects = vec![
        Effect::Deny,
        Effect::Deny,
        Effect::Allow,
        Effect::Freeze,
        Effect::RequireApproval,
        Effect::RequireConfirmation,
    ];
    let modes = vec![RuleMode::Enforce, RuleMode::Enforce, RuleMode::Shadow];
    let except = prop::option::of(names().prop_map(|users| WhoConfig {
        users,
        ..WhoConfig::default()
    }));
    let who = (names(), names(), except);
    let how = (prop::sample::select(effects), prop::sample::select(modes));
    (patterns(3), maybe(), maybe(), maybe(), what, who, how).prop_map(
        |(
            repositories,
            branches,
            tags,
            paths,
            (preset, dangers, classes, hard_reset),
            (users, groups, except),
            (effect, mode),
        )| {
            RuleConfig {
                name: "any".to_owned(),
                users,
                groups,
                except,
                preset,
                dangers,
                classes,
                hard_reset,
                repositories,
                branches,
                tags,
                paths,
                effect,
                mode,
                ..RuleConfig::default()
            }
        },
    )
}

fn any_request() -> impl Strategy<Value = (Classified, Method)> {
    let operations = vec![
        Operation::HardResetBranch,
        Operation::UnknownApi,
        Operation::S3Unknown,
        Operation::Commit,
        Operation::GetObject,
        Operation::ListObjects,
        Operation::DeleteObjects,
        Operation::DeleteTag,
        Operation::CopyObject,
        Operation::ListRepositories,
        Operation::MergeIntoBranch,
    ];
    let methods = vec![Method::GET, Method::PUT, Method::DELETE];
    let roles = prop::sample::select(vec![Role::Subject, Role::Subject, Role::Source]);
    let name = || prop::option::of("[a-c-]{0,3}");
    let target = (roles, "[a-c-]{0,3}", name(), name()).prop_map(|(role, repository, reference, path)| Target {
        path,
        ..target(role, &repository, reference.as_deref())
    });
    let forces = vec![Force::No, Force::Yes, Force::InBody];
    (
        prop::sample::select(operations),
        prop::sample::select(methods),
        prop::collection::vec(target, 0..3),
        prop::sample::select(forces),
    )
        .prop_map(|(operation, method, targets, force)| (classified(operation, force, targets), method))
}

fn principal(name: &str, groups: &[&str]) -> Principal {
    Principal {
        name: name.into(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        method: "basic",
        proof: Proof::Proved,
        key: None,
        limit_key: name.into(),
    }
}

fn any_principal() -> impl Strategy<Value = Option<Principal>> {
    let groups = prop::sample::select(vec![vec![], vec!["a"], vec!["a", "b"]]);
    prop::option::of(("[ab]", groups).prop_map(|(name, groups)| principal(&name, &groups)))
}

proptest! {
    #[test]
    fn deciding_never_panics_and_one_more_refusing_rule_never_allows_more(
        config in prop::collection::vec(any_rule(), 0..6),
        (request, method) in any_request(),
        sender in any_principal(),
        more in any_rule(),
    ) {
        let grants = more.effect == Effect::Allow && more.mode == RuleMode::Enforce;
        let denied = |config| {
            let rules = Rules::new(&GuardConfig { default: Some(GuardDefault::Deny), ..rules(config) });
            decide(Asked { principal: sender.as_ref(), ..asked(&request, &method) }, &rules).denied.is_some()
        };
        let without = denied(config.clone());
        let with = denied([config, vec![more]].concat());
        let sound = if grants { without || !with } else { !without || with };
        prop_assert!(sound);
    }

    /// The index finds what looking at each rule finds.
    #[test]
    fn the_decision_is_what_the_rules_say_one_by_one(
        config in prop::collection::vec(any_rule(), 0..6),
        (request, method) in any_request(),
        sender in any_principal(),
    ) {
        let compiled = Rules::new(&GuardConfig { default: Some(GuardDefault::Allow), ..rules(config) });
        let asked = Asked { principal: sender.as_ref(), ..asked(&request, &method) };
        let decision = decide(asked, &compiled);
        let said = opinions(asked, &compiled);
        let which = |wanted: Opinion, effect: Option<Effect>| -> Vec<*const Rule> {
            said.iter()
                .filter(|(rule, opinion)| *opinion == wanted && effect.is_none_or(|effect| rule.effect() == effect))
                .map(|(rule, _)| std::ptr::from_ref(*rule))
                .collect()
        };
        let found = |refusals: &[Refusal<'_>]| -> Vec<*const Rule> {
            refusals.iter().map(|refusal| std::ptr::from_ref(refusal.rule.unwrap())).collect()
        };
        let mut refuses = which(Opinion::Refuses, Some(Effect::Deny));
        refuses.extend(which(Opinion::Refuses, Some(Effect::Freeze)));
        prop_assert_eq!(found(decision.denied.as_slice()), refuses.into_iter().take(1).collect::<Vec<_>>());
        let asks = |effect| matches!(effect, Effect::RequireApproval | Effect::RequireConfirmation);
        let would = |required: bool| -> Vec<*const Rule> {
            said.iter()
                .filter(|(rule, opinion)| match opinion {
                    Opinion::Requires => required,
                    Opinion::WouldRefuse => rule.effect() != Effect::Allow && asks(rule.effect()) == required,
                    _ => false,
                })
                .map(|(rule, _)| std::ptr::from_ref(*rule))
                .collect()
        };
        prop_assert_eq!(found(&decision.required), would(true));
        prop_assert_eq!(found(&decision.shadow), would(false));
    }
}

#[tokio::test]
async fn a_freeze_says_until_when() {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
    let mut frozen = rule("audit-week", &["*"], &["main"]);
    frozen.effect = Effect::Freeze;
    frozen.when = Some(serde_json::from_value(serde_json::json!({ "until": until.to_string() })).unwrap());
    let (response, _, asked) = send(&rules(vec![frozen]), Mode::Enforce).await;
    assert_eq!((response.status().as_u16(), asked), (503, 0));
    assert_eq!(response.headers()["x-lakegate-reason"], "frozen");
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((80..=90).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn what_nothing_grants_is_refused_and_in_shadow_only_told() {
    for (default, status) in [(GuardDefault::Deny, 403), (GuardDefault::Shadow, 200)] {
        let config = GuardConfig {
            default: Some(default),
            ..GuardConfig::default()
        };
        let (response, context, _) = send(&config, Mode::Enforce).await;
        assert_eq!(response.status(), status);
        if default == GuardDefault::Deny {
            assert_eq!(response.headers()["x-lakegate-reason"], "not-granted");
            assert_eq!(response.headers()["x-lakegate-rule"], "guard.default");
        } else {
            assert_eq!(response.headers()["x-lakegate-shadow"], "guard.default");
            assert_eq!(context.facts().shadow_refusals, ["not-granted"]);
        }
    }
}
