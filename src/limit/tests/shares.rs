//! Shares: order, bounds, and who counts for what.

use super::*;

#[tokio::test(start_paused = true)]
async fn within_a_share_who_comes_first_is_served_first() {
    let world = World::new(one_a_second);
    let mut sent = Vec::new();
    for name in 0..8 {
        sent.push(world.send(named(read(), name)));
        settle().await;
    }
    for (name, answer) in sent.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let expected = Duration::from_secs(name as u64);
        let queued = answer.context.facts().queued;
        assert!(
            queued >= expected && queued < expected + Duration::from_millis(20),
            "{name}: {queued:?}"
        );
    }
    assert_eq!(world.lakefs.came(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_cannot_be_met_is_refused_at_once() {
    let world = World::new(|config| {
        one_a_second(config);
        config.max_wait = Period(Duration::from_millis(3500));
    });
    let mut sent = Vec::new();
    for name in 0..10 {
        sent.push(world.send(named(read(), name)));
        settle().await;
    }
    for (name, answer) in sent.into_iter().enumerate() {
        let answer = answer.await.unwrap();
        if name < 4 {
            assert_eq!(answer.status(), 200, "{name}");
        } else {
            assert_eq!(
                (answer.status(), answer.reason(), answer.took),
                (429, "over-share", Duration::ZERO),
                "{name}"
            );
            assert!((4..=8).contains(&answer.retry_after()), "{}", answer.retry_after());
        }
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn classes_and_principals_have_shares_of_their_own() {
    let world = World::new(one_a_second);
    let bobs = request(Operation::GetBranch, "main", "bob", Protocol::Rest);
    let sent = [world.send(read()), world.send(commit("main")), world.send(bobs)];
    for answer in sent {
        assert_eq!(answer.await.unwrap().context.facts().queued, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_no_longer_counts() {
    let world = World::new(one_a_second);
    let mut sent = Vec::new();
    for name in 0..5 {
        sent.push(world.send(named(read(), name)));
        settle().await;
    }
    assert_eq!(world.state.waiting(), 4);
    let last = sent.pop().unwrap();
    for gone in sent.drain(1..) {
        gone.abort();
        assert!(gone.await.is_err());
    }
    assert_eq!(world.state.waiting(), 1);
    assert!(last.await.unwrap().context.facts().queued < Duration::from_millis(1020));
    assert_eq!(world.lakefs.came(), ["0", "4"]);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_principal_has_only_so_many_on_their_way() {
    let world = World::new(|config| config.principal.in_flight = 2);
    let sent: Vec<_> = (0..6).map(|_| world.send(read())).collect();
    for answer in sent {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!(world.lakefs.most.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn over_share_answers_as_configured() {
    let world = World::new(|config| {
        one_a_second(config);
        config.max_wait = Period(Duration::ZERO);
        config.too_many_status = 420;
    });
    let first = world.send(read());
    settle().await;
    assert_eq!(world.send(read()).await.unwrap().status(), 420);
    assert_eq!(first.await.unwrap().status(), 200);
}
