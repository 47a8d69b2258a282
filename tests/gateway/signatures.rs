//! Requests signed with a gateway key, through the whole gateway: they arrive under lakeFS's own signature and are otherwise what they
//! were, and no part of one can be changed on the way without being refused.

use lakegate::config::types::Secret;
use lakegate::config::{Config, LakefsRules, LoginConfig, MintConfig, S3KeyConfig, UpstreamIdentity};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ServedLakefs, ok};
use super::support::raw::{Message, soon};
use super::support::signer::{Payload, Request, Signer};

const LAKEFS: (&str, &str) = ("AKIALAKEFS0000000001", "the-secret-that-lakefs-knows");
const ALICE: (&str, &str) = ("LGKALICE000000000001", "the-secret-of-alice");
const BOB: (&str, &str) = ("LGKBOB00000000000001", "the-secret-of-bob");
const HOST: &str = "s3.local.lakefs.io:8000";

/// A gateway with two keys, before a lakeFS that takes what carries its own key.
async fn gateway() -> (TestGateway, ServedLakefs) {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), with_keys).await;
    let served = lakefs.serve(|request| match is_lakefs_own(request) {
        true => ok(""),
        false => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(),
    });
    (gateway, served)
}

fn with_keys(config: &mut Config) {
    config.auth.upstream = UpstreamIdentity::Login(LoginConfig {
        access_key_id: Secret::new(LAKEFS.0),
        secret_access_key: Secret::new(LAKEFS.1),
    });
    config.guard.lakefs_rules = Some(LakefsRules::Off);
    let limits = &mut config.limit.principal;
    (limits.requests_per_second, limits.burst) = (100_000, 100_000);
    for (id, secret) in [ALICE, BOB] {
        let key = S3KeyConfig {
            principal: id.to_ascii_lowercase(),
            secret_access_key: Some(Secret::new(secret)),
            groups: vec!["readers".into()],
        };
        config.auth.s3_keys.insert(id.into(), key);
    }
}

fn is_lakefs_own(request: &Message) -> bool {
    let header = request.header("authorization").unwrap_or_default();
    header.contains(LAKEFS.0) || request.start.contains(LAKEFS.0)
}

fn plain(method: &'static str, path: &str, body: &[u8]) -> Request {
    Request {
        method,
        path: path.into(),
        query: Vec::new(),
        headers: vec![("host".into(), HOST.into())],
        body: body.into(),
    }
}

fn with(mut request: Request, query: &[(&str, &str)], headers: &[(&str, &str)]) -> Request {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    request.query.extend(query.iter().map(owned));
    request.headers.extend(headers.iter().map(owned));
    request
}

/// One of each kind, before it is signed, and how.
fn kinds() -> Vec<(Request, Option<Payload>)> {
    let object = "/repo/main/a%20b/%C3%BC%2B.txt";
    let metadata = [
        ("content-type", "text/plain"),
        ("x-amz-meta-who", "me"),
        ("if-none-match", "*"),
    ];
    let listing = b"<Delete><Object><Key>main/a</Key></Object></Delete>";
    let data: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let part = [("partNumber", "1"), ("uploadId", "an-upload")];
    let virtual_host = Request {
        headers: vec![("host".into(), format!("repo.{HOST}"))],
        ..plain("GET", "/main/a", b"")
    };
    vec![
        (
            with(plain("GET", object, b""), &[], &[("range", "bytes=0-9")]),
            Some(Payload::Hashed),
        ),
        (
            with(
                plain("GET", "/repo", b""),
                &[("list-type", "2"), ("prefix", "main%2Fa%20")],
                &[],
            ),
            Some(Payload::Unsigned),
        ),
        (with(plain("PUT", object, &data), &[], &metadata), Some(Payload::Hashed)),
        (
            with(plain("PUT", object, &data), &part, &metadata[..2]),
            Some(Payload::Chunked(1500)),
        ),
        (plain("PUT", object, &data), Some(Payload::Unsigned)),
        (plain("DELETE", object, b""), Some(Payload::Hashed)),
        (
            with(
                plain("POST", "/repo", listing),
                &[("delete", "")],
                &[("content-md5", "x")],
            ),
            Some(Payload::Hashed),
        ),
        (virtual_host, Some(Payload::Hashed)),
        (
            with(plain("GET", object, b""), &[("response-content-type", "text%2Fx")], &[]),
            None,
        ),
        (with(plain("PUT", object, &data), &[], &metadata[..2]), None),
    ]
}

