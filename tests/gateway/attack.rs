//! Every way to hurt a protected branch, spelt in every way, against an independent model of what lakeFS would bind: what does damage is
//! refused, and what is plain and harmless is not. Classification and guard as a whole, without the wire (tests/live/attack has that, and a
//! real lakeFS).

use http::{HeaderValue, Method, Request};
use lakegate::config::{GuardConfig, Preset, RuleConfig};
use lakegate::guard::{Asked, Rules, decide};
use lakegate::lakefs;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::attack_model::{API, Attempt, BRANCH, Fields, ForceIn, REPOSITORY, S3_DOMAIN, When};

fn rules() -> Rules {
    Rules::new(&GuardConfig {
        rules: vec![RuleConfig {
            name: "stays".to_owned(),
            repositories: vec![REPOSITORY.to_owned()],
            branches: Some(vec![BRANCH.to_owned()]),
            preset: Some(Preset::Protect),
            ..RuleConfig::default()
        }],
        ..GuardConfig::default()
    })
}

/// An attempt, with the body that it has on the wire.
#[derive(Debug, Clone)]
struct Sent {
    attempt: Attempt,
    body: String,
}

/// Whether lakegate refuses it; nothing where it is no request for `http`.
fn refused(sent: &Sent, rules: &Rules) -> Option<bool> {
    let Attempt {
        method,
        path,
        query,
        host,
        marked,
        ..
    } = &sent.attempt;
    let target = if query.is_empty() {
        path.clone()
    } else {
        format!("{path}?{query}")
    };
    // The door refuses what `http::Uri` would cut off.
    if target.contains('#') {
        return Some(true);
    }
    let mut request = Request::builder()
        .method(&**method)
        .uri(&target)
        .header("host", &**host);
    if *marked {
        request = request.header("x-amz-signature", HeaderValue::from_static("x"));
    }
    let head = request.body(()).ok()?.into_parts().0;
    let Ok(mut classified) = lakefs::classify(&head, &[S3_DOMAIN.to_owned()]) else {
        return Some(true);
    };
    if classified.operation.spec().inspected {
        classified.read_body(sent.body.as_bytes());
    }
    let method: Method = head.method;
    let asked = Asked {
        classified: &classified,
        method: &method,
        principal: None,
        address: [127, 0, 0, 1].into(),
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    Some(decide(asked, rules).denied.is_some())
}

/// Text with some characters encoded, once or more often.
fn spelt(text: &'static str) -> BoxedStrategy<String> {
    let character = |c: char| {
        let code = u32::from(c);
        prop_oneof![
            14 => Just(c.to_string()),
            2 => Just(format!("%{code:02X}")),
            1 => Just(format!("%{code:02x}")),
            2 => Just(format!("%25{code:02X}")),
            1 => Just(format!("%2525{code:02X}")),
        ]
    };
    let whole = |by: &str| text.bytes().map(|byte| format!("{by}{byte:02X}")).collect::<String>();
    prop_oneof![
        8 => Just(text.to_owned()),
        1 => Just(whole("%")),
        1 => Just(whole("%25")),
        4 => text.chars().map(character).collect::<Vec<_>>().prop_map(|characters| characters.concat()),
    ]
    .boxed()
}

/// Text with something put into it now and then.
fn disturbed(text: impl Strategy<Value = String>, junk: &'static [&'static str]) -> impl Strategy<Value = String> {
    (
        text,
        prop_oneof![5 => Just(""), 2 => select(junk)],
        any::<prop::sample::Index>(),
    )
        .prop_map(|(mut text, junk, at)| {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            text.insert_str(*at.get(&places), junk);
            text
        })
}

const IN_PATHS: &[&str] = &[
    "/", "!", "+", "%20", "%2F", ";x", "//", "/.", "%zz", "*", "%", "@", "%00", "#", "%C0%AF",
];
const IN_QUERIES: &[&str] = &[
    "&",
    ";",
    "%",
    "=",
    "+",
    "&&",
    "%00",
    "&force=false",
    "&path=x",
    "#",
    "&X-Amz-Credential=",
    "&uploadId",
    "&delete",
    "&force=true;",
];

