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

#[tokio::test]
async fn a_listed_key_is_called_by_its_owner_and_gains_nothing_else() {
    let mut world = World::new(login_mode()).await;
    let unlisted = world
        .send(request(Method::PUT, "/repo/main/key", &[("authorization", SIGNED)]))
        .await;
    let key = crate::config::S3KeyConfig {
        principal: "wendy".into(),
        groups: vec!["admins".into()],
        secret_access_key: None,
    };
    world.config.s3_keys = [("AKIASIGNER".to_owned(), key)].into();
    let listed = world
        .send(request(Method::PUT, "/repo/main/key", &[("authorization", SIGNED)]))
        .await;
    assert_eq!(listed.up("authorization").as_deref(), Some(SIGNED));
    let (before, principal) = (unlisted.principal(), listed.principal());
    assert_eq!(
        (
            principal.name.as_ref(),
            principal.method,
            principal.proof,
            principal.groups.len()
        ),
        ("wendy", "s3", Proof::Claimed, 0)
    );
    assert_eq!(principal.key.as_deref(), Some("AKIASIGNER"));
    assert_eq!(principal.limit_key.as_ref(), format!("wendy@{}", before.limit_key));
    let other = SIGNED.replace("AKIASIGNER", "AKIAOTHER");
    let other = world
        .send(request(Method::PUT, "/repo/main/key", &[("authorization", &other)]))
        .await;
    assert_eq!(other.principal().name.as_ref(), "AKIAOTHER");
}

#[tokio::test]
async fn the_gateways_bearer_never_rides_on_aws_chunks() {
    let chunks = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
    ];
    let pair = basic(SECRET);
    for chunks in chunks {
        let by = |credential| {
            request(
                Method::PUT,
                "/repo/main/key",
                &[("host", S3_DOMAIN), ("authorization", credential), chunks],
            )
        };
        let mut world = World::new(login_mode()).await.knowing_the_secret();
        let refused = world.send(by(&pair)).await;
        assert_eq!((refused.status(), refused.forwarded.is_none()), (501, true));
        assert_eq!(refused.response.headers()["x-lakegate-reason"], "chunked-unsigned");
        assert_eq!(refused.response.headers()["content-type"], "application/xml");
        assert_eq!(
            world.send(by(SIGNED)).await.up("authorization").as_deref(),
            Some(SIGNED)
        );
        world.mode = Mode::Observe;
        let observed = world.send(by(&pair)).await;
        assert!(observed.up("authorization").unwrap().starts_with("Bearer "));
        assert_eq!(observed.context.facts().shadow, ["chunked-unsigned"]);
        let world = World::new(UpstreamIdentity::Passthrough).await;
        assert!(
            world.send(by(&pair)).await.forwarded.is_some(),
            "lakeFS would get it without the gateway too"
        );
    }
}