fn signed(signer: &Signer, kind: &(Request, Option<Payload>)) -> Request {
    match kind.1 {
        Some(payload) => signer.by_header(kind.0.clone(), payload),
        None => signer.by_query(kind.0.clone(), 600),
    }
}

async fn ask(gateway: &TestGateway, request: &Request) -> Message {
    let mut wire = gateway.connect().await;
    // It may be refused before all of it has come.
    let _ = wire.try_send(request.bytes()).await;
    soon("an answer", wire.answer_to(request.method)).await
}

#[tokio::test]
async fn what_arrives_is_what_lakefs_own_key_would_have_signed() {
    let (gateway, lakefs) = gateway().await;
    let alice = Signer::new(ALICE.0, ALICE.1);
    let own = Signer {
        id: LAKEFS.0.into(),
        secret: LAKEFS.1.into(),
        ..alice.clone()
    };
    for kind in kinds() {
        let answer = ask(&gateway, &signed(&alice, &kind)).await;
        assert_eq!(answer.status(), 200, "{:?}: {answer:?}", kind.0);
        let (arrived, expected) = (lakefs.last(), signed(&own, &kind));
        assert_eq!(
            arrived.start,
            format!("{} {} HTTP/1.1", expected.method, expected.target())
        );
        for (name, value) in &expected.headers {
            assert_eq!(arrived.header(name), Some(&**value), "{name}");
        }
        assert_eq!(
            arrived.header("content-length"),
            Some(&*expected.body.len().to_string())
        );
        assert!(arrived.body == expected.body, "{:?}", kind.0);
    }
}

#[tokio::test]
async fn whose_it_is_is_proved_and_its_cookies_speak_for_nobody() {
    let (gateway, lakefs) = gateway().await;
    let bob = Signer::new(BOB.0, BOB.1);
    let session = [("cookie", "internal_auth_session=x; theme=dark")];
    let request = with(
        bob.by_header(plain("GET", "/repo/main/bobs", b""), Payload::Hashed),
        &[],
        &session,
    );
    assert_eq!(ask(&gateway, &request).await.status(), 200);
    assert_eq!(lakefs.last().header("cookie"), Some("theme=dark"));
    let line = super::support::log::line(&["/repo/main/bobs", "auth.proved"]).await;
    let said = [
        r#""principal":"lgkbob00000000000001""#,
        r#""groups":"readers""#,
        r#""key":"LGKBOB00000000000001""#,
        r#""auth.method":"s3""#,
        r#""auth.proved":true"#,
    ];
    assert!(said.iter().all(|part| line.contains(part)), "{line}");
}

/// Where the gateway has no pair, its bearer carries what is verified, and never a body in AWS's chunks.
#[tokio::test]
async fn without_a_pair_a_verified_request_goes_by_bearer_if_it_can() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        with_keys(config);
        config.auth.lakefs_secret = Some(Secret::new("the-secret-of-tokens"));
        config.auth.upstream = UpstreamIdentity::Mint(MintConfig {
            user: Some("admin".into()),
            ..MintConfig::default()
        });
    });
    let (gateway, lakefs) = (gateway.await, lakefs.serve(|_| ok("")));
    let alice = Signer::new(ALICE.0, ALICE.1);
    let put = || plain("PUT", "/repo/main/a", b"hello");
    assert_eq!(
        ask(&gateway, &alice.by_header(put(), Payload::Hashed)).await.status(),
        200
    );
    let arrived = lakefs.last();
    assert!(arrived.header("authorization").unwrap().starts_with("Bearer "));
    assert_eq!(
        (arrived.header("x-amz-signature"), &*arrived.body),
        (Some("x"), &b"hello"[..])
    );
    let before = lakefs.requests().len();
    let chunked = ask(&gateway, &alice.by_header(put(), Payload::Chunked(3))).await;
    assert_eq!(
        (chunked.status(), chunked.header("x-lakegate-reason")),
        (501, Some("no-upstream-pair"))
    );
    let mut other = alice.by_header(put(), Payload::Hashed);
    other.body = b"hellO".into();
    assert_eq!(
        ask(&gateway, &other).await.header("x-lakegate-reason"),
        Some("payload-mismatch")
    );
    assert!(lakefs.requests()[before..].iter().all(Result::is_err));
}

