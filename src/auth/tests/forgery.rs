//! Whoever only says that they are somebody gets nothing, in any mode.

use super::*;

/// Ways to claim to be `admin` without lakeFS's secret.
fn forgeries(lakefs: &FakeLakefs) -> Vec<(&'static str, &'static str, String)> {
    let good = lakefs.token("admin");
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!()
    };
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = |algorithm: &str| format!("{}.{payload}.", encode(&json!({"alg": algorithm, "typ": "JWT"})));
    let guessed = |key: &str| jwt(Algorithm::HS256, key.as_bytes(), &claims("admin"));
    let wendy = lakefs.token("wendy");
    let promoted = encode(&claims("admin"));
    let (wendys_head, wendys_mac) = (wendy.split('.').next().unwrap(), wendy.split('.').nth(2).unwrap());
    let ended = json!({"sub": "admin", "aud": "login", "exp": now() - 1});
    let bearer = |token: String| format!("Bearer {token}");
    let default_key = "THIS_MUST_BE_CHANGED_IN_PRODUCTION";
    let secret = lakefs.secret();
    let bearers = [
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg none with a signature", format!("{}{signature}", unsigned("none"))),
        ("no signature", format!("{header}.{payload}.")),
        ("no third part", format!("{header}.{payload}")),
        ("an empty key", guessed("")),
        ("a guessed key", guessed("secret")),
        ("lakeFS's default key", guessed(default_key)),
        (
            "a guessed key, HS512",
            jwt(Algorithm::HS512, b"secret", &claims("admin")),
        ),
        (
            "wendy's token promoted",
            format!("{wendys_head}.{promoted}.{wendys_mac}"),
        ),
        ("an ended token", jwt(Algorithm::HS256, secret.as_bytes(), &ended)),
        (
            "a token without an end",
            jwt(Algorithm::HS256, secret.as_bytes(), &json!({"sub": "admin"})),
        ),
        ("the name itself", "admin".to_owned()),
    ];
    let mut forgeries: Vec<_> = bearers
        .map(|(what, token)| (what, "authorization", bearer(token)))
        .into();
    let external = [("sub", "admin")];
    forgeries.extend([
        ("a wrong secret", "authorization", basic("wrong")),
        ("no secret", "authorization", basic("")),
        ("an unsigned cookie", "cookie", format!("internal_auth_session={good}")),
        ("a cookie of another key", "cookie", internal("secret", good.clone())),
        (
            "a forged token in a good cookie",
            "cookie",
            internal(&secret, guessed("secret")),
        ),
        (
            "the good cookie without its name",
            "cookie",
            internal(&secret, good).split_off(22),
        ),
        (
            "an oidc cookie of another key",
            "cookie",
            signed("secret", "oidc_auth_session", &external),
        ),
        (
            "a saml cookie of another key",
            "cookie",
            signed(default_key, "saml_auth_session", &external),
        ),
        (
            "a saml cookie of no claims",
            "cookie",
            internal(&secret, "t".into()).replace("internal", "saml"),
        ),
        (
            "an oidc cookie under saml's name",
            "cookie",
            signed(&secret, "oidc_auth_session", &external).replace("oidc", "saml"),
        ),
        ("trust by header", "x-forwarded-user", "admin".to_owned()),
    ]);
    forgeries
}

#[tokio::test]
async fn a_forged_name_gets_nothing_in_any_mode() {
    for upstream in [UpstreamIdentity::Passthrough, login_mode(), mint_mode()] {
        for knows in [false, true] {
            if matches!(upstream, UpstreamIdentity::Mint(_)) && !knows {
                continue;
            }
            let mut world = World::new(upstream.clone()).await;
            // Each is a guess of its own; how often one may guess is for another test.
            world.config.failed_logins_per_minute = u32::MAX;
            if knows {
                world = world.knowing_the_secret();
            }
            for (what, name, value) in forgeries(&world.lakefs) {
                let what = format!("{what}, {upstream:?}, secret known: {knows}");
                let outcome = world.get(&[(name, &value)]).await;
                assert_eq!(outcome.status(), 401, "{what}");
                assert_eq!(outcome.principal().proof, Proof::Claimed, "{what}");
                assert_ne!(outcome.principal().name.as_ref(), "admin", "{what}");
                match upstream {
                    UpstreamIdentity::Passthrough => assert_eq!(outcome.up(name), Some(value), "{what}"),
                    _ => outcome.assert_refused(&what),
                }
            }
            // And all the while the world is one where the honest get in.
            let outcome = world.get(&[("authorization", &basic(SECRET))]).await;
            assert_eq!((outcome.status(), outcome.principal().proof), (200, Proof::Proved));
        }
    }
}

/// A token outlives its user by days, and its signature stays good. Tried on a running lakeFS, which refuses it after 22 s.
#[tokio::test]
async fn the_token_of_a_deleted_user_gets_nothing_though_its_signature_holds() {
    let for_its_own_user = UpstreamIdentity::Mint(MintConfig {
        user: None,
        lifetime: Period(Duration::from_secs(60)),
    });
    for upstream in [
        UpstreamIdentity::Passthrough,
        login_mode(),
        mint_mode(),
        for_its_own_user,
    ] {
        let world = World::new(upstream.clone()).await.knowing_the_secret();
        let gone = world.lakefs.token("gone");
        let cookie = internal(&world.lakefs.secret(), gone.clone());
        for (name, value) in [("authorization", format!("Bearer {gone}")), ("cookie", cookie)] {
            let outcome = world.get(&[(name, &value)]).await;
            assert_eq!(outcome.status(), 401, "{name}, {upstream:?}");
        }
        let wendy = format!("Bearer {}", world.lakefs.token("wendy"));
        let outcome = world.get(&[("authorization", &wendy)]).await;
        assert_eq!((outcome.status(), outcome.principal().name.as_ref()), (200, "wendy"));
    }
}
