//! Signatures of others, verified and made anew: AWS's published cases, requests that botocore signed, and what must be refused.

mod chunks;
mod faults;
mod published;

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;

use super::*;

const ID: &str = "AKIALAKEFS0000000001";
const SECRET: &str = "lakefs/secret+000000000000000000000000000";

/// A request of a file of cases.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Cases {
    key: String,
    secret: String,
    now: u64,
    requests: Vec<Case>,
}

impl Case {
    fn request(&self) -> Request {
        let mut builder = http::Request::builder().method(&*self.method).uri(&self.target);
        for (name, value) in &self.headers {
            builder = builder.header(name, value.as_bytes());
        }
        builder.body(Body::from(self.body.clone())).unwrap()
    }
}

fn botocore() -> Cases {
    serde_json::from_str(include_str!("../../../../tests/data/sigv4/botocore.json")).unwrap()
}

fn now(unix: u64) -> Now {
    Now {
        unix: Duration::from_secs(unix),
        instant: Instant::now(),
    }
}

fn verified(request: &Request, secret: &str, unix: u64) -> Result<Verified, SignatureFault> {
    let signed = Signed::read(request)?;
    signed.verify(request, &Secret::new(secret), &SigningKeys::new(), now(unix))
}

fn pair() -> LoginConfig {
    LoginConfig {
        access_key_id: Secret::new(ID),
        secret_access_key: Secret::new(SECRET),
    }
}

fn room() -> Room {
    Room {
        chunk: 16 << 20,
        budget: Arc::new(Semaphore::new(64 << 10)),
    }
}

/// Verified by one secret and signed anew for lakeFS.
fn anew(request: &mut Request, secret: &str, unix: u64) -> Result<(), SignatureFault> {
    let verified = verified(request, secret, unix)?;
    verified.hold_to_hash(request)?;
    verified.sign_anew(request, &pair(), &SigningKeys::new(), room(), now(unix))
}

/// All of a body, or why it broke.
async fn read(request: &mut Request) -> Result<Vec<u8>, SignatureFault> {
    let body = std::mem::replace(request.body_mut(), Body::empty());
    match body.read_capped(usize::MAX).await {
        Ok(crate::exchange::body::Read::Whole(bytes, _)) => Ok(bytes.into()),
        Err(crate::exchange::BodyError::Signature(fault)) => Err(fault),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_botocore_signs_is_verified_and_stays_what_it_was_under_another_signature() {
    let cases = botocore();
    assert!(cases.requests.len() > 200);
    for case in &cases.requests {
        let name = &case.name;
        let mut request = case.request();
        let signed = Signed::read(&request).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(signed.key(), cases.key);
        assert_eq!(
            verified(&request, "another", cases.now).err(),
            Some(SignatureFault::Mismatch),
            "{name}"
        );
        anew(&mut request, &cases.secret, cases.now).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let again = verified(&request, SECRET, cases.now);
        // lakeFS reads what is not UTF-8 in its own way: see below.
        assert!(again.is_ok() || name.contains("not UTF-8"), "{name}: {again:?}");
        assert_eq!(Signed::read(&request).unwrap().key(), ID, "{name}");
        let was = case.request();
        let names = |request: &Request| request.headers().keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&request), names(&was), "{name}");
        for (header, value) in was.headers() {
            assert!(
                header == AUTHORIZATION || request.headers()[header] == value,
                "{name}: {header}"
            );
        }
        assert_eq!(request.uri().path(), was.uri().path(), "{name}");
        let others = |request: &Request| {
            let pairs = request.uri().query().unwrap_or_default().split('&').map(str::to_owned);
            let kept = |pair: &String| !pair.starts_with("X-Amz-Credential=") && !pair.starts_with("X-Amz-Signature=");
            pairs.filter(kept).collect::<Vec<_>>()
        };
        assert_eq!(others(&request), others(&was), "{name}");
        assert_eq!(read(&mut request).await.unwrap(), case.body.as_bytes(), "{name}");
    }
}

#[tokio::test]
async fn another_body_than_the_hashed_one_never_ends_well() {
    let cases = botocore();
    let mut refused = 0;
    for case in cases.requests.iter().filter(|case| !case.body.is_empty()) {
        for body in ["hello, worle", "", "hello, world!"] {
            let mut request = case.request();
            *request.body_mut() = Body::from(body.to_owned());
            let outcome = match anew(&mut request, &cases.secret, cases.now) {
                Ok(()) => read(&mut request).await.map(drop),
                Err(fault) => Err(fault),
            };
            let hashed = verified(&case.request(), &cases.secret, cases.now).unwrap().is_hashed();
            assert_eq!(
                outcome,
                if hashed {
                    Err(SignatureFault::PayloadMismatch)
                } else {
                    Ok(())
                },
                "{}",
                case.name
            );
            refused += usize::from(hashed);
        }
    }
    assert!(refused > 100);
}

