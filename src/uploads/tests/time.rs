//! What restarts and the passing of time do to the ledger.

use super::*;

fn old(state: State, age: Duration) -> Upload {
    let mut upload = super::seen::Seen::of(&create(), &Context::of(&create()))
        .map_or_else(|| unreachable!(), |seen| seen.record(state));
    let then = Timestamp::now().before(age);
    let timestamp = uuid::Timestamp::from_unix(uuid::NoContext, then.0 / 1000, 0);
    (upload.id, upload.created, upload.updated) = (Uuid::new_v7(timestamp), then, then);
    upload
}

#[tokio::test]
async fn time_makes_open_uploads_abandoned_and_forgets_old_records() {
    let world = World::new();
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let (stale, slow, lost) = (
        old(State::Open, hours(21)),
        old(State::Open, hours(21)),
        old(State::Intent, hours(21)),
    );
    let slow = Upload {
        updated: Timestamp::now(),
        ..slow
    };
    let (kept, gone) = (
        old(State::Completed, hours(29 * 24)),
        old(State::Aborted, hours(31 * 24)),
    );
    for upload in [&stale, &slow, &lost, &kept, &gone] {
        world.store.put_upload(upload.clone()).await.unwrap();
    }
    world.ledger.sweep(Timestamp::now()).await.unwrap();
    let state = async |upload: &Upload| world.store.upload(upload.id).await.unwrap().map(|upload| upload.state);
    assert_eq!(state(&stale).await, Some(State::Abandoned));
    assert_eq!(state(&slow).await, Some(State::Open), "its client gives signs of life");
    assert_eq!(state(&lost).await, Some(State::Unknown));
    assert_eq!((state(&kept).await, state(&gone).await), (Some(State::Completed), None));
    // A second look finds nothing new.
    world.ledger.sweep(Timestamp::now()).await.unwrap();
    let told: Vec<_> = world
        .events()
        .iter()
        .filter_map(|event| event["event"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(told.iter().filter(|event| *event == "abandoned").count(), 1);
    assert_eq!(told.iter().filter(|event| *event == "unknown").count(), 1);
}

#[tokio::test]
async fn new_settings_count_from_the_next_look() {
    let world = World::new();
    let upload = old(State::Open, Duration::from_secs(60));
    world.store.put_upload(upload.clone()).await.unwrap();
    world.ledger.sweep(Timestamp::now()).await.unwrap();
    assert_eq!(world.the_record().await.state, State::Open);
    world.ledger.reconfigure(&UploadsConfig {
        abandoned_after: Period(Duration::from_secs(30)),
        ..UploadsConfig::default()
    });
    world.ledger.sweep(Timestamp::now()).await.unwrap();
    assert_eq!(world.the_record().await.state, State::Abandoned);
}

#[tokio::test]
async fn after_a_restart_what_was_under_way_is_unknown() {
    let world = World::new();
    for state in [State::Intent, State::Completing, State::Open, State::Completed] {
        world
            .store
            .put_upload(old(state, Duration::from_secs(1)))
            .await
            .unwrap();
    }
    assert_eq!(world.ledger.recover().await.unwrap(), 2);
    let counts = *world.store.counts().borrow();
    assert_eq!(
        (
            counts.of(State::Unknown),
            counts.of(State::Open),
            counts.of(State::Completed)
        ),
        (2, 1, 1)
    );
    assert_eq!(world.metrics.uploads_open.get(), 1);
    assert_eq!(world.ledger.recover().await.unwrap(), 0);
}

#[tokio::test]
async fn the_gauge_follows_the_ledger() {
    let world = World::new();
    let running = tokio::spawn(Arc::clone(&world.ledger).run());
    opened(&world).await;
    world.store.flush().await.unwrap();
    while world.metrics.uploads_open.get() != 1 {
        tokio::task::yield_now().await;
    }
    running.abort();
}
