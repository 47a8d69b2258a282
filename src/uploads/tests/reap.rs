//! Uploads that nobody goes on with, and a lakeFS that ends them or does not.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;

use super::*;
use crate::config::OnAbandoned;
use crate::lakefs_client::Identity;
use crate::lakefs_client::fake::FakeLakefs;
use crate::store::{Key, ReapEnd};
use crate::uploads::reap::Look;

#[derive(Debug)]
struct Own(String);

impl Identity for Own {
    fn bearer(&self) -> BoxFuture<'_, Result<HeaderValue, String>> {
        async { Ok(HeaderValue::from_str(&format!("Bearer {}", self.0)).unwrap()) }.boxed()
    }
    fn refused(&self) {}
}

/// A gateway with a user of its own before a lakeFS that has the upload `u`.
async fn before(lakefs: &FakeLakefs, on_abandoned: OnAbandoned) -> World {
    let config = UploadsConfig {
        on_abandoned,
        ..UploadsConfig::default()
    };
    let world = World::before(&config, Store::memory().unwrap(), lakefs.client());
    opened(&world).await;
    lakefs.set_ref("data/branches/work/staging/pmpu/u", Some(&address()));
    world
        .ledger
        .act_as(Mode::Enforce, Some(Arc::new(Own(lakefs.token("admin")))));
    world
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// What the gateway does of itself at a time from now.
async fn look(world: &World, later: Duration) {
    let now = Timestamp::now().after(later);
    world.ledger.sweep(now).await.unwrap();
    world.ledger.reap(world.ledger.look(), now).await.unwrap();
}

fn reaps(world: &World) -> Vec<serde_json::Value> {
    let events = world.events().into_iter();
    events.filter(|event| event["event"] == "reap").collect()
}

#[tokio::test]
async fn an_abandoned_upload_is_aborted_by_its_signed_address() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    look(&world, hours(19)).await;
    assert_eq!(world.the_record().await.state, State::Open, "a slow one is left alone");
    look(&world, hours(21)).await;
    let record = world.the_record().await;
    assert_eq!(record.state, State::Aborted);
    assert_eq!(record.reap.unwrap().end, Some(ReapEnd::Aborted));
    assert!(lakefs.refs().is_empty(), "it is gone at lakeFS");
    let reaps = reaps(&world);
    assert_eq!((reaps.len(), &reaps[0]["outcome"]), (1, &"ok".into()));
    assert_eq!(
        (&reaps[0]["bucket"], &reaps[0]["key"]),
        (&"bucket".into(), &"data/g/x".into())
    );
    assert!(
        world
            .metrics
            .encode()
            .contains("uploads_reaped_total{outcome=\"ok\"} 1")
    );
    no_secret(&world).await;
    look(&world, hours(22)).await;
    assert_eq!(
        lakefs.calls("/api/v1/repositories/data/branches/work/staging/pmpu/u"),
        1
    );
}

#[tokio::test]
async fn report_and_dry_run_and_observe_touch_nothing() {
    let lakefs = FakeLakefs::start().await;
    for (on_abandoned, mode) in [
        (OnAbandoned::Report, Mode::Enforce),
        (OnAbandoned::Abort, Mode::Observe),
    ] {
        let world = before(&lakefs, on_abandoned).await;
        let own: Arc<dyn Identity> = Arc::new(Own(lakefs.token("admin")));
        world.ledger.act_as(mode, Some(own));
        look(&world, hours(21)).await;
        assert_eq!(world.the_record().await.state, State::Abandoned);
        let dry = world.ledger.reap(Look::Dry, Timestamp::now().after(hours(21))).await;
        let dry = dry.unwrap();
        assert_eq!((dry.len(), dry[0].outcome), (1, ReapOutcome::WouldAbort));
        assert_eq!(world.the_record().await.reap, None);
        assert_eq!(lakefs.refs().len(), 1);
        assert!(reaps(&world).is_empty());
    }
}

#[tokio::test]
async fn a_sign_of_life_keeps_it_from_being_aborted() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    world.ledger.sweep(Timestamp::now().after(hours(21))).await.unwrap();
    assert_eq!(world.the_record().await.state, State::Abandoned);
    // Its client is back before anybody has aborted it.
    let part = step_with_address(Method::PUT, "/u/parts/2");
    world
        .send_and_read(part, |_| async { answer(200, r#"{"presigned_url":"x"}"#.to_owned()) })
        .await;
    let record = world.the_record().await;
    let touched = record.updated;
    world.ledger.reap(Look::Abort, touched.after(hours(19))).await.unwrap();
    let record = world.the_record().await;
    assert_eq!((record.state, record.reap), (State::Open, None));
    assert_eq!(lakefs.refs().len(), 1);
}

#[tokio::test]
async fn a_failed_abort_is_kept_and_tried_again_ever_later() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    lakefs.fail_with(Some(StatusCode::SERVICE_UNAVAILABLE));
    let calls = || lakefs.calls("/api/v1/repositories/data/branches/work/staging/pmpu/u");
    let minute = Duration::from_secs(60);
    for (minutes, expected) in [(0, 1), (0, 1), (1, 2), (2, 2), (3, 3)] {
        look(&world, hours(21) + minutes * minute).await;
        assert_eq!(calls(), expected, "after {minutes} minutes");
    }
    let record = world.the_record().await;
    let reap = record.reap.unwrap();
    assert_eq!((record.state, reap.attempts, reap.end), (State::Abandoned, 3, None));
    assert_eq!(
        reap.error.as_deref(),
        Some("lakeFS answered 503: internal server error")
    );
    lakefs.fail_with(None);
    look(&world, hours(22)).await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.reap.unwrap().attempts), (State::Aborted, 4));
    no_secret(&world).await;
}

