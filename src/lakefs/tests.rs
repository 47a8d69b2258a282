//! What lakeFS would do with a request, by a small model of Go's URL, chi and oapi-codegen, against what is made of it here.
//!
//! The model is written from their sources' words, not from ours: it encodes anew and compares, and tries every template in turn.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;

use super::*;

/// Guarded operations: method, template, id.
const GUARDED: [(&str, &str, &str); 6] = [
    (
        "PUT",
        "/api/v1/repositories/{r}/branches/{b}/hard_reset",
        "hardResetBranch",
    ),
    ("PUT", "/api/v1/repositories/{r}/branches/{b}", "resetBranch"),
    ("DELETE", "/api/v1/repositories/{r}/branches/{b}", "deleteBranch"),
    ("POST", "/api/v1/repositories/{r}/branches/{b}/commits", "commit"),
    ("POST", "/api/v1/repositories/{r}/refs/{s}/merge/{b}", "mergeIntoBranch"),
    ("POST", "/api/v1/repositories/{r}/branches/{b}/objects", "uploadObject"),
];

/// What lakeFS binds: operation, repository, branch.
type Bound = (&'static str, Vec<u8>, Vec<u8>);

fn model_unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let digits = std::str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(u8::from_str_radix(digits, 16).ok()?);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

fn model_escape(path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte);
    let escape = |byte: &u8| {
        if plain(byte) {
            vec![*byte]
        } else {
            format!("%{byte:02X}").into_bytes()
        }
    };
    path.iter().flat_map(escape).collect()
}

fn model(method: &str, raw: &str) -> Option<Bound> {
    let decoded = model_unescape(raw.as_bytes(), false)?;
    let routed = if model_escape(&decoded) == raw.as_bytes() {
        decoded
    } else {
        raw.as_bytes().to_vec()
    };
    let segments: Vec<&[u8]> = routed.split(|byte| *byte == b'/').collect();
    GUARDED.iter().find_map(|(of, template, id)| {
        let template: Vec<&str> = template.split('/').collect();
        if *of != method || template.len() != segments.len() {
            return None;
        }
        let (mut repository, mut branch) = (Vec::new(), Vec::new());
        for (name, segment) in template.iter().zip(&segments) {
            match *name {
                "{r}" => repository = model_unescape(segment, true)?,
                "{b}" => branch = model_unescape(segment, true)?,
                "{s}" if segment.is_empty() || model_unescape(segment, true).is_none() => return None,
                "{s}" => (),
                constant if constant.as_bytes() == *segment => (),
                _ => return None,
            }
        }
        let words = |name: &[u8], more: fn(&u8) -> bool| {
            name.first() != Some(&b'-') && name.iter().all(|byte| *byte == b'-' || more(byte))
        };
        let valid = (3..=63).contains(&repository.len())
            && words(&repository, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && !branch.is_empty()
            && words(&branch, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        valid.then_some((*id, repository, branch))
    })
}

/// Text with some of its characters encoded, once or more often, or replaced.
fn spelt(text: &'static str) -> impl Strategy<Value = String> {
    let character = |c: char| {
        let code = c as u32;
        prop_oneof![
            12 => Just(c.to_string()),
            2 => Just(format!("%{code:02X}")),
            1 => Just(format!("%{code:02x}")),
            2 => Just(format!("%25{code:02X}")),
            1 => Just(format!("%2525{code:02X}")),
        ]
    };
    let whole = |depth: &'static str| {
        text.bytes()
            .map(|byte| format!("{depth}{byte:02X}"))
            .collect::<String>()
    };
    prop_oneof![
        4 => Just(text.to_owned()),
        1 => Just(whole("%")),
        1 => Just(whole("%25")),
        4 => text.chars().map(character).collect::<Vec<_>>().prop_map(|characters| characters.concat()),
    ]
}

fn target() -> impl Strategy<Value = (&'static str, String)> {
    let names = (spelt("repo-1"), spelt("main_2"), spelt("dev"));
    let constants = prop_oneof![8 => Just(false), 1 => Just(true)];
    let junk = prop_oneof![8 => Just(""), 3 => prop::sample::select(vec!["/", "!", "+", "%20", "%2F", ";x", "//", "/.", "%zz", "ä", "*"])];
    (0..GUARDED.len(), names, constants, any::<prop::sample::Index>(), junk).prop_map(
        |(which, (repository, branch, source), constant, place, junk)| {
            let (method, template, _) = GUARDED[which];
            let mut path = template
                .replace("{r}", &repository)
                .replace("{b}", &branch)
                .replace("{s}", &source);
            if constant {
                path = path.replacen("ranches", "%72anches", 1);
            }
            let places: Vec<usize> = path.char_indices().map(|(at, _)| at).chain([path.len()]).collect();
            path.insert_str(*place.get(&places), junk);
            (method, path)
        },
    )
}

fn head(method: &str, target: &str) -> Option<Parts> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "gateway")
        .body(())
        .ok()?;
    Some(request.into_parts().0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_lakefs_binds_as_guarded_is_that_or_malformed((method, path) in target(), query in "(\\?[a-zA-Z%&=;+0-9]{0,12})?") {
        let Some(head) = head(method, &format!("{path}{query}")) else { return Ok(()) };
        let domains = ["s3.example.org".to_owned()];
        let Some((id, repository, branch)) = model(method, &path) else { return Ok(()) };
        if let Ok(classified) = classify(&head, &domains) {
            prop_assert_eq!(classified.operation.spec().id, id);
            let (r, b) = classified.branch().unwrap();
            prop_assert_eq!((r.as_bytes(), b.as_bytes()), (&*repository, &*branch));
        }
    }

    #[test]
    fn no_request_makes_it_panic(
        method in prop_oneof![4 => "[A-Z]{1,7}", 1 => "[a-z!#$]{1,4}"],
        prefix in prop::sample::select(vec!["/", "/api/v1/", "/api/v1/repositories/r/branches/", "http://s3.example.org/", "*", ""]),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        host in prop::collection::vec(any::<u8>(), 0..20),
        copy in prop::collection::vec(any::<u8>(), 0..20),
        signed in any::<bool>(),
    ) {
        let mut target = prefix.as_bytes().to_vec();
        target.extend(rest.iter().map(|byte| if *byte < 0x21 { b'%' } else { *byte }));
        let (Ok(uri), Ok(method)) = (Uri::try_from(target), Method::from_bytes(method.as_bytes())) else { return Ok(()) };
        let (mut head, ()) = Request::new(()).into_parts();
        (head.uri, head.method) = (uri, method);
        for (name, value) in [("host", host), ("x-amz-copy-source", copy)] {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                head.headers.insert(HeaderName::from_static(name), value);
            }
        }
        if signed {
            head.headers.insert("x-amz-signature", HeaderValue::from_static("x"));
        }
        let _ = classify(&head, &["s3.example.org".to_owned(), ":".to_owned()]);
    }
}

