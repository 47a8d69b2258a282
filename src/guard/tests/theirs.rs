//! The layer and lakeFS's own rules: what bites, what is refused for now, and what nobody is asked about.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode};

use super::*;
use crate::lakefs_client::fake::FakeLakefs;

/// `admin` of the fake server.
#[derive(Debug)]
struct Own(HeaderValue);

impl Identity for Own {
    fn bearer(&self) -> BoxFuture<'_, Result<HeaderValue, String>> {
        let bearer = self.0.clone();
        async { Ok(bearer) }.boxed()
    }

    fn refused(&self) {}
}

/// What becomes of a forced hard reset of `lake/main` where lakeFS has these rules.
struct Case<'a> {
    config: GuardConfig,
    mode: Mode,
    /// `None`: they cannot be read.
    patterns: Option<&'a [&'a str]>,
}

impl Case<'_> {
    async fn heard(self) -> (u16, Option<String>, Vec<&'static str>, usize) {
        let lakefs = FakeLakefs::start().await;
        lakefs.protect("lake", self.patterns);
        if self.patterns.is_none() {
            lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let bearer = format!("Bearer {}", lakefs.token("admin")).parse().unwrap();
        let state = Arc::new(State::new(lakefs.client()));
        let guard = Guard::new(&self.config, self.mode, state, Some(Arc::new(Own(bearer))));
        let (answer, context, _) = send_through(guard).await;
        let header = |name| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let said = header(headers::RULE).or(header(headers::SHADOW));
        let shadow = context.facts().shadow_refusals.clone();
        let asked = lakefs.calls("/api/v1/repositories/lake/settings/branch_protection");
        (answer.status().as_u16(), said, shadow, asked)
    }
}

fn with(lakefs_rules: Option<LakefsRules>) -> GuardConfig {
    GuardConfig {
        lakefs_rules,
        ..GuardConfig::default()
    }
}

#[tokio::test]
async fn they_bite_by_default_and_what_cannot_be_read_is_refused_for_now() {
    use LakefsRules::{Enforce, Off, Shadow};
    let theirs = || Some("lakefs:ma*".to_owned());
    let key = || Some("guard.lakefs_rules".to_owned());
    let (enforce, observe) = (Mode::Enforce, Mode::Observe);
    for (how, mode, patterns, status, said, shadow, asked) in [
        (None, enforce, Some(&["dev", "ma*"][..]), 403, theirs(), vec![], 1),
        (None, enforce, Some(&["dev"][..]), 200, None, vec![], 1),
        (None, enforce, Some(&[][..]), 200, None, vec![], 1),
        (None, observe, Some(&["ma*"][..]), 200, theirs(), vec!["guarded"], 1),
        (
            Some(Shadow),
            enforce,
            Some(&["ma*"][..]),
            200,
            theirs(),
            vec!["guarded"],
            1,
        ),
        (Some(Off), enforce, Some(&["ma*"][..]), 200, None, vec![], 0),
        (Some(Enforce), enforce, None, 503, key(), vec![], 1),
        (None, observe, None, 200, None, vec!["protection-unknown"], 1),
        (Some(Shadow), enforce, None, 200, None, vec!["protection-unknown"], 1),
    ] {
        let case = Case {
            config: with(how),
            mode,
            patterns,
        };
        assert_eq!(
            case.heard().await,
            (status, said, shadow, asked),
            "{how:?} {mode:?} {patterns:?}"
        );
    }
}

/// Clients that know lakeFS's own refusals meet the same.
#[test]
fn what_lakefs_refuses_itself_is_refused_in_its_words() {
    let theirs = Rules::of_lakefs("lake", &["main".to_owned()]);
    let words = |operation, path: &str, rules| {
        let subject = Target {
            path: Some(path.to_owned()),
            ..target(Role::Subject, "lake", Some("main"))
        };
        let request = classified(operation, Force::Yes, vec![subject]);
        let decision = decide(asked(&request, &Method::POST), rules);
        match rejection(&decision.denied.unwrap(), &request) {
            Rejection::Protected { rule, message } => Some((rule, message)),
            _ => None,
        }
    };
    let by = "lakefs:main".to_owned();
    for (operation, said) in [
        (Operation::HardResetBranch, Some("protected branch")),
        (Operation::Commit, Some("cannot commit to protected branch")),
        (Operation::ResetBranch, Some("cannot write to protected branch")),
        (Operation::DeleteBranch, None),
        (Operation::RevertBranch, None),
        (Operation::DeleteObjects, None),
    ] {
        assert_eq!(
            words(operation, "a", &theirs),
            said.map(|said| (by.clone(), said)),
            "{operation}"
        );
    }
    assert_eq!(
        words(Operation::CreatePresignMultipartUpload, "_lakefs_actions/a", &theirs),
        None
    );
    let own = Rules::new(&rules(vec![rule("own", &["*"], &["main"])]));
    assert_eq!(words(Operation::HardResetBranch, "a", &own), None);
}

#[tokio::test]
async fn what_a_rule_of_the_gateway_refuses_asks_nobody() {
    let case = Case {
        config: rules(vec![rule("own", &["*"], &["main"])]),
        mode: Mode::Enforce,
        patterns: Some(&["main"]),
    };
    assert_eq!(case.heard().await, (403, Some("own".to_owned()), vec![], 0));
}

/// Every danger of `protect`, and what lakeFS's rule over `main` makes of it.
#[test]
fn a_rule_of_lakefs_is_protect_over_its_pattern_but_for_tags_users_and_itself() {
    let theirs = Rules::of_lakefs("lake", &["main".to_owned()]);
    let own = Rules::new(&GuardConfig {
        rules: vec![RuleConfig {
            hard_reset: HardResetMember::Any,
            ..rule("r", &["lake"], &["main"])
        }],
        ..GuardConfig::default()
    });
    for operation in Operation::ALL {
        for force in [Force::No, Force::Yes] {
            let subject = Target {
                path: Some("a".to_owned()),
                ..target(Role::Subject, "lake", Some("main"))
            };
            let request = classified(*operation, force, vec![subject]);
            let method = operation.spec().method.parse().unwrap_or(Method::POST);
            let by = |rules| {
                decide(asked(&request, &method), rules)
                    .denied
                    .map(|refusal| refusal.cause)
            };
            let meant = match by(&own) {
                _ if matches!(operation, Operation::DeleteTag | Operation::CreateTag) => None,
                Some(Cause::Danger(Danger::ProtectionRules | Danger::DeleteUser)) => None,
                other => other,
            };
            let said = by(&theirs);
            if meant.is_some() || force == Force::No {
                assert_eq!(said, meant, "{operation} {force:?}");
            }
        }
    }
}