/// lakeFS holds a presigned URL against the quarter of an hour of other requests, whatever its own life.
#[test]
fn an_old_url_goes_up_with_a_new_time() {
    let cases = botocore();
    let old = cases.now + 3000;
    let case = cases
        .requests
        .iter()
        .find(|case| case.name == "GET plain, query odd, by url")
        .unwrap();
    let mut request = case.request();
    anew(&mut request, &cases.secret, old).unwrap();
    let claim = Signed::read(&request).unwrap().0;
    assert_eq!(claim.time, Stamp::of(old).unwrap());
    assert!(verified(&request, SECRET, old).is_ok());
    assert_eq!(
        verified(&case.request(), &cases.secret, cases.now + 3601).err(),
        Some(SignatureFault::Expired)
    );
    let mut young = case.request();
    anew(&mut young, &cases.secret, cases.now + STALE).unwrap();
    assert_eq!(Signed::read(&young).unwrap().0.time, Stamp::of(cases.now).unwrap());
}

#[test]
fn a_derived_key_is_kept_for_its_secret_only() {
    let (keys, cases) = (SigningKeys::new(), botocore());
    let request = cases.requests[0].request();
    let verify = |secret: &str| {
        let signed = Signed::read(&request).unwrap();
        signed
            .verify(&request, &Secret::new(secret), &keys, now(cases.now))
            .map(drop)
    };
    assert_eq!(verify("before"), Err(SignatureFault::Mismatch));
    assert_eq!(verify(&cases.secret), Ok(()));
    assert_eq!(verify("after"), Err(SignatureFault::Mismatch));
    assert_eq!(verify(&cases.secret), Ok(()));
}

/// pkg/gateway/sig/v4.go, case by case.
#[test]
fn lakefs_reads_a_request_in_its_own_way() {
    let lines = |target: &str, headers: &[(&str, &[u8])], rules| {
        let mut builder = http::Request::get(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Body::empty()).unwrap();
        let text = canonical::request(&head(&request), "host;x-amz-meta-a", "-", rules);
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let both = |target: &str, headers: &[(&str, &[u8])]| {
        [Rules::Aws, Rules::Lakefs].map(|rules| lines(target, headers, rules))
    };
    let [aws, lakefs] = both("/a?b=2&a=1&b=1&c;d=1&e=%zz&f=x+y", &[]);
    assert_eq!((&*aws[1], &*aws[2]), ("/a", "a=1&b=1&b=2&c%3Bd=1&e=%25zz&f=x%20y"));
    assert_eq!((&*lakefs[1], &*lakefs[2]), ("/a", "a=1&b=2&f=x%20y"));
    // AWS sorts what is encoded, lakeFS what is decoded.
    let [aws, lakefs] = both("/?%C3%BC=1&z=2", &[]);
    assert_eq!((&*aws[2], &*lakefs[2]), ("%C3%BC=1&z=2", "z=2&%C3%BC=1"));
    let [aws, lakefs] = both("/%FFa%E2%82?x=%FF", &[]);
    assert_eq!((&*aws[1], &*aws[2]), ("/%FFa%E2%82", "x=%FF"));
    assert_eq!((&*lakefs[1], &*lakefs[2]), ("/%EF%BF%BDa%EF%BF%BD%EF%BF%BD", "x=%FF"));
    let twice: [(&str, &[u8]); 3] = [("host", b"h:1"), ("x-amz-meta-a", b" a \t b"), ("x-amz-meta-a", b"c")];
    let [aws, lakefs] = both("/", &twice);
    assert_eq!((&*aws[3], &*aws[4]), ("host:h:1", "x-amz-meta-a:a b,c"));
    assert_eq!((&*lakefs[3], &*lakefs[4]), ("host:h:1", "x-amz-meta-a:a b"));
    let [aws, lakefs] = both("/", &[("x-amz-meta-a", "ü\u{a0} x".as_bytes())]);
    assert_eq!(
        (&*aws[4], &*lakefs[4]),
        ("x-amz-meta-a:ü\u{a0} x", "x-amz-meta-a:ü\u{a0}x")
    );
}
