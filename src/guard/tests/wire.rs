//! What the rules say of requests as they come by the wire: the damage, people, places, hours.

use super::*;

/// What a request on the wire, sent by somebody, comes to: `allowed`, or who refuses what, or asks for it.
fn said(config: &str, sender: Option<&Principal>, method: &str, target: &str, body: &str) -> String {
    said_at("2026-11-27T12:00:00Z", config, sender, method, target, body)
}

fn said_at(now: &str, config: &str, sender: Option<&Principal>, method: &str, target: &str, body: &str) -> String {
    let config: crate::config::Config = serde_saphyr::from_str(config).unwrap();
    let rules = Rules::new(&config.guard);
    let request = http::Request::builder().method(method).uri(target).body(()).unwrap();
    let (head, ()) = request.into_parts();
    let mut classified = lakefs::classify(&head, &config.upstream.s3_domains).unwrap();
    classified.read_body(body.as_bytes());
    let asked = Asked {
        principal: sender,
        now: now.parse().unwrap(),
        ..asked(&classified, &head.method)
    };
    let decision = decide(asked, &rules);
    let words = |refusal: &Refusal<'_>| format!("{}: {}", refusal.by_name(), refusal.member());
    match (&decision.denied, decision.required.first()) {
        (Some(refusal), _) => words(refusal),
        (None, Some(required)) => format!("requires {}", words(required)),
        (None, None) => "allowed".to_owned(),
    }
}

const API: &str = "/api/v1/repositories/lake";

/// `tests/data/dangers.tsv` names every operation and what `protect` says of it, plain and forced, on `main` with a rule over `main`.
#[test]
fn the_preset_says_of_every_operation_what_the_table_says() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dangers.tsv")).unwrap();
    let config = GuardConfig {
        rules: vec![RuleConfig {
            hard_reset: HardResetMember::Any,
            ..rule("r", &["lake"], &["main"])
        }],
        ..GuardConfig::default()
    };
    let rules = Rules::new(&config);
    let said = |operation: Operation, force| {
        let subject = Target {
            path: Some("a".to_owned()),
            ..target(Role::Subject, "lake", Some("main"))
        };
        let request = classified(operation, force, vec![subject]);
        let method = operation.spec().method.parse().unwrap_or(Method::POST);
        let method = if operation.spec().method.is_empty() {
            Method::POST
        } else {
            method
        };
        let decision = decide(asked(&request, &method), &rules);
        decision.denied.map_or("-", |refusal| refusal.member())
    };
    let mut lines = String::from(
        "# What `preset: protect` refuses of each operation on a protected branch, plain and with `force`; `-`: it passes.\n",
    );
    for operation in Operation::ALL {
        let spec = operation.spec();
        let forced = match spec.force {
            ForceIn::Nothing => "",
            ForceIn::Query | ForceIn::Body => said(*operation, Force::Yes),
        };
        lines += format!("{}\t{}\t{forced}", spec.id, said(*operation, Force::No)).trim_end();
        lines.push('\n');
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/dangers.tsv"), &lines).unwrap();
    }
    for (line, written) in lines.lines().zip(table.lines()) {
        assert_eq!(line, written, "BLESS=1 writes the table anew; read what changed");
    }
    assert_eq!(lines.lines().count(), table.lines().count());
}

const PROTECT: &str = "guard: { rules: [{ name: stays, repositories: [lake], branches: [main], allow: [revert], except: { groups: [owners] } }] }";