#[tokio::test]
async fn each_refusal_is_s3s_own() {
    let (gateway, lakefs) = gateway().await;
    let alice = Signer::new(ALICE.0, ALICE.1);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let at = |unix| Signer::at(ALICE.0, ALICE.1, unix);
    let put = || plain("PUT", "/repo/main/a", b"hello");
    let get = || plain("GET", "/repo/main/a", b"");
    let hashed = |signer: &Signer, request| signer.by_header(request, Payload::Hashed);
    let wrong = Signer::new(ALICE.0, "another");
    let mut other_body = hashed(&alice, put());
    other_body.body = b"hellO".into();
    let mut chunk = alice.by_header(put(), Payload::Chunked(3));
    *chunk.body.last_mut().unwrap() = b'!';
    let mut bad_chunk = alice.by_header(put(), Payload::Chunked(3));
    bad_chunk.body[20] ^= 1;
    let trailer = with(
        put(),
        &[],
        &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")],
    );
    let authorization = hashed(&alice, get()).headers.pop().unwrap();
    let unsigned = Request {
        headers: [
            trailer.headers.clone(),
            vec![("x-amz-date".into(), alice.time.clone()), authorization],
        ]
        .concat(),
        ..put()
    };
    let token = with(get(), &[], &[("x-amz-security-token", "t")]);
    let cases = [
        (
            hashed(&wrong, get()),
            403,
            "SignatureDoesNotMatch",
            "signature-mismatch",
        ),
        (
            hashed(&at(now - 1000), get()),
            403,
            "RequestTimeTooSkewed",
            "signature-skewed",
        ),
        (
            hashed(&at(now + 1000), get()),
            403,
            "RequestTimeTooSkewed",
            "signature-skewed",
        ),
        (
            at(now - 120).by_query(get(), 60),
            403,
            "AccessDenied",
            "signature-expired",
        ),
        (
            at(now + 1000).by_query(get(), 60),
            403,
            "AccessDenied",
            "signature-expired",
        ),
        (
            alice.by_query(get(), 604_801),
            400,
            "AuthorizationQueryParametersError",
            "signature-malformed",
        ),
        (
            alice.by_query(hashed(&alice, get()), 60),
            400,
            "InvalidArgument",
            "signature-malformed",
        ),
        (other_body, 400, "XAmzContentSHA256Mismatch", "payload-mismatch"),
        (chunk, 400, "IncompleteBody", "body-broken"),
        (bad_chunk, 403, "SignatureDoesNotMatch", "signature-mismatch"),
        (unsigned, 501, "NotImplemented", "signature-unsupported"),
        (hashed(&alice, token), 400, "InvalidToken", "signature-malformed"),
        (
            with(hashed(&alice, get()), &[], &[("x-amz-acl", "public")]),
            403,
            "AccessDenied",
            "signature-malformed",
        ),
        (
            with(get(), &[], &[("authorization", &format!("AWS {}:c2ln", ALICE.0))]),
            400,
            "InvalidRequest",
            "signature-unsupported",
        ),
    ];
    for (request, status, code, reason) in cases {
        let answer = ask(&gateway, &request).await;
        assert_eq!(
            (answer.status(), answer.header("x-lakegate-reason")),
            (status, Some(reason)),
            "{answer:?}"
        );
        assert!(
            answer.text().contains(&format!("<Code>{code}</Code>")),
            "{}",
            answer.text()
        );
        let id = answer.header("x-request-id").unwrap();
        assert!(
            answer.text().contains(&format!("<RequestId>{id}</RequestId>")),
            "{}",
            answer.text()
        );
    }
    assert!(lakefs.requests().iter().all(Result::is_err), "nothing whole arrived");
    let log = super::support::log::text();
    for (_, secret) in [ALICE, BOB, LAKEFS] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

/// Random numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    /// Another letter or digit in the place of one.
    fn letter(&mut self, text: &mut String) -> bool {
        let places: Vec<usize> = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| byte.is_ascii_alphanumeric())
            .map(|(at, _)| at)
            .collect();
        if places.is_empty() {
            return false;
        }
        let at = places[self.roll(places.len())];
        let was = text.as_bytes()[at];
        let choice = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        // An escape has its digits in either case.
        let other = loop {
            let other = choice[self.roll(choice.len())];
            if !other.eq_ignore_ascii_case(&was) {
                break other;
            }
        };
        text.replace_range(at..=at, &char::from(other).to_string());
        true
    }
}

