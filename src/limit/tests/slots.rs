//! Slots, streams, shadow, reloads, and what lakeFS's own "too many" becomes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_holds_its_slot_to_the_last_byte_and_a_request_to_its_answer() {
    let world = World::new(|config| {
        config.upstream.in_flight = 1.into();
        config.upstream.streams = 1;
        config.max_wait = Period(WORK);
    });
    let lakefs = || answering(|| Response::new(endless()));
    let download = || request(Operation::GetObject, "main", "alice", Protocol::Rest);
    let first = world.send_to(download(), lakefs()).await.unwrap();
    let second = world.send_to(download(), lakefs()).await.unwrap();
    assert_eq!(
        (first.status(), second.status(), second.reason()),
        (200, 503, "upstream-busy")
    );
    let listing = world.send_to(read(), lakefs()).await.unwrap();
    let another = world.send_to(read(), lakefs()).await.unwrap();
    assert_eq!(
        (listing.status(), another.status()),
        (200, 200),
        "no slot is held by who only reads slowly"
    );
    drop(first.response);
    assert_eq!(world.send_to(download(), lakefs()).await.unwrap().status(), 200);
    drop((listing, another));
    world.assert_idle();
}

#[tokio::test]
async fn health_checks_need_no_slot() {
    let world = World::new(|config| config.upstream.in_flight = 1.into());
    let _only = world.state.slots.door(Slot::Request).unwrap().try_enter().unwrap();
    let health = request(Operation::HealthCheck, "main", "probe", Protocol::Rest);
    let answer = world
        .send_to(health, answering(|| Response::new(Body::empty())))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn too_many_is_said_in_one_way() {
    let table = [
        (429, Protocol::Rest, 420, 429),
        (429, Protocol::Rest, 423, 429),
        (429, Protocol::Rest, 429, 429),
        (429, Protocol::Rest, 409, 409),
        (420, Protocol::Rest, 429, 420),
        (420, Protocol::Rest, 423, 420),
        (420, Protocol::S3, 429, 429),
        (429, Protocol::S3, 423, 423),
        (429, Protocol::Web, 423, 423),
    ];
    for (configured, protocol, said, expected) in table {
        let world = World::new(|config| config.too_many_status = configured);
        let lakefs = service_fn(move |_: Request| async move {
            let mut response = Response::new(Body::from(
                "{\"message\":\"Too many attempts, try again later\"}\n".to_owned(),
            ));
            *response.status_mut() = StatusCode::from_u16(said).unwrap();
            response
                .headers_mut()
                .insert("x-request-id", "of-lakefs".parse().unwrap());
            response
                .extensions_mut()
                .insert(ReasonPhrase::from_static(b"Enhance Your Calm"));
            Ok::<_, Infallible>(response)
        });
        let request = request(Operation::GetBranch, "main", "alice", protocol);
        let Answered { response, .. } = world.send_to(request, lakefs).await.unwrap();
        assert_eq!(
            response.status().as_u16(),
            expected,
            "{said} on {protocol:?} with {configured}"
        );
        assert_eq!(response.extensions().get::<ReasonPhrase>().is_some(), said == expected);
        assert_eq!(response.headers()["x-request-id"], "of-lakefs");
        let crate::exchange::body::Read::Whole(body, None) = response.into_body().read_capped(100).await.unwrap()
        else {
            panic!("too large")
        };
        assert_eq!(body, "{\"message\":\"Too many attempts, try again later\"}\n");
    }
}

#[tokio::test(start_paused = true)]
async fn shadow_neither_waits_nor_refuses_and_says_what_it_would_have_done() {
    let mut world = World::new(|config| {
        one_a_second(config);
        config.mode = RuleMode::Shadow;
        config.principal.in_flight = 1;
        config.upstream.in_flight = 1.into();
    });
    let first = world.send(commit("main"));
    settle().await;
    let second = world.send(commit("main")).await.unwrap();
    assert_eq!((second.status(), second.took), (200, WORK));
    assert_eq!(
        second.context.facts().shadow,
        [
            "over-share: would have waited 1000 ms",
            "over-share: would have waited for its own requests under way",
            "branch-busy: would have waited for 1 before it",
            "upstream-busy: would have waited for a slot",
        ]
    );
    let first = first.await.unwrap();
    assert!(first.context.facts().shadow.is_empty());
    assert_eq!(world.lakefs.most.load(Ordering::SeqCst), 2);
    let page = world.state.metrics.encode();
    assert!(
        page.contains("lakegate_shadow_waits_total{reason=\"branch-busy\"} 1"),
        "{page}"
    );
    world.reload(|_| {});
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_sizes_and_forgets_nothing() {
    let mut world = World::new(|config| config.upstream.in_flight = 4.into());
    let sent: Vec<_> = (0..4).map(|_| world.send(read())).collect();
    settle().await;
    world.reload(|config| config.upstream.in_flight = 1.into());
    let later: Vec<_> = (0..3).map(|_| world.send(read())).collect();
    for answer in sent {
        assert_eq!(answer.await.unwrap().took, WORK);
    }
    let mut times: Vec<Duration> = Vec::new();
    for answer in later {
        times.push(answer.await.unwrap().took);
    }
    assert_eq!(times, [WORK * 2, WORK * 3, WORK * 4]);
    world.reload(|config| config.upstream.in_flight = 2.into());
    let sent: Vec<_> = (0..2).map(|_| world.send(read())).collect();
    for answer in sent {
        assert_eq!(answer.await.unwrap().took, WORK);
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn beside_a_flood_who_asks_little_hardly_waits() {
    let world = World::new(|config| {
        config.upstream.in_flight = 2.into();
        config.max_wait = Period(Duration::from_secs(600));
    });
    let flood: Vec<_> = (0..50).map(|_| world.send(read())).collect();
    settle().await;
    let polite = world.send(request(Operation::GetBranch, "main", "bob", Protocol::Rest));
    assert_eq!(polite.await.unwrap().took, WORK * 2, "the next free slot, and the work");
    for answer in flood {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_in_vain_for_a_slot_is_told_at_once() {
    let world = World::new(|config| {
        config.upstream.in_flight = 1.into();
        config.max_wait = Period(Duration::from_secs(10));
    });
    let mut early: Vec<_> = (0..40).map(|_| world.send(read())).collect();
    settle().await;
    tokio::time::advance(Duration::from_millis(2500)).await;
    settle().await;
    let late = world.send(read()).await.unwrap();
    assert_eq!(
        (late.status(), late.reason(), late.took),
        (503, "upstream-busy", Duration::ZERO)
    );
    assert!(late.retry_after() >= 10, "{}", late.retry_after());
    let bob = world.send(request(Operation::GetBranch, "main", "bob", Protocol::Rest));
    assert_eq!(bob.await.unwrap().status(), 200, "another's line is not his");
    for answer in early.drain(..8) {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    drop(early);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_upload_does_not_wait_for_a_slot() {
    let world = World::new(|config| config.upstream.in_flight = 1.into());
    let first = world.send(read());
    settle().await;
    let part = world.send(request(Operation::UploadPart, "main", "alice", Protocol::Rest));
    assert_eq!(part.await.unwrap().took, WORK);
    assert_eq!(first.await.unwrap().took, WORK);
    world.assert_idle();
}
