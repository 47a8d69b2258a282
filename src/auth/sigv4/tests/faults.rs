//! What is wrong with a signature, in S3's words: no part of it is missing, said twice, or said in two places.

use super::*;

const GOOD: &str = "AWS4-HMAC-SHA256 Credential=LGK1/20261130/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=";
const URL: &str = "/r/main/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=LGK1%2F20261130%2Fus-east-1%2Fs3%2Faws4_request\
                   &X-Amz-Date=20261130T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=";

fn signature() -> String {
    "0123456789abcdef".repeat(4)
}

fn by_header(authorization: &str, more: &[(&str, &str)]) -> Result<Signed, SignatureFault> {
    let mut builder = http::Request::put("/r/main/a").header("authorization", authorization);
    let given = |name: &str| more.iter().any(|(more, _)| *more == name);
    for (name, value) in [
        ("host", "s3.local.lakefs.io"),
        ("x-amz-date", "20261130T120000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ] {
        if !given(name) {
            builder = builder.header(name, value);
        }
    }
    for (name, value) in more.iter().filter(|(_, value)| *value != "(none)") {
        builder = builder.header(*name, *value);
    }
    Signed::read(&builder.body(Body::empty()).unwrap())
}

fn by_url(target: &str, more: &[(&str, &str)]) -> Result<Signed, SignatureFault> {
    let mut builder = http::Request::get(target).header("host", "s3.local.lakefs.io");
    for (name, value) in more {
        builder = builder.header(*name, *value);
    }
    Signed::read(&builder.body(Body::empty()).unwrap())
}

#[test]
fn a_header_has_each_part_once_and_nothing_else() {
    let good = format!("{GOOD}{}", signature());
    assert_eq!(by_header(&good, &[]).unwrap().key(), "LGK1");
    let spaced = good.replace(", ", ",").replace("aws4_request,", "aws4_request ,  ");
    assert!(by_header(&spaced, &[]).is_ok());
    let slashed = good.replace("LGK1/", "LGK/1/");
    assert_eq!(by_header(&slashed, &[]).unwrap().key(), "LGK/1");
    let header = |authorization: String| match by_header(&authorization, &[]) {
        Err(SignatureFault::Header(_)) => {}
        other => panic!("{authorization}: {other:?}"),
    };
    for (part, other) in [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA512 "),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 x "),
        ("Credential=", "credential="),
        ("LGK1/", "/"),
        ("LGK1/", ""),
        ("20261130", "2026113"),
        ("20261130", "2026113x"),
        ("20261130", "20261129"),
        ("us-east-1", ""),
        ("us-east-1", "us east"),
        ("/s3/", "/s4/"),
        ("aws4_request", "aws4_reques"),
        ("SignedHeaders=host;x-amz-content-sha256;x-amz-date", "SignedHeaders="),
        ("host;", "Host;"),
        ("host;", ";host;"),
        ("host;x-amz-content-sha256", "x-amz-content-sha256;host"),
        ("host;", "host;host;"),
        (", SignedHeaders=host;x-amz-content-sha256;x-amz-date", ""),
        ("Signature=0", "Signature=G"),
        ("Signature=0", "Signature=A"),
        ("Signature=0", "Signature="),
        ("Signature=0", "Signature=00"),
        (", Signature=", ", Signature"),
        (", SignedHeaders", ", Extra=1, SignedHeaders"),
    ] {
        assert!(good.contains(part), "{part}");
        header(good.replace(part, other));
    }
    let twice = format!("{good}, Signature={}", signature());
    assert_eq!(by_header(&twice, &[]).err(), Some(SignatureFault::Twice));
}

#[test]
fn what_must_be_signed_is_signed_and_said_once() {
    let good = format!("{GOOD}{}", signature());
    let fault = |more: &[(&str, &str)]| by_header(&good, more).err();
    let unsigned = |name: &str| Some(SignatureFault::Unsigned(name.into()));
    assert_eq!(fault(&[("x-amz-meta-a", "1")]), unsigned("x-amz-meta-a"));
    assert_eq!(fault(&[("x-amz-signature", "x")]), unsigned("x-amz-signature"));
    assert_eq!(fault(&[("content-type", "x"), ("user-agent", "x")]), None);
    let hostless = good.replace("host;", "");
    assert_eq!(by_header(&hostless, &[]).err(), unsigned("host"));
    for name in ["authorization", "x-amz-date", "x-amz-content-sha256"] {
        let same = [(name, "1"), (name, "1")];
        let more: &[(&str, &str)] = if name == "authorization" { &same[1..] } else { &same };
        assert_eq!(fault(more), Some(SignatureFault::Twice), "{name}");
    }
    assert_eq!(fault(&[("x-amz-date", "(none)")]), Some(SignatureFault::NoDate));
    assert_eq!(fault(&[("x-amz-date", "(none)"), ("date", "20261130T120000Z")]), None);
    assert_eq!(
        fault(&[("x-amz-date", "Mon, 30 Nov 2026 12:00:00 GMT")]),
        Some(SignatureFault::NoDate)
    );
    assert_eq!(
        fault(&[("x-amz-content-sha256", "(none)")]),
        Some(SignatureFault::NoPayloadHash)
    );
    assert_eq!(
        fault(&[("x-amz-content-sha256", "x")]),
        Some(SignatureFault::BadPayloadHash)
    );
    let token = good.replace("x-amz-date", "x-amz-date;x-amz-security-token");
    assert_eq!(
        by_header(&token, &[("x-amz-security-token", "t")]).err(),
        Some(SignatureFault::SessionToken)
    );
    assert_eq!(by_header(&token, &[("x-amz-security-token", "")]).err(), None);
}