/// Changes one thing that is signed; nothing if there is none of the kind that the dice name.
fn changed(request: &Request, kind: &(Request, Option<Payload>), dice: &mut Dice) -> Option<(&'static str, Request)> {
    let mut it = request.clone();
    let headers = it.headers.len();
    let body_is_signed = !it.body.is_empty() && !matches!(kind.1, None | Some(Payload::Unsigned));
    let what = match dice.roll(14) {
        0 => {
            let other = ["GET", "PUT", "DELETE", "POST", "HEAD", "PATCH"][dice.roll(6)];
            it.method = other;
            (other != request.method).then_some("method")
        }
        1 => dice.letter(&mut it.path).then_some("path"),
        2 if !it.query.is_empty() => {
            let at = dice.roll(it.query.len());
            let (name, value) = &mut it.query[at];
            match dice.roll(4) {
                0 => dice.letter(name).then_some("query name"),
                1 => {
                    it.query.remove(at);
                    Some("query without a pair")
                }
                _ => dice.letter(value).then_some("query value"),
            }
        }
        3 => {
            it.query
                .push((["versionId", "x", "acl"][dice.roll(3)].into(), "1".into()));
            Some("query with another pair")
        }
        4 | 5 => {
            let (name, value) = &mut it.headers[dice.roll(headers)];
            (name != "authorization" && dice.letter(value)).then_some("header value")
        }
        6 => {
            let (name, _) = it.headers.remove(dice.roll(headers));
            (name != "authorization").then_some("header removed")
        }
        7 => {
            let (name, value) = it.headers[dice.roll(headers)].clone();
            it.headers.push((name, format!("{value}x")));
            Some("header twice")
        }
        8 => {
            it.headers.push(("x-amz-meta-more".into(), "1".into()));
            Some("header that is not signed")
        }
        9 | 10 => {
            let (_, line) = it.headers.iter_mut().find(|(name, _)| name == "authorization")?;
            let part = ["Credential=", "/", "SignedHeaders=", "Signature="][dice.roll(4)];
            let from = line.find(part)? + part.len();
            let mut rest = line.split_off(from);
            let changed = dice.letter(&mut rest);
            line.push_str(&rest);
            changed.then_some("authorization")
        }
        11 => {
            let (_, line) = it.headers.iter_mut().find(|(name, _)| name == "authorization")?;
            *line = line.replace(ALICE.0, BOB.0);
            Some("another's key")
        }
        12 if body_is_signed => {
            let at = dice.roll(it.body.len());
            let was = it.body[at];
            it.body[at] = was.wrapping_add(1 + u8::try_from(dice.roll(255)).unwrap());
            // The sizes of chunks are read in either case.
            (!it.body[at].eq_ignore_ascii_case(&was)).then_some("body")
        }
        13 if body_is_signed => {
            match dice.roll(2) {
                0 => it
                    .body
                    .truncate(request.body.len() - 3 - dice.roll(request.body.len() - 3)),
                _ => it.body.extend(b"more"),
            }
            Some("length of the body")
        }
        _ => None,
    };
    what.map(|what| (what, it))
}

/// Ten thousand: as the issue of this feature promises.
const MUTANTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_of_a_signed_request_nothing_is_accepted() {
    let (gateway, lakefs) = gateway().await;
    let (kinds, mut dice) = (kinds(), Dice(20_261_130));
    let mut tried = std::collections::BTreeMap::new();
    let mut made = 0;
    while made < MUTANTS {
        let kind = &kinds[dice.roll(kinds.len())];
        let request = signed(&Signer::new(ALICE.0, ALICE.1), kind);
        let Some((what, mutant)) = changed(&request, kind, &mut dice) else {
            continue;
        };
        let answer = ask(&gateway, &mutant).await;
        assert!(
            answer.status() >= 400,
            "{what} of {}: {answer:?}\n{mutant:?}",
            request.target()
        );
        *tried.entry(what).or_insert(0_usize) += 1;
        made += 1;
    }
    let accepted = lakefs.requests().into_iter().flatten().filter(is_lakefs_own).count();
    assert_eq!(accepted, 0, "of {tried:?}");
    assert!(
        tried.len() >= 12 && tried.values().all(|count| *count > 50),
        "{tried:?}"
    );
}
