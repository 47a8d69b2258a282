//! The bearer that is attached: got once, made anew in time, and never where nobody was proved.

use super::*;

#[tokio::test]
async fn where_lakefs_cannot_say_who_it_is_nobody_gets_the_bearer() {
    let world = World::new(login_mode()).await;
    world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let outcome = world.get(&[("authorization", &basic(SECRET))]).await;
    assert_eq!((outcome.status(), outcome.forwarded.is_none()), (502, true));
    assert_eq!(outcome.response.headers()["x-lakegate-reason"], "upstream-broken");
}

#[tokio::test]
async fn a_bearer_that_lakefs_no_longer_takes_is_replaced_for_the_next_request() {
    let world = World::new(login_mode()).await;
    let credential = basic(SECRET);
    assert_eq!(world.get(&[("authorization", &credential)]).await.status(), 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    world.lakefs.set_secret("another");
    assert_eq!(world.get(&[("authorization", &credential)]).await.status(), 401);
    assert_eq!(world.get(&[("authorization", &credential)]).await.status(), 200);
    assert_eq!(world.lakefs.calls("/api/v1/auth/login"), 2);
}

#[tokio::test]
async fn tokens_are_minted_for_the_user_and_used_until_near_their_end() {
    let mut world = World::new(UpstreamIdentity::Mint(MintConfig {
        user: None,
        lifetime: Period(Duration::from_secs(100)),
    }))
    .await
    .knowing_the_secret();
    let wendy = format!("Bearer {}", world.lakefs.token("wendy"));
    let first = world.get(&[("authorization", &wendy)]).await;
    assert_eq!(
        world.lakefs.whose(first.forwarded.as_ref().unwrap()),
        Ok(Some("wendy".into()))
    );
    let again = world.get(&[("authorization", &wendy)]).await;
    assert_eq!(again.up("authorization"), first.up("authorization"));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(81)).await;
    tokio::time::resume();
    let later = world.get(&[("authorization", &wendy)]).await;
    assert_ne!(later.up("authorization"), first.up("authorization"));
    let admin = world.get(&[("authorization", &basic(SECRET))]).await;
    assert_eq!(
        world.lakefs.whose(admin.forwarded.as_ref().unwrap()),
        Ok(Some("admin".into()))
    );
    assert_eq!(world.lakefs.calls("/api/v1/auth/login"), 0);
    world.config.lakefs_secret = None;
    let without = world.get(&[("authorization", &basic(SECRET))]).await;
    assert_eq!(
        (without.status(), without.forwarded.is_none()),
        (502, true),
        "a mint without a secret gives nothing"
    );
}

#[tokio::test]
async fn a_hundred_requests_at_once_are_one_proof_and_one_login() {
    let world = Arc::new(World::new(login_mode()).await);
    world.lakefs.hold();
    let send = |_| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.get(&[("authorization", &basic(SECRET))]).await.status() })
    };
    let sent: Vec<_> = (0..100).map(send).collect();
    world.lakefs.arrived(1).await;
    world.lakefs.release();
    for status in sent {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(
        (
            world.lakefs.calls("/api/v1/user"),
            world.lakefs.calls("/api/v1/auth/login")
        ),
        (1, 1)
    );
}