#[tokio::test]
async fn what_the_store_no_longer_has_is_ended_too() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    lakefs.set_ref("data/branches/work/staging/pmpu/u", None);
    look(&world, hours(21)).await;
    assert_eq!(world.the_record().await.state, State::Aborted);
}

#[tokio::test]
async fn past_24_hours_it_says_what_only_the_object_store_can_do() {
    for on_abandoned in [OnAbandoned::Report, OnAbandoned::Abort] {
        let lakefs = FakeLakefs::start().await;
        let world = before(&lakefs, on_abandoned).await;
        lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        look(&world, hours(23)).await;
        for _ in 0..2 {
            look(&world, hours(25)).await;
        }
        let record = world.the_record().await;
        assert_eq!(record.state, State::Abandoned);
        assert_eq!(record.reap.unwrap().end, Some(ReapEnd::OutOfReach));
        let reaps = reaps(&world);
        let last = reaps.last().unwrap();
        assert_eq!(
            (&last["outcome"], &last["level"]),
            (&"out_of_reach".into(), &"WARN".into())
        );
        assert_eq!(
            (&last["bucket"], &last["key"], &last["upload.id"]),
            (&"bucket".into(), &"data/g/x".into(), &"u".into())
        );
        let told = reaps.iter().filter(|event| event["outcome"] == "out_of_reach");
        assert_eq!(told.count(), 1, "told once");
    }
}

#[tokio::test]
async fn a_lost_complete_is_aborted_and_stays_unknown() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    let id = world.the_record().await.id;
    let lost = |old: Option<Upload>| {
        Some(Upload {
            state: State::Completing,
            ..old?
        })
    };
    world.store.update_upload(Key::Id(id), Box::new(lost)).await.unwrap();
    look(&world, hours(21)).await;
    let record = world.the_record().await;
    assert_eq!(
        record.state,
        State::Unknown,
        "nobody knows whether there is an object too"
    );
    assert_eq!(record.reap.unwrap().end, Some(ReapEnd::Aborted));
    assert!(lakefs.refs().is_empty(), "and its parts cost nothing any more");
}

#[tokio::test]
async fn an_s3_upload_is_aborted_without_an_address_and_at_any_age() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    let upload = Upload {
        kind: crate::store::Kind::S3,
        sealed_address: None,
        ..world.the_record().await
    };
    world.store.put_upload(upload).await.unwrap();
    lakefs.set_ref("data/work/a/b%2Ebin", Some("it"));
    look(&world, hours(48)).await;
    let record = world.the_record().await;
    assert_eq!(record.state, State::Aborted);
    assert_eq!(record.reap.unwrap().error, None);
    assert_eq!(lakefs.calls("/data/work/a/b%2Ebin"), 1);
}

#[tokio::test]
async fn a_look_ends_the_oldest_and_not_more_than_it_may() {
    let lakefs = FakeLakefs::start().await;
    let world = before(&lakefs, OnAbandoned::Abort).await;
    let template = world.the_record().await;
    for number in 0..70 {
        let upload = Upload {
            id: Uuid::now_v7(),
            upload_id: Some(format!("u{number}")),
            ..template.clone()
        };
        world.store.put_upload(upload).await.unwrap();
    }
    look(&world, hours(21)).await;
    let records = world.records().await;
    let left: Vec<_> = records
        .iter()
        .filter(|upload| upload.state == State::Abandoned)
        .collect();
    assert_eq!(left.len(), 11);
    assert!(
        left.iter()
            .all(|upload| upload.id > records[60].id || upload.id >= records[10].id)
    );
    look(&world, hours(21)).await;
    let records = world.records().await;
    assert!(records.iter().all(|upload| upload.state == State::Aborted));
}

#[tokio::test]
async fn without_a_user_of_its_own_a_command_says_so() {
    let world = World::new();
    opened(&world).await;
    assert_eq!(
        world.ledger.reap_now(false).await.unwrap_err().to_string(),
        "the gateway has no user of its own: name one in auth.service"
    );
    assert!(world.ledger.reap_now(true).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_seal_is_only_of_what_lakefs_has_judged() {
    let world = World::new();
    let part = step_with_address(Method::PUT, "/made-up/parts/2");
    world
        .send_and_read(part, |_| async { answer(400, "{}".to_owned()) })
        .await;
    assert_eq!(world.the_record().await.sealed_address, None);
    let part = step_with_address(Method::PUT, "/made-up/parts/2");
    world
        .send_and_read(part, |_| async { answer(200, "{}".to_owned()) })
        .await;
    assert!(world.the_record().await.sealed_address.is_some());
}