fn query(parts: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let pairs: Vec<_> = parts
        .into_iter()
        .map(|(name, value)| (spelt(name), value).prop_map(|(name, value)| format!("{name}={value}")))
        .collect();
    disturbed(pairs.prop_shuffle().prop_map(|pairs| pairs.join("&")), IN_QUERIES).boxed()
}

/// A key's text and the name that it stands for.
fn key(name: &'static str) -> BoxedStrategy<(String, String)> {
    let letter = |c: char| {
        prop_oneof![
            8 => Just((c.to_string(), c)),
            1 => Just((c.to_ascii_uppercase().to_string(), c.to_ascii_uppercase())),
            1 => Just((format!("\\u{:04x}", u32::from(c)), c)),
            1 => Just(match c { 's' => ("\u{17f}".to_owned(), '\u{17f}'), other => (other.to_string(), other) }),
        ]
    };
    let spelt = name
        .chars()
        .map(letter)
        .collect::<Vec<_>>()
        .prop_map(|letters| letters.into_iter().unzip());
    prop_oneof![2 => Just((name.to_owned(), name.to_owned())), 3 => spelt].boxed()
}

/// A JSON object with `wanted` in it, others around, and what may follow it. Its text, and what it says.
fn json(wanted: &[(&'static str, String)]) -> BoxedStrategy<(String, Fields)> {
    let own = wanted
        .iter()
        .map(|(name, value)| (key(name), Just(value.clone())).boxed())
        .collect::<Vec<_>>();
    let other = (
        prop_oneof![key("force"), key("strategy"), key("message"), key("name"), key("paths")],
        select(vec![
            "false",
            "null",
            "true",
            "\"x\"",
            "\"dest-wins\"",
            "[]",
            "{\"force\":true}",
            "-1.5e99",
        ])
        .prop_map(str::to_owned),
    );
    let tail = prop_oneof![6 => Just(""), 1 => select(vec!["garbage", "{}", "\n", "{\"force\":false}", "\0"])];
    (own, prop::collection::vec(other, 0..3), tail)
        .prop_flat_map(|(own, others, tail)| {
            (
                [own, others]
                    .concat()
                    .into_iter()
                    .map(Just)
                    .collect::<Vec<_>>()
                    .prop_shuffle(),
                Just(tail),
            )
        })
        .prop_map(|(pairs, tail)| {
            let text = pairs
                .iter()
                .map(|((text, _), value)| format!("\"{text}\":{value}"))
                .collect::<Vec<_>>()
                .join(",");
            let fields = pairs.into_iter().map(|((_, name), value)| (name, value)).collect();
            (format!("{{{text}}}{tail}"), Fields(fields))
        })
        .boxed()
}

const HOOK: &str = "_lakefs_actions/x.yaml";

fn text(text: &str) -> String {
    format!("\"{text}\"")
}

/// What each operation is given so that it does damage, or nearly.
fn parts(when: When) -> (BoxedStrategy<String>, BoxedStrategy<(String, Fields)>) {
    let forced = || {
        prop_oneof![3 => select(vec!["true", "1", "T", "True"]), 1 => select(vec!["false", "yes", ""])]
            .prop_map(str::to_owned)
            .boxed()
    };
    let nothing = || json(&[]);
    let with_force = || json(&[("force", "true".to_owned())]);
    match when {
        When::Hook(parameter, force) => {
            let path = prop_oneof![3 => spelt(HOOK), 1 => spelt("a/b")].boxed();
            match force {
                ForceIn::Query => (query(vec![(parameter, path), ("force", forced())]), nothing()),
                ForceIn::Body => (query(vec![(parameter, path)]), with_force()),
                ForceIn::Nothing => (query(vec![(parameter, path)]), nothing()),
            }
        }
        When::Branch => (
            query(vec![
                ("ref", spelt("main~1")),
                ("path", spelt("a/b")),
                ("force", forced()),
            ]),
            nothing(),
        ),
        When::Repository | When::Anywhere => (query(vec![("force", forced())]), nothing()),
        When::Merge => (query(vec![]), json(&[("strategy", text("source-wins"))])),
        When::Commit => {
            let metarange = prop_oneof![
                query(vec![("source_metarange", spelt("abc"))]),
                query(vec![("x", spelt("y"))])
            ];
            (metarange.boxed(), with_force())
        }
        When::Forced => (query(vec![]), with_force()),
        When::ForcedNamed => (
            query(vec![]),
            json(&[("name", text(BRANCH)), ("force", "true".to_owned())]),
        ),
        When::Import => {
            let to = |destination: &str| json(&[("paths", format!("[{{\"destination\":\"{destination}\"}}]"))]);
            let body = prop_oneof![to(HOOK), to(""), to("_lakefs_"), to("x/")];
            (query(vec![]), body.boxed())
        }
    }
}

fn of_the_api() -> impl Strategy<Value = Sent> {
    (0..API.len()).prop_flat_map(|which| {
        let (method, template, when) = API[which];
        let branch = prop_oneof![5 => spelt(BRANCH), 1 => spelt("dev")];
        let names = (
            prop_oneof![9 => spelt(REPOSITORY), 1 => spelt("other")],
            branch,
            spelt("v1"),
        );
        let path = names.prop_map(move |(repository, branch, source)| {
            let base = if when == When::Anywhere {
                "/api/v1"
            } else {
                "/api/v1/repositories/{r}"
            };
            format!("{base}{template}")
                .replace("{r}", &repository)
                .replace("{b}", &branch)
                .replace("{s}", &source)
        });
        let host = select(vec![
            "gateway",
            "gateway",
            "gateway",
            "gateway",
            S3_DOMAIN,
            "S3.EXAMPLE.ORG",
        ]);
        (disturbed(path, IN_PATHS), parts(when), host).prop_map(move |(path, (query, (body, fields)), host)| Sent {
            attempt: Attempt {
                method: method.to_owned(),
                path,
                query,
                host: host.to_owned(),
                marked: false,
                fields,
                keys: Vec::new(),
            },
            body,
        })
    })
}

/// A key of a DeleteObjects, and one of its spellings.
fn xml_key() -> impl Strategy<Value = (String, String)> {
    let letter = |c: char| prop_oneof![6 => Just(c.to_string()), 1 => Just(format!("&#{};", u32::from(c))), 1 => Just(format!("<![CDATA[{c}]]>")), 1 => Just(format!("{c}<!-- x --><y>z</y>"))];
    let spelt = move |text: String| {
        let letters = text.chars().map(letter).collect::<Vec<_>>();
        (Just(text), letters.prop_map(|letters| letters.concat()))
    };
    let start = select(vec!["", "/"]);
    (start, prop_oneof![2 => Just(BRANCH), 1 => Just("dev")], "[a-c/]{1,4}")
        .prop_flat_map(move |(start, branch, path)| spelt(format!("{start}{branch}/{path}")))
}

fn of_s3() -> impl Strategy<Value = Sent> {
    let path = prop_oneof![3 => (spelt(BRANCH), spelt("a/b")), 2 => (spelt("dev"), spelt(HOOK)), 1 => (spelt(BRANCH), spelt(HOOK))];
    let place = prop_oneof![
        3 => (spelt(REPOSITORY), path.clone()).prop_map(|(repository, (branch, path))| (S3_DOMAIN.to_owned(), format!("/{repository}/{branch}/{path}"))),
        1 => path.prop_map(|(branch, path)| (format!("{REPOSITORY}.{S3_DOMAIN}:80"), format!("/{branch}/{path}"))),
        2 => Just((S3_DOMAIN.to_owned(), format!("/{REPOSITORY}"))),
        1 => Just((format!("{REPOSITORY}.{S3_DOMAIN}"), "/".to_owned())),
        1 => (spelt(REPOSITORY), spelt(BRANCH)).prop_map(|(repository, branch)| ("gateway".to_owned(), format!("/{repository}/{branch}/a"))),
    ];
    let signed = prop_oneof![5 => Just(""), 1 => Just("X-Amz-Credential=x"), 1 => Just("AWSAccessKeyId=x"), 1 => Just("X-Amz-Credential=x;y"), 1 => Just("X-Amz-Credential=")];
    let asked = prop_oneof![
        Just(""),
        Just("delete"),
        Just("%64elete="),
        Just("uploadId=u"),
        Just("uploadId"),
        Just("uploads"),
        Just("uploadId=;"),
        Just("x-id=PutObject")
    ];
    let keys = prop::collection::vec(xml_key(), 1..3);
    let method = select(vec!["DELETE", "PUT", "POST", "GET", "delete"]);
    (
        place.clone(),
        disturbed((signed, asked).prop_map(|(a, b)| [a, b].join("&")), IN_QUERIES),
        keys,
        method,
        any::<bool>(),
    )
        .prop_map(|((host, path), query, keys, method, marked)| {
            let (keys, spelt): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
            let objects: String = spelt
                .iter()
                .map(|key| format!("<Object><Key>{key}</Key></Object>"))
                .collect();
            Sent {
                attempt: Attempt {
                    method: method.to_owned(),
                    path,
                    query,
                    host,
                    marked,
                    fields: Fields::default(),
                    keys,
                },
                body: format!("<Delete>{objects}</Delete>"),
            }
        })
}

/// Fires some thousands of a kind (ten times `PROPTEST_CASES`): how many those are, how many did damage, and which of these passed.
fn fired(attempts: impl Strategy<Value = Sent>) -> (u32, u32, Vec<Sent>) {
    let (rules, count) = (rules(), Config::default().cases * 10);
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut damage, mut slips) = (0, Vec::new());
    for _ in 0..count {
        let sent = attempts.new_tree(&mut runner).unwrap().current();
        if sent.attempt.does_damage() {
            damage += 1;
            if refused(&sent, &rules) == Some(false) {
                slips.push(sent);
            }
        }
    }
    (count, damage, slips)
}

#[test]
fn what_lakefs_api_would_bind_as_damage_is_refused() {
    let (count, damage, slips) = fired(of_the_api());
    assert!(
        slips.is_empty(),
        "{} of {damage}, first {:#?}",
        slips.len(),
        slips.first()
    );
    assert!(
        damage > count / 10,
        "only {damage} of {count} did damage: they are not worth firing"
    );
}

#[test]
fn what_lakefs_s3_gateway_would_bind_as_damage_is_refused() {
    let (count, damage, slips) = fired(of_s3());
    assert!(
        slips.is_empty(),
        "{} of {damage}, first {:#?}",
        slips.len(),
        slips.first()
    );
    assert!(
        damage > count / 20,
        "only {damage} of {count} did damage: they are not worth firing"
    );
}

/// The model is worth something: it binds what a running lakeFS did, and not what it did not (lakefs-live, sections 3 and 11).
#[test]
fn the_model_finds_damage_where_a_running_lakefs_did_it() {
    let attempt = |method: &str, target: &str, host: &str, fields: &[(&str, &str)]| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Attempt {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            host: host.to_owned(),
            marked: false,
            fields: Fields(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            keys: vec!["/main_2/a".to_owned()],
        }
        .does_damage()
    };
    let api = "/api/v1/repositories/repo-1";
    for (method, target, host, fields) in [
        ("PUT", "/branches/%6Dain_2/hard_reset", "h", &[][..]),
        ("DELETE", "/branches/%256Dain_2", "h", &[]),
        ("POST", "/branches/dev/objects?p%61th=_lakefs_actions%2Fx", "h", &[]),
        (
            "POST",
            "/branches/main_2/commits",
            "h",
            &[("force", "false"), ("Force", "true")],
        ),
        (
            "POST",
            "/refs/dev/merge/main_2",
            "h",
            &[("\u{17f}trategy", "\"source-wins\"")],
        ),
        ("POST", "/branches/dev/objects?path=a&path=_lakefs_actions/x", "h", &[]),
    ] {
        let damage = !target.contains("path=a&");
        assert_eq!(
            attempt(method, &format!("{api}{target}"), host, fields),
            damage,
            "{target}"
        );
    }
    for (method, target, host, damage) in [
        ("DELETE", "/repo-1%2Fmain_2%2Fa", S3_DOMAIN, true),
        ("DELETE", "/repo-1/%256Dain_2/a", S3_DOMAIN, false),
        ("DELETE", "/main_2/a", "repo-1.s3.example.org:80", true),
        ("DELETE", "/repo-1/main_2/a?uploadId=", S3_DOMAIN, false),
        ("POST", "/repo-1?%64elete", S3_DOMAIN, true),
        ("DELETE", "/repo-1/main_2/a?X-Amz-Credential=x", "h", true),
        ("DELETE", "/repo-1/main_2/a?X-Amz-Credential=x;y", "h", false),
    ] {
        assert_eq!(attempt(method, target, host, &[]), damage, "{target}");
    }
}

/// Plain work as clients send it, on the protected branch too.
#[test]
fn plain_harmless_requests_pass() {
    let rules = rules();
    let api = |method: &str, target: &str, body: &str| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Sent {
            attempt: Attempt {
                method: method.to_owned(),
                path: format!("/api/v1/repositories/repo-1{path}"),
                query: query.to_owned(),
                host: "gateway".to_owned(),
                marked: false,
                fields: Fields::default(),
                keys: Vec::new(),
            },
            body: body.to_owned(),
        }
    };
    let mut plain = vec![
        api(
            "POST",
            "/branches/dev/import",
            r#"{"paths":[{"path":"s3://x/","type":"common_prefix","destination":"in/"}],"commit":{"message":"m"}}"#,
        ),
        api(
            "POST",
            "/refs/dev/merge/main_2",
            r#"{"message":"source-wins","strategy":"dest-wins","force":false}"#,
        ),
        api(
            "POST",
            "/branches/main_2/commits",
            r#"{"message":"force","metadata":{"force":"true","strategy":"source-wins"}}"#,
        ),
        api("POST", "/branches/main_2/objects?path=x%2F_lakefs_actions%2Fy", ""),
        api("POST", "/branches/main_2/objects?path=_lakefs_action", ""),
        api("POST", "/branches", r#"{"name":"new","source":"main_2"}"#),
        api("POST", "/tags", r#"{"id":"v2","ref":"main_2","force":false}"#),
        api("POST", "/branches/dev/objects/delete", r#"{"paths":["main_2/a"]}"#),
        api("PUT", "/pulls/1/merge", ""),
        api(
            "POST",
            "/pulls",
            r#"{"title":"t","source_branch":"dev","destination_branch":"main_2"}"#,
        ),
    ];
    for branch in ["dev", "main", "main_22", "Main_2", "main-2"] {
        plain.push(api(
            "PUT",
            &format!("/branches/{branch}/hard_reset?ref=main_2&force=true"),
            "",
        ));
        plain.push(api("DELETE", &format!("/branches/{branch}"), ""));
        plain.push(api("PUT", &format!("/branches/{branch}"), r#"{"type":"reset"}"#));
        plain.push(api(
            "POST",
            &format!("/branches/{branch}/revert"),
            r#"{"ref":"main_2","parent_number":0}"#,
        ));
        plain.push(api(
            "POST",
            &format!("/refs/main_2/merge/{branch}"),
            r#"{"strategy":"source-wins","force":true}"#,
        ));
    }
    for (method, path) in [
        ("GET", "/repo-1/main_2/a%20b"),
        ("PUT", "/repo-1/main_2/a"),
        ("DELETE", "/repo-1/dev/main_2/a"),
        ("HEAD", "/repo-1/main_2/_lakefs_actions/x"),
    ] {
        let mut sent = api(method, "", "");
        (sent.attempt.path, sent.attempt.host) = (path.to_owned(), S3_DOMAIN.to_owned());
        plain.push(sent);
    }
    for sent in plain {
        assert!(!sent.attempt.does_damage(), "{sent:?}");
        assert_eq!(refused(&sent, &rules), Some(false), "{sent:?}");
    }
}
