//! Which credential counts, whose it is, and what goes up of it.

use super::*;

#[tokio::test]
async fn a_proved_client_goes_up_with_the_gateways_bearer_and_nothing_of_its_own() {
    for (upstream, knows) in [(login_mode(), false), (login_mode(), true), (mint_mode(), true)] {
        let mut world = World::new(upstream).await;
        if knows {
            world = world.knowing_the_secret();
        }
        let (secret, wendy) = (world.lakefs.secret(), world.lakefs.token("wendy"));
        let mut honest = vec![
            ("basic", "admin", "authorization", basic(SECRET)),
            ("bearer", "wendy", "authorization", format!("bEARER  {wendy}")),
            ("cookie", "wendy", "cookie", internal(&secret, wendy.clone())),
        ];
        if knows {
            honest.extend([
                (
                    "oidc",
                    "alice@example.com",
                    "cookie",
                    signed(&secret, "oidc_auth_session", &[("sub", "alice@example.com")]),
                ),
                (
                    "saml",
                    "bob",
                    "cookie",
                    signed(&secret, "saml_auth_session", &[("sub", "bob")]),
                ),
            ]);
        }
        for (method, user, name, value) in honest {
            let outcome = world
                .get(&[("cookie", "theme=dark"), (name, &value), ("x-other", "stays")])
                .await;
            assert_eq!(outcome.status(), 200, "{method}");
            let principal = outcome.principal();
            assert_eq!((principal.name.as_ref(), principal.method), (user, method));
            assert_eq!((principal.proof, principal.limit_key.as_ref()), (Proof::Proved, user));
            assert_eq!(principal.key.as_deref(), (method == "basic").then_some(KEY), "{method}");
            let forwarded = outcome.forwarded.as_ref().unwrap();
            assert_eq!(world.lakefs.whose(forwarded), Ok(Some("admin".into())), "{method}");
            assert_eq!(forwarded.get_all("authorization").iter().count(), 1);
            assert!(forwarded["authorization"].is_sensitive());
            assert!(!outcome.up("authorization").unwrap().contains(&wendy));
            assert_eq!(forwarded.get_all("cookie").iter().collect::<Vec<_>>(), ["theme=dark"]);
            assert_eq!(outcome.up("x-other").as_deref(), Some("stays"));
        }
    }
}

#[tokio::test]
async fn of_several_credentials_the_one_that_lakefs_takes_counts() {
    let world = World::new(login_mode()).await.knowing_the_secret();
    let secret = world.lakefs.secret();
    let bearer = format!("Bearer {}", world.lakefs.token("wendy"));
    let good_cookie = internal(&secret, world.lakefs.token("wendy"));
    let (bad_cookie, empty) = (
        "internal_auth_session=junk",
        cookie(&secret, "oidc_auth_session", &Session::Empty),
    );
    let oidc = signed(&secret, "oidc_auth_session", &[("sub", "olga")]);
    let saml = signed(&secret, "saml_auth_session", &[("sub", "sam")]);
    type Sent<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Sent<'_>, Option<&str>); 16] = [
        (&[("authorization", &bearer), ("cookie", bad_cookie)], Some("wendy")),
        (
            &[("authorization", &bearer), ("cookie", "saml_auth_session=junk")],
            Some("wendy"),
        ),
        (&[("authorization", "Bearer junk"), ("cookie", &good_cookie)], None),
        (&[("authorization", &basic("wrong")), ("cookie", &good_cookie)], None),
        (&[("authorization", "Bearer"), ("cookie", &good_cookie)], Some("wendy")),
        (
            &[("authorization", "Bearer a b"), ("cookie", &good_cookie)],
            Some("wendy"),
        ),
        (
            &[("authorization", "Digest x"), ("cookie", &good_cookie)],
            Some("wendy"),
        ),
        (
            &[("authorization", &bearer), ("authorization", "Bearer junk")],
            Some("wendy"),
        ),
        (&[("authorization", "Bearer junk"), ("authorization", &bearer)], None),
        (&[("cookie", &good_cookie), ("cookie", &oidc)], Some("wendy")),
        (
            &[
                ("cookie", &good_cookie),
                ("cookie", "saml_auth_session=junk; oidc_auth_session=junk"),
            ],
            Some("wendy"),
        ),
        (
            &[("cookie", bad_cookie), ("cookie", &saml), ("cookie", &oidc)],
            Some("olga"),
        ),
        (
            &[
                ("cookie", bad_cookie),
                ("cookie", "oidc_auth_session=junk"),
                ("cookie", &saml),
            ],
            None,
        ),
        (&[("cookie", &empty), ("cookie", &saml)], Some("sam")),
        (&[("cookie", bad_cookie), ("cookie", &good_cookie)], None),
        (&[("cookie", "oidc_auth_session=a\"b"), ("cookie", &saml)], Some("sam")),
    ];
    for (headers, expected) in cases {
        let outcome = world.get(headers).await;
        match expected {
            Some(user) => assert_eq!(
                (outcome.status(), outcome.principal().name.as_ref()),
                (200, user),
                "{headers:?}"
            ),
            None => outcome.assert_refused(&format!("{headers:?}")),
        }
    }
}