#[test]
fn other_ways_of_signing_are_refused_by_name() {
    let header = |text: &str| by_header(text, &[]).err();
    let v4a = "AWS4-ECDSA-P256-SHA256 Credential=LGK1/20261130/s3/aws4_request, SignedHeaders=host, Signature=00";
    for unsupported in [
        header(v4a),
        header("AWS LGK1:c2lnbmF0dXJl"),
        by_url("/r/main/a?AWSAccessKeyId=LGK1&Expires=1&Signature=x", &[]).err(),
        by_url(
            "/r/main/a?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=LGK1",
            &[],
        )
        .err(),
    ] {
        assert!(
            matches!(unsupported, Some(SignatureFault::Scheme(_))),
            "{unsupported:?}"
        );
    }
}

#[test]
fn a_url_has_each_parameter_once_and_no_header_beside_it() {
    let good = format!("{URL}{}", signature());
    assert_eq!(by_url(&good, &[]).unwrap().key(), "LGK1");
    assert!(
        by_url(&good.replace("X-Amz-Date=", "X-Amz-D%61te="), &[]).is_ok(),
        "names are decoded"
    );
    let (before, query) = good.split_once('?').unwrap();
    for parameter in query.split('&') {
        let twice = format!("{good}&{parameter}");
        assert_eq!(by_url(&twice, &[]).err(), Some(SignatureFault::Twice), "{parameter}");
        let spelt = parameter.replacen("X-Amz", "%58-Amz", 1);
        assert_eq!(
            by_url(&format!("{good}&{spelt}"), &[]).err(),
            Some(SignatureFault::Twice),
            "{spelt}"
        );
        let rest: Vec<&str> = query.split('&').filter(|other| *other != parameter).collect();
        let without = by_url(&format!("{before}?{}", rest.join("&")), &[]);
        assert!(
            matches!(without, Err(SignatureFault::Query(_))),
            "{parameter}: {without:?}"
        );
        let dropped_by_go = good.replace(parameter, &format!("{parameter};"));
        assert!(
            matches!(by_url(&dropped_by_go, &[]), Err(SignatureFault::Query(_))),
            "{dropped_by_go}"
        );
        let header = format!("{GOOD}{}", signature());
        let both = by_url(&format!("/r/main/a?{parameter}"), &[("authorization", &header)]);
        assert_eq!(both.err(), Some(SignatureFault::Twice), "{parameter}");
    }
    for (part, other) in [
        ("Expires=60", "Expires=0"),
        ("Expires=60", "Expires=604801"),
        ("Expires=60", "Expires=-1"),
        ("Expires=60", "Expires=+60"),
        ("Expires=60", "Expires=%2B60"),
        ("Expires=60", "Expires=6e1"),
        ("Expires=60", "Expires="),
        ("Expires=60", "Expires=99999999999999999999999"),
        ("Date=20261130", "Date=20261129"),
        ("Date=20261130T", "Date=20261130"),
        ("HMAC-SHA256", "HMAC-SHA1"),
        ("%2Fs3%2F", "%2Fec2%2F"),
        ("SignedHeaders=host", "SignedHeaders=Host"),
        ("Signature=0", "Signature=z"),
    ] {
        let bad = by_url(&good.replacen(part, other, 1), &[]);
        assert!(matches!(bad, Err(SignatureFault::Query(_))), "{other}: {bad:?}");
    }
    assert!(by_url(&good.replace("Expires=60", "Expires=604800"), &[]).is_ok());
    let token = format!("{good}&X-Amz-Security-Token=t");
    assert_eq!(by_url(&token, &[]).err(), Some(SignatureFault::SessionToken));
    let unsigned = by_url(&good, &[("x-amz-meta-a", "1")]);
    assert_eq!(unsigned.err(), Some(SignatureFault::Unsigned("x-amz-meta-a".into())));
    assert!(by_url(&format!("{good}&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"), &[]).is_ok());
    let streaming = format!("{good}&X-Amz-Content-Sha256=STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    assert_eq!(by_url(&streaming, &[]).err(), Some(SignatureFault::BadPayloadHash));
}