/// The model is worth something: it binds what a running lakeFS bound, and not what it did not.
#[test]
fn the_model_binds_what_was_seen() {
    let bound = |path: &str| model("PUT", &format!("/api/v1/repositories/{path}/hard_reset")).is_some();
    for path in [
        "repo/branches/%6Dain",
        "repo/branches/%256D%2561%2569%256E",
        "%2572epo/branches/main",
        "%72epo/branches/%6Dain",
    ] {
        assert!(bound(path), "{path}");
    }
    for path in [
        "repo/branches/%25256Dain",
        "%72epo/branches/%256Dain",
        "repo/branches/main+",
        "repo/br%61nches/main",
        "repo/branches/main/",
    ] {
        assert!(!bound(path), "{path}");
    }
}

#[test]
fn an_absolute_target_beats_the_host_header() {
    let domains = ["s3.example.org".to_owned()];
    let said = |target: &str| classify(&head("DELETE", target).unwrap(), &domains).unwrap();
    let s3 = said("http://u:p@s3.example.org:80/r/main/a");
    assert_eq!(
        (s3.operation, s3.protocol, s3.branch()),
        (Operation::S3DeleteObject, Protocol::S3, Some(("r", "main")))
    );
    assert_eq!(said("http://r.s3.example.org/main/a").branch(), Some(("r", "main")));
    assert_eq!(said("http://other/r/main/a").protocol, Protocol::Web);
    assert_eq!(said("http://other/api/v1/repositories/r/tags/t").branch(), None);
    assert_eq!(said("/api/v1").operation, Operation::UnknownApi);
    assert_eq!(said("/api/v1x").operation, Operation::Ui);
}
