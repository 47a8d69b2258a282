//! The S3 gateway: signatures keep to themselves, other credentials are as elsewhere.

use super::*;

const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=AKIASIGNER/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";

#[tokio::test]
async fn a_signature_goes_up_untouched_and_alone() {
    for upstream in [UpstreamIdentity::Passthrough, login_mode()] {
        let world = World::new(upstream).await.knowing_the_secret();
        let session = internal(&world.lakefs.secret(), world.lakefs.token("admin"));
        let cookies = format!("{session}; k=v");
        let headers = [
            ("host", S3_DOMAIN),
            ("authorization", SIGNED),
            ("cookie", &cookies),
            ("x-amz-date", "20260101T000000Z"),
        ];
        let outcome = world.send(request(Method::PUT, "/repo/main/key", &headers)).await;
        assert_eq!(
            (outcome.up("authorization").as_deref(), outcome.up("cookie").as_deref()),
            (Some(SIGNED), Some("k=v"))
        );
        assert_eq!(outcome.up("x-amz-signature"), None);
        let principal = outcome.principal();
        assert_eq!(
            (principal.name.as_ref(), principal.method, principal.proof),
            ("AKIASIGNER", "s3", Proof::Claimed)
        );
        let other = SIGNED.replace("Signature=00", "Signature=01");
        let again = world
            .send(request(Method::GET, "/repo/main/other", &[("authorization", &other)]))
            .await;
        assert_eq!(
            again.principal().limit_key,
            principal.limit_key,
            "it counts by its key, not by each signature"
        );
        let presigned = "/repo/main/key?X-Amz-Credential=AKIAURL%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=0";
        let outcome = world
            .send(request(Method::GET, presigned, &[("cookie", &session)]))
            .await;
        assert_eq!(
            (outcome.principal().name.as_ref(), outcome.up("cookie")),
            ("AKIAURL", None)
        );
        assert_eq!(world.lakefs.calls("/api/v1/auth/login"), 0);
    }
}

#[tokio::test]
async fn s3_by_bearer_pair_or_cookie_is_as_elsewhere_and_stays_s3() {
    let world = World::new(login_mode()).await.knowing_the_secret();
    let session = internal(&world.lakefs.secret(), world.lakefs.token("wendy"));
    let by_host = world
        .send(request(
            Method::PUT,
            "/repo/main/key",
            &[("host", S3_DOMAIN), ("authorization", &basic(SECRET))],
        ))
        .await;
    assert_eq!((by_host.status(), by_host.up("x-amz-signature")), (200, None));
    let by_mark = world
        .send(request(
            Method::PUT,
            "/repo/main/key",
            &[("x-amz-signature", "mine"), ("cookie", &session)],
        ))
        .await;
    assert_eq!(
        (by_mark.status(), by_mark.up("x-amz-signature").as_deref()),
        (200, Some("mine"))
    );
    // The web UI: a dummy signature, and the cookie that speaks for it.
    let dummy = SIGNED.replace("AKIASIGNER", "use_swagger_credentials");
    let ui = world
        .send(request(
            Method::GET,
            "/repo/main/key",
            &[("authorization", &dummy), ("cookie", &session)],
        ))
        .await;
    assert_eq!((ui.status(), ui.principal().name.as_ref()), (200, "wendy"));
    assert!(ui.up("authorization").unwrap().starts_with("Bearer "));
    assert_eq!(
        (ui.up("x-amz-signature").as_deref(), ui.up("cookie")),
        (Some("x"), None)
    );
    let bad = world
        .send(request(
            Method::GET,
            "/repo/main/key",
            &[("host", S3_DOMAIN), ("authorization", "Bearer junk")],
        ))
        .await;
    bad.assert_refused("lakeFS answers this in JSON too");
    let nothing = world
        .send(request(Method::GET, "/repo/main/key", &[("host", S3_DOMAIN)]))
        .await;
    assert_eq!(
        nothing.up("authorization"),
        None,
        "lakeFS says which fields are missing"
    );
}