#[tokio::test]
async fn claims_of_an_identity_provider_are_mapped_as_configured() {
    let mut world = World::new(login_mode()).await.knowing_the_secret();
    world.config.saml_cookie.user_claim = "email".into();
    world.config.saml_cookie.groups_claim = Some("groups".into());
    world.config.saml_cookie.required_claims = [("tenant".to_owned(), "data".to_owned())].into();
    let secret = world.lakefs.secret();
    let saml = |claims: &[(&str, &str)]| signed(&secret, "saml_auth_session", claims);
    let all = [("email", "a@x"), ("tenant", "data"), ("groups", "dev, ops ,,")];
    let outcome = world.get(&[("cookie", &saml(&all))]).await;
    let principal = outcome.principal();
    assert_eq!(
        (principal.name.as_ref(), principal.groups.as_ref()),
        ("a@x", &["dev".to_owned(), "ops".to_owned()][..])
    );
    for lacking in [
        &[("email", "a@x")][..],
        &[("email", "a@x"), ("tenant", "Data")],
        &[("tenant", "data")],
        &[("email", ""), ("tenant", "data")],
    ] {
        world
            .get(&[("cookie", &saml(lacking))])
            .await
            .assert_refused(&format!("{lacking:?}"));
    }
    world.config.saml_cookie.enabled = false;
    world
        .get(&[("cookie", &saml(&all))])
        .await
        .assert_refused("a scheme that is switched off");
    world.config.upstream = UpstreamIdentity::Passthrough;
    world
        .get(&[("cookie", &saml(&all))])
        .await
        .assert_refused("a scheme that is switched off, passthrough");
    world.config.basic.enabled = false;
    world
        .get(&[("authorization", &basic(SECRET))])
        .await
        .assert_refused("key pairs switched off");
}

#[tokio::test]
async fn in_passthrough_what_the_client_sent_goes_up_as_it_came() {
    for knows in [false, true] {
        let mut world = World::new(UpstreamIdentity::Passthrough).await;
        if knows {
            world = world.knowing_the_secret();
        }
        let wendy = format!("Bearer\t{}", world.lakefs.token("wendy"));
        let both = [
            ("authorization", wendy.as_str()),
            ("cookie", "k=v;internal_auth_session=junk ; nameless"),
        ];
        for _ in 0..5 {
            let outcome = world.get(&both).await;
            assert_eq!(outcome.up("authorization").as_deref(), Some(wendy.as_str()));
            assert_eq!(outcome.up("cookie").as_deref(), Some(both[1].1));
            assert_eq!(
                (outcome.principal().name.as_ref(), outcome.principal().proof),
                ("wendy", Proof::Proved)
            );
        }
        assert_eq!(
            world.lakefs.calls("/api/v1/user"),
            usize::from(!knows),
            "asked for once, or not at all"
        );
        let anonymous = world.get(&[]).await;
        assert!(anonymous.forwarded.is_some(), "lakeFS answers it");
        // A lakeFS that does not say whose it is: the client is who it claims to be, and no more.
        world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        let outcome = world.get(&[("authorization", &basic(SECRET))]).await;
        let principal = outcome.principal();
        assert_eq!((principal.name.as_ref(), principal.proof), (KEY, Proof::Claimed));
        assert!(principal.limit_key.starts_with("192.0.2.1#"), "{}", principal.limit_key);
        assert_eq!(outcome.up("authorization"), Some(basic(SECRET)));
    }
}
