//! What AWS published: its test suite of Signature Version 4, and the examples of its documentation for S3.

use super::*;
use crate::auth::sigv4::canonical::request as canonical_request;
use crate::auth::sigv4::scope::sha256;

/// A case of `aws-sig-v4-test-suite`. (Those about dots and slashes in paths are not here: S3 does not normalise paths.)
#[derive(Debug, Deserialize)]
struct Published {
    #[serde(flatten)]
    case: Case,
    canonical: String,
    signature: String,
}

#[test]
fn the_test_suite_of_aws() {
    let suite: Vec<Published> = serde_json::from_str(include_str!("../../../../tests/data/sigv4/aws.json")).unwrap();
    assert_eq!(suite.len(), 22);
    for published in suite {
        let name = &published.case.name;
        let request = published.case.request();
        let signed = published.canonical.lines().rev().nth(1).unwrap();
        let payload = sha256(published.case.body.as_bytes());
        let canonical = canonical_request(&head(&request), signed, text(&payload), Rules::Aws);
        assert_eq!(
            String::from_utf8(canonical.clone()).unwrap(),
            published.canonical,
            "{name}"
        );
        let scope = Scope {
            day: "20150830".into(),
            region: "us-east-1".into(),
            service: "service".into(),
        };
        let key = scope.key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let time = Stamp::parse("20150830T123600Z").unwrap();
        let signature = key.sign(&scope.string_to_sign(&time, &canonical));
        assert_eq!(text(&signature), published.signature, "{name}");
    }
}

const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z.
const S3_NOW: u64 = 1_369_353_600;
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn s3(method: &str, target: &str, signed: &str, signature: &str, headers: &[(&str, &str)]) -> Request {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
    );
    let mut builder = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "examplebucket.s3.amazonaws.com")
        .header("x-amz-date", "20130524T000000Z")
        .header("authorization", authorization);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::empty()).unwrap()
}

/// "Examples: signature calculations in AWS Signature Version 4", and "Authenticating requests: using query parameters".
#[test]
fn the_examples_of_s3() {
    let empty = ("x-amz-content-sha256", NOTHING);
    let welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    let requests = [
        s3(
            "GET",
            "/test.txt",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            &[("range", "bytes=0-9"), empty],
        ),
        s3(
            "PUT",
            "/test%24file.text",
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-content-sha256", welcome),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
        ),
        s3(
            "GET",
            "/?lifecycle",
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            &[empty],
        ),
        s3(
            "GET",
            "/?max-keys=2&prefix=J",
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            &[empty],
        ),
    ];
    for request in requests {
        assert!(verified(&request, S3_SECRET, S3_NOW).is_ok(), "{}", request.uri());
        assert_eq!(
            verified(&request, S3_SECRET, S3_NOW + 901).err(),
            Some(SignatureFault::Skewed),
            "{}",
            request.uri()
        );
    }
    let presigned = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                     &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
                     &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let presigned = http::Request::get(presigned).header("host", "examplebucket.s3.amazonaws.com");
    let presigned = presigned.body(Body::empty()).unwrap();
    assert!(verified(&presigned, S3_SECRET, S3_NOW + 86_400).is_ok());
    assert_eq!(
        verified(&presigned, S3_SECRET, S3_NOW + 86_401).err(),
        Some(SignatureFault::Expired)
    );
}

/// "Signature calculations for transferring a payload in multiple chunks".
#[tokio::test]
async fn the_chunks_of_s3() {
    let chunk =
        |size: usize, signature: &str| format!("{size:x};chunk-signature={signature}\r\n{}\r\n", "a".repeat(size));
    let body = chunk(
        65_536,
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    ) + &chunk(1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
        + &chunk(0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9");
    let signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class";
    let mut request = s3(
        "PUT",
        "/examplebucket/chunkObject.txt",
        signed,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        &[
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ],
    );
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("s3.amazonaws.com"));
    assert_eq!(body.len(), 66_824);
    *request.body_mut() = Body::from(body.clone());
    anew(&mut request, S3_SECRET, S3_NOW).unwrap();
    let up = read(&mut request).await.unwrap();
    assert_eq!(up.len(), body.len());
    assert_ne!(up, body.as_bytes());
    // Verified by lakeFS's own secret, it becomes what it was when it is signed with the first.
    *request.body_mut() = Body::from(bytes::Bytes::from(up));
    let back = LoginConfig {
        access_key_id: Secret::new("AKIAIOSFODNN7EXAMPLE"),
        secret_access_key: Secret::new(S3_SECRET),
    };
    let verified = verified(&request, SECRET, S3_NOW).unwrap();
    verified
        .sign_anew(&mut request, &back, &SigningKeys::new(), room(), now(S3_NOW))
        .unwrap();
    assert_eq!(read(&mut request).await.unwrap(), body.as_bytes());
}