#[test]
fn protected_is_protected_from_every_way_to_the_same_damage() {
    for (method, target, body, verdict) in [
        ("PUT", "/branches/main/hard_reset?ref=x", "", "stays: hard_reset"),
        ("DELETE", "/branches/main", "", "stays: delete_branch"),
        ("DELETE", "/branches/dev", "", "allowed"),
        (
            "POST",
            "/branches/main/revert",
            r#"{"ref":"x","parent_number":0}"#,
            "allowed",
        ),
        (
            "POST",
            "/branches/main/revert",
            r#"{"ref":"x","force":true}"#,
            "stays: force",
        ),
        (
            "POST",
            "/refs/dev/merge/main",
            r#"{"strategy":"source-wins"}"#,
            "stays: merge_source_wins",
        ),
        (
            "POST",
            "/refs/main/merge/dev",
            r#"{"strategy":"source-wins"}"#,
            "allowed",
        ),
        ("POST", "/branches/main/commits", r#"{"message":"m"}"#, "allowed"),
        (
            "POST",
            "/branches/dev/objects?path=_lakefs_actions%2Fx.yaml",
            "",
            "stays: actions",
        ),
        ("POST", "/branches/main/objects?path=x", "", "allowed"),
        ("POST", "/branches/main/objects?path=x&force=true", "", "stays: force"),
        ("DELETE", "/branches/main/objects?path=x", "", "stays: delete_objects"),
        (
            "POST",
            "/branches/main/objects/delete",
            r#"{"paths":["a"]}"#,
            "stays: delete_objects",
        ),
        ("DELETE", "/tags/v1", "", "stays: delete_tag"),
        ("POST", "/tags", r#"{"id":"v1","ref":"main"}"#, "allowed"),
        ("DELETE", "", "", "stays: delete_repository"),
        (
            "DELETE",
            "/branch_protection",
            r#"{"pattern":"main"}"#,
            "stays: protection_rules",
        ),
        ("PUT", "/branches/main/brand-new", "", "stays: unknown_mutation"),
    ] {
        let target = format!("{API}{target}");
        assert_eq!(said(PROTECT, None, method, &target, body), verdict, "{method} {target}");
        let owner = principal("olga", &["owners"]);
        assert_eq!(said(PROTECT, Some(&owner), method, &target, body), "allowed");
    }
    assert_eq!(
        said(PROTECT, None, "DELETE", "/api/v1/auth/users/admin", ""),
        "stays: delete_user"
    );
    let s3 = "/lake/main/a?X-Amz-Credential=x";
    assert_eq!(said(PROTECT, None, "DELETE", s3, ""), "stays: delete_objects");
    assert_eq!(said(PROTECT, None, "PUT", s3, ""), "allowed");
    let table = "/iceberg/api/v1/namespaces/lake%1Fmain/tables/t";
    assert_eq!(said(PROTECT, None, "DELETE", table, ""), "stays: delete_objects");
    assert_eq!(said(PROTECT, None, "POST", table, ""), "allowed");
}

/// Ten people on one lakeFS, in twenty lines.
const ROLES: &str = r#"
guard:
  roles:
    - { role: reader, groups: [analysts], repositories: ["lake", "pond"] }
    - { role: writer, users: [anna], repositories: [lake], branches: ["dev-*"] }
    - { role: releaser, groups: [release], repositories: [lake] }
    - { role: admin, users: [root] }
  rules:
    - { name: secret, operations: [getObject, "s3:GetObject", listObjects], repositories: [lake], paths: ["secret/*"], except: { users: [root] } }
"#;

#[test]
fn roles_grant_and_what_nothing_grants_is_refused() {
    let (analyst, anna) = (principal("alan", &["analysts"]), principal("anna", &["analysts"]));
    let (release, root) = (principal("rita", &["release"]), principal("root", &[]));
    let none = "guard.default: ";
    for (sender, method, target, body, verdict) in [
        (Some(&analyst), "GET", "/refs/main/objects?path=a", "", "allowed"),
        (
            Some(&analyst),
            "GET",
            "/refs/main/objects?path=secret/a",
            "",
            "secret: getObject",
        ),
        (
            Some(&analyst),
            "GET",
            "/refs/main/objects/ls?prefix=sec",
            "",
            "secret: listObjects",
        ),
        (
            Some(&analyst),
            "GET",
            "/refs/main/objects/ls?prefix=open/",
            "",
            "allowed",
        ),
        (Some(&root), "GET", "/refs/main/objects?path=secret/a", "", "allowed"),
        (Some(&analyst), "POST", "/branches/dev-1/objects?path=a", "", none),
        (Some(&anna), "POST", "/branches/dev-1/objects?path=a", "", "allowed"),
        (Some(&anna), "POST", "/branches/main/objects?path=a", "", none),
        (
            Some(&anna),
            "POST",
            "/branches",
            r#"{"name":"dev-2","source":"main"}"#,
            "allowed",
        ),
        (
            Some(&anna),
            "POST",
            "/branches",
            r#"{"name":"main2","source":"main"}"#,
            none,
        ),
        (
            Some(&anna),
            "POST",
            "/branches/dev-1/objects/copy?dest_path=a",
            r#"{"src_path":"b"}"#,
            "allowed",
        ),
        (
            Some(&anna),
            "POST",
            "/pulls",
            r#"{"title":"t","source_branch":"dev-1","destination_branch":"main"}"#,
            "allowed",
        ),
        (Some(&anna), "PUT", "/pulls/1/merge", "", none),
        (Some(&anna), "DELETE", "/branches/dev-1", "", none),
        (Some(&anna), "DELETE", "", "", none),
        (Some(&release), "POST", "/refs/dev-1/merge/main", "{}", "allowed"),
        (Some(&release), "PUT", "/branches/main/hard_reset?ref=x", "", none),
        (Some(&root), "PUT", "/branches/main/hard_reset?ref=x", "", "allowed"),
        (None, "GET", "/refs/main/objects?path=a", "", none),
    ] {
        let target = format!("{API}{target}");
        let heard = said(ROLES, sender, method, &target, body);
        assert!(
            heard.starts_with(verdict),
            "{:?} {method} {target}: {heard}",
            sender.map(|s| &s.name)
        );
    }
    let ask = |sender, method, target: &str| said(ROLES, sender, method, target, "");
    assert!(
        ask(
            Some(&analyst),
            "GET",
            "/api/v1/repositories/sea/refs/main/objects?path=a"
        )
        .starts_with(none)
    );
    assert_eq!(ask(Some(&analyst), "GET", "/api/v1/repositories"), "allowed");
    assert_eq!(ask(Some(&anna), "GET", "/api/v1/user"), "allowed");
    assert!(ask(Some(&anna), "POST", "/api/v1/auth/users").starts_with(none));
    assert_eq!(ask(None, "POST", "/api/v1/auth/login"), "allowed");
    assert_eq!(ask(None, "GET", "/repositories/lake"), "allowed");
    let [lake, sea] = ["lake", "sea"].map(|name| format!("/iceberg/api/v1/namespaces/{name}%1Fmain/tables/t"));
    assert_eq!(ask(Some(&analyst), "GET", &lake), "allowed");
    assert!(ask(Some(&analyst), "GET", &sea).starts_with(none));
    assert!(ask(Some(&analyst), "POST", &lake).starts_with(none));
    assert!(ask(None, "GET", "/iceberg/api/v1/config").starts_with(none));
}

#[test]
fn a_role_on_some_branches_gives_none_of_the_others() {
    let config = "guard: { roles: [{ role: reader, users: [anna], repositories: [lake], branches: [open] }] }";
    let anna = principal("anna", &[]);
    for (target, allowed) in [
        ("/refs/open/objects?path=a", true),
        ("/refs/open~3/objects?path=a", true),
        ("/refs/open@/objects?path=a", true),
        ("/refs/main/objects?path=a", false),
        ("/refs/0123456789abcdef/objects?path=a", false),
        ("/refs/open/diff/main", false),
        ("/branches/open", true),
        ("/branches", true),
        ("/metadata/meta_range/x", false),
    ] {
        let heard = said(config, Some(&anna), "GET", &format!("{API}{target}"), "");
        assert_eq!(heard == "allowed", allowed, "{target}: {heard}");
    }
}

#[test]
fn a_rule_may_ask_for_something_or_freeze_for_a_while() {
    let config = r#"
guard:
  rules:
    - { name: two-eyes, dangers: [delete_branch], branches: [main], effect: require_approval }
    - { name: sure, dangers: [delete_branch], branches: ["*"], effect: require_confirmation }
    - { name: night, operations: [mergeIntoBranch], effect: freeze, when: { hours: "22:00-06:00", timezone: Europe/Berlin } }
    - { name: never, operations: [deleteBranch], branches: [gold] }
"#;
    let ask = |method, target: &str| said(config, None, method, &format!("{API}{target}"), "");
    assert_eq!(ask("DELETE", "/branches/main"), "requires two-eyes: delete_branch");
    assert_eq!(ask("DELETE", "/branches/dev"), "requires sure: delete_branch");
    assert_eq!(ask("DELETE", "/branches/gold"), "never: deleteBranch");
    let merge = |now| said_at(now, config, None, "POST", &format!("{API}/refs/a/merge/b"), "");
    assert_eq!(merge("2026-11-27T12:00:00Z"), "allowed");
    assert_eq!(merge("2026-11-27T21:30:00Z"), "night: mergeIntoBranch");
}

#[test]
fn a_listing_of_repositories_shows_what_one_may_know_of() {
    let config: crate::config::Config = serde_saphyr::from_str(ROLES).unwrap();
    let rules = Rules::new(&config.guard);
    let listing = classified(Operation::ListRepositories, Force::No, Vec::new());
    let sees = |sender: &Principal, repository| {
        let asked = Asked {
            principal: Some(sender),
            ..asked(&listing, &Method::GET)
        };
        may_see(repository, asked, &rules)
    };
    assert!(sees(&principal("alan", &["analysts"]), "pond") && !sees(&principal("anna", &[]), "pond"));
    assert!(sees(&principal("anna", &[]), "lake") && sees(&principal("root", &[]), "sea"));
    assert!(!sees(&principal("alan", &["analysts"]), "sea"));
}
