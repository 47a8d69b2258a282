//! Those without credentials, what is closed, and those who guess.

use super::*;

#[tokio::test]
async fn the_anonymous_get_what_lakefs_gives_to_anybody_and_no_bearer() {
    for knows in [false, true] {
        let mut world = World::new(login_mode()).await;
        if knows {
            world = world.knowing_the_secret();
        }
        let bearer = format!("Bearer {}", world.lakefs.token("wendy"));
        let headers = [
            ("authorization", bearer.as_str()),
            ("cookie", "saml_auth_session=junk; k=v"),
        ];
        for (method, target) in [
            (Method::POST, "/api/v1/auth/login"),
            (Method::GET, "/api/v1/setup_lakefs"),
            (Method::GET, "/api/v1/healthcheck"),
            (Method::GET, "/"),
            (Method::GET, "/logout"),
        ] {
            let outcome = world.send(request(method, target, &headers)).await;
            assert_eq!(
                (outcome.up("authorization"), outcome.up("cookie")),
                (None, Some("k=v".into())),
                "{target}"
            );
            let principal = outcome.principal();
            assert_eq!(
                (principal.name.as_ref(), principal.limit_key.as_ref()),
                ("anonymous", "192.0.2.1")
            );
        }
        let nobody = world.send(request(Method::GET, "/api/v1/user", &[])).await;
        assert_eq!((nobody.status(), nobody.up("authorization")), (200, None));
        let somebody = world.send(request(Method::GET, "/api/v1/user", &headers[..1])).await;
        assert!(somebody.up("authorization").is_some_and(|up| up != bearer));
        let unknown = world
            .send(request(Method::GET, "/api/v1/of/another/version", &[]))
            .await;
        assert_eq!(unknown.up("authorization"), None);
        let secured = world.get(&[]).await;
        secured.assert_refused("no credential");
        world
            .get(&[("cookie", "k=v; MTc5NTM3OTk1NXxEWDhF")])
            .await
            .assert_refused("a nameless cookie");
        world
            .get(&[("authorization", "Basic !!!")])
            .await
            .assert_refused("what is no credential");
        assert_eq!(
            world.lakefs.calls("/api/v1/auth/login"),
            1,
            "only for the one who was proved"
        );
    }
}

#[tokio::test]
async fn set_up_is_closed_unless_it_is_opened() {
    let mut world = World::new(UpstreamIdentity::Passthrough).await;
    for target in ["/api/v1/setup_lakefs", "/api/v1/setup_comm_prefs"] {
        let outcome = world.send(request(Method::POST, target, &[])).await;
        assert_eq!((outcome.status(), outcome.forwarded.is_none()), (403, true), "{target}");
        assert_eq!(outcome.response.headers()["x-lakegate-reason"], "closed");
    }
    let state = world.send(request(Method::GET, "/api/v1/setup_lakefs", &[])).await;
    assert!(state.forwarded.is_some());
    world.mode = Mode::Observe;
    let observed = world.send(request(Method::POST, "/api/v1/setup_lakefs", &[])).await;
    assert!(observed.forwarded.is_some());
    assert_eq!(observed.context.facts().shadow, ["auth.allow_setup"]);
    world.mode = Mode::Enforce;
    world.config.allow_setup = true;
    assert!(
        world
            .send(request(Method::POST, "/api/v1/setup_lakefs", &[]))
            .await
            .forwarded
            .is_some()
    );
}

#[tokio::test]
async fn an_address_that_failed_too_often_has_to_wait_and_others_need_not() {
    let mut world = World::new(login_mode()).await;
    world.config.failed_logins_per_minute = 3;
    let login = |address| {
        request_from(
            address,
            Method::POST,
            "/api/v1/auth/login",
            &[("authorization", "Bearer junk")],
        )
    };
    let known = world.get(&[("authorization", &basic(SECRET))]).await;
    assert_eq!(known.status(), 200);
    for _ in 0..3 {
        // The lakeFS of these tests refuses it: nothing that it takes is left on it.
        assert_eq!(world.send(login("192.0.2.1")).await.status(), 401);
    }
    let refused = world.send(login("192.0.2.1")).await;
    assert_eq!((refused.status(), refused.forwarded.is_none()), (429, true));
    let wait: u64 = refused.response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(
        world.get(&[("authorization", &basic("guess"))]).await.status(),
        429,
        "a guess by another door"
    );
    assert_eq!(
        world.get(&[("authorization", &basic(SECRET))]).await.status(),
        200,
        "who is known is let in"
    );
    assert_eq!(world.send(login("192.0.2.2")).await.status(), 401);
    world.mode = Mode::Observe;
    let observed = world.send(login("192.0.2.1")).await;
    assert_eq!(observed.status(), 401);
    assert_eq!(observed.context.facts().shadow, ["auth.failed_logins_per_minute"]);
}
