//! The head is on disk before the call goes, its outcome after, and it can be had back.

use std::time::Duration;

use super::*;
use crate::config::types::Period;
use crate::store::{Outcome, Timestamp};

fn moves(lakefs: &FakeLakefs) -> u16 {
    lakefs.set_ref("r/branches/main", Some(B));
    204
}

fn deletes(lakefs: &FakeLakefs) -> u16 {
    lakefs.set_ref("r/branches/main", None);
    204
}

fn by(name: &str) -> Operator {
    Operator {
        name: Some(name.into()),
        uid: Some(7),
    }
}

async fn apply(world: &World, undo: &Undo, force: bool, dry_run: bool) -> Result<Applied, Refusal> {
    let how = Apply {
        force,
        dry_run,
        by: by("ops"),
    };
    world.state.apply(undo.id, how).await
}

#[tokio::test]
async fn the_head_is_on_disk_and_pinned_before_the_call_goes_and_its_outcome_after() {
    let world = World::new().await;
    assert_eq!(world.send(hard_reset(&[]), moves).await.status(), 204);
    let before = &world.seen()[0];
    assert_eq!((before.outcome, before.commit.as_deref()), (Outcome::Pending, Some(A)));
    assert_eq!((before.moved_to.as_deref(), &*before.principal), (Some("dev"), "alice"));
    let after = &world.undos().await[0];
    assert_eq!((after.id, after.outcome), (before.id, Outcome::Done));
    assert_eq!((after.left_at.as_deref(), after.status), (Some(B), Some(204)));
    let pin = after.pin.clone().unwrap();
    assert!(pin.made);
    assert_eq!(world.lakefs.get_ref(&format!("r/tags/{}", pin.tag)).as_deref(), Some(A));
}

#[tokio::test]
async fn a_gateway_that_observes_writes_it_down_and_leaves_nothing_in_lakefs() {
    let mut world = World::new().await;
    world.mode = Mode::Observe;
    assert_eq!(world.send(hard_reset(&[]), moves).await.status(), 204);
    let undo = &world.undos().await[0];
    assert_eq!(
        (undo.outcome, undo.commit.as_deref(), &undo.pin),
        (Outcome::Done, Some(A), &None)
    );
    assert_eq!(world.lakefs.refs(), ["r/branches/dev", "r/branches/main", "r/tags/v1"]);
}

#[tokio::test]
async fn a_call_that_failed_is_marked_so_and_its_pin_goes() {
    let world = World::new().await;
    assert_eq!(world.send(hard_reset(&[]), |_| 403).await.status(), 403);
    let undo = &world.undos().await[0];
    assert_eq!((undo.outcome, undo.pin.as_ref()), (Outcome::Failed, None));
    assert_eq!(world.lakefs.refs(), ["r/branches/dev", "r/branches/main", "r/tags/v1"]);
    let refused = apply(&world, undo, false, false).await.unwrap_err();
    assert!(refused.1.contains("nothing to bring back"), "{refused:?}");
}

#[tokio::test]
async fn lakefs_own_failure_is_settled_by_looking() {
    let world = World::new().await;
    world.send(hard_reset(&[]), |_| 500).await;
    assert_eq!(world.undos().await[0].outcome, Outcome::Failed);
    let broken = |lakefs: &FakeLakefs| moves(lakefs) + 296;
    world.send(hard_reset(&[]), broken).await;
    let undo = &world.undos().await[0];
    assert_eq!((undo.outcome, undo.left_at.as_deref()), (Outcome::Unknown, Some(B)));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_leaves_an_unknown_outcome() {
    let world = World::new().await;
    let (came, arrived) = tokio::sync::oneshot::channel();
    let came = Arc::new(Mutex::new(Some(came)));
    let inner = service_fn(move |_: Request| {
        came.lock().unwrap().take().unwrap().send(()).unwrap();
        std::future::pending::<Result<Response, Infallible>>()
    });
    let mut stack = step(world.layer()).layer(inner);
    let sending = tokio::spawn(async move { stack.call(hard_reset(&[])).await });
    arrived.await.unwrap();
    sending.abort();
    let _ = sending.await;
    world.store.flush().await.unwrap();
    assert_eq!(world.undos().await[0].outcome, Outcome::Unknown);
}

#[tokio::test]
async fn what_a_restart_interrupted_is_unknown() {
    let world = World::new().await;
    world.send(hard_reset(&[]), moves).await;
    let seen = world.seen()[0].clone();
    let pending = move |undos: &mut crate::store::Records<'_, Undo>| undos.put(&seen);
    world.store.write(pending).await.unwrap();
    assert_eq!(world.state.recover().await.unwrap(), 1);
    assert_eq!(world.undos().await[0].outcome, Outcome::Unknown);
    assert_eq!(world.state.recover().await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_that_cannot_be_read_refuses_the_call_unless_configuration_lets_it_go() {
    let mut world = World::new().await;
    world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let refused = world.send(hard_reset(&[]), moves).await;
    assert_eq!((refused.status().as_u16(), world.forwarded()), (503, 0));
    assert_eq!(refused.headers()["x-lakegate-reason"], "cannot-record");
    world.mode = Mode::Observe;
    assert_eq!(world.send(hard_reset(&[]), moves).await.status(), 204);
    world.mode = Mode::Enforce;
    world.config.undo.unreadable = Unreadable::Forward;
    assert_eq!(world.send(hard_reset(&[]), moves).await.status(), 204);
    let undo = &world.undos().await[0];
    assert_eq!((undo.commit.as_deref(), undo.outcome), (None, Outcome::Done));
    assert!(
        apply(&world, undo, true, false)
            .await
            .unwrap_err()
            .1
            .contains("names no commit")
    );
}

#[tokio::test]
async fn where_nothing_is_nothing_is_written_down() {
    let world = World::new().await;
    let gone = request("alice", Method::DELETE, "r/branches/none", &[]);
    assert_eq!(world.send(gone, |_| 404).await.status(), 404);
    let harmless = request("alice", Method::POST, "r/branches/main/commits", &[]);
    world.send(harmless, |_| 201).await;
    assert_eq!((world.undos().await.len(), world.forwarded()), (0, 2));
    // A name that lakeFS does not take is lakeFS's to refuse.
    world.lakefs.fail_with(Some(StatusCode::BAD_REQUEST));
    assert_eq!(world.send(hard_reset(&[]), |_| 400).await.status(), 400);
    assert_eq!((world.undos().await.len(), world.forwarded()), (0, 3));
}

#[tokio::test]
async fn without_a_user_of_its_own_the_clients_credential_reads_and_a_wrong_one_is_lakefs_business() {
    let mut world = World::new().await;
    world.own = false;
    world.send(hard_reset(&[]), moves).await;
    assert_eq!(world.undos().await[0].commit.as_deref(), Some(A));
    let mut wrong = hard_reset(&[]);
    wrong.headers_mut().insert("authorization", basic("wrong"));
    assert_eq!(world.send(wrong, |_| 401).await.status(), 401);
    assert_eq!((world.undos().await.len(), world.forwarded()), (1, 2));
    let refused = apply(&world, &world.undos().await[0], false, false).await.unwrap_err();
    assert!(
        refused.1.contains("auth.service") && refused.1.contains("lakectl branch"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_branch_that_was_moved_goes_back_and_that_can_be_undone_too() {
    let world = World::new().await;
    world.send(hard_reset(&[]), moves).await;
    let undo = world.undos().await[0].clone();
    let dry = apply(&world, &undo, false, true).await.unwrap();
    assert!(!dry.changed && dry.did.contains(&format!("from {B} to {A}")), "{dry:?}");
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(B));
    let done = apply(&world, &undo, false, false).await.unwrap();
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(A));
    let own = world.state.record(done.record.unwrap()).await.unwrap();
    assert_eq!((own.commit.as_deref(), own.left_at.as_deref()), (Some(B), Some(A)));
    assert_eq!((own.undoes, &*own.principal), (Some(undo.id), "ops (uid 7)"));
    assert_eq!(world.state.record(undo.id).await.unwrap().undone_by, Some(own.id));
    let again = apply(&world, &undo, false, false).await.unwrap();
    assert!(!again.changed && again.did.contains("already"), "{again:?}");
    apply(&world, &own, false, false).await.unwrap();
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(B));
}

#[tokio::test]
async fn a_branch_that_moved_since_is_left_alone_unless_forced() {
    let world = World::new().await;
    world.send(hard_reset(&[]), moves).await;
    let undo = world.undos().await[0].clone();
    let newer = "c".repeat(64);
    world.lakefs.set_ref("r/branches/main", Some(&newer));
    let refused = apply(&world, &undo, false, false).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert!(
        refused.1.contains(&newer) && refused.1.contains("--force"),
        "{refused:?}"
    );
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(&*newer));
    let forced = apply(&world, &undo, true, false).await.unwrap();
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(A));
    let own = world.state.record(forced.record.unwrap()).await.unwrap();
    assert_eq!(own.commit, Some(newer), "what was lost by it is written down");
}

#[tokio::test]
async fn a_deleted_branch_and_tag_come_back_at_their_commits() {
    let world = World::new().await;
    world
        .send(request("alice", Method::DELETE, "r/branches/main", &[]), deletes)
        .await;
    let undo = world.undos().await[0].clone();
    assert_eq!((undo.left_at.as_deref(), undo.uncommitted), (None, Some(true)));
    let done = apply(&world, &undo, false, false).await.unwrap();
    assert_eq!(world.lakefs.get_ref("r/branches/main").as_deref(), Some(A));
    assert!(
        done.warnings.iter().any(|warning| warning.contains("lost for good")),
        "{done:?}"
    );
    let drop_tag = |lakefs: &FakeLakefs| {
        lakefs.set_ref("r/tags/v1", None);
        204
    };
    world
        .send(request("alice", Method::DELETE, "r/tags/v1", &[]), drop_tag)
        .await;
    let undo = world.undos().await[0].clone();
    // Somebody has made it anew elsewhere: that is how a tag moves.
    world.lakefs.set_ref("r/tags/v1", Some(B));
    assert!(apply(&world, &undo, false, false).await.is_err());
    apply(&world, &undo, true, false).await.unwrap();
    assert_eq!(world.lakefs.get_ref("r/tags/v1").as_deref(), Some(A));
}

#[tokio::test]
async fn a_branch_that_bears_the_commits_name_is_looked_out_for() {
    let world = World::new().await;
    world.send(hard_reset(&[]), moves).await;
    let undo = world.undos().await[0].clone();
    world.lakefs.set_ref(&format!("r/branches/{A}"), Some(B));
    let refused = apply(&world, &undo, true, false).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::CONFLICT);
    assert!(refused.1.contains("is named"), "{refused:?}");
}

#[tokio::test]
async fn a_deleted_repository_and_uncommitted_objects_are_beyond_undo() {
    let world = World::new().await;
    world.send(request("alice", Method::DELETE, "r", &[]), |_| 204).await;
    let undo = world.undos().await[0].clone();
    assert_eq!(undo.heads.len(), 2);
    let refused = apply(&world, &undo, true, false).await.unwrap_err();
    assert!(refused.1.contains("beyond undo"), "{refused:?}");
    world
        .send(request("alice", Method::PUT, "r/branches/main", &[]), |_| 204)
        .await;
    let undo = world.undos().await[0].clone();
    assert_eq!((undo.uncommitted, &*undo.operation), (Some(true), "resetBranch"));
    let refused = apply(&world, &undo, true, false).await.unwrap_err();
    assert!(refused.1.contains("beyond undo"), "{refused:?}");
}

#[tokio::test]
async fn old_records_go_and_their_tags_with_them() {
    let mut world = World::new().await;
    world.config.undo.retention = Period(Duration::from_secs(3600));
    world.send(hard_reset(&[]), moves).await;
    let now = Timestamp::now();
    assert_eq!(world.state.sweep(now).await.unwrap(), 0);
    let later = now.after(Duration::from_secs(4000));
    world.lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(
        world.state.sweep(later).await.unwrap(),
        0,
        "a tag that stays keeps its record"
    );
    world.lakefs.fail_with(None);
    assert_eq!(world.state.sweep(later).await.unwrap(), 1);
    assert_eq!(world.lakefs.refs(), ["r/branches/dev", "r/branches/main", "r/tags/v1"]);
    assert!(world.undos().await.is_empty());
}

#[tokio::test]
async fn beyond_the_bound_the_oldest_record_goes() {
    let mut world = World::new().await;
    world.config.undo.max_records = 2;
    for _ in 0..4 {
        world.send(hard_reset(&[]), |_| 403).await;
    }
    assert_eq!(world.undos().await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_go() {
    let mut world = World::new().await;
    let (store, full) = Store::with_a_disk();
    world.state = State::new(
        store,
        world.lakefs.client(),
        Replicas::alone(),
        Arc::new(Metrics::new()),
    );
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = world.send(hard_reset(&[]), moves).await;
    assert_eq!((refused.status().as_u16(), world.forwarded()), (503, 0));
    full.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(world.send(hard_reset(&[]), moves).await.status(), 204);
}

#[tokio::test]
async fn a_pin_that_cannot_be_made_is_no_reason_to_refuse() {
    let world = World::new().await;
    let layer = world.layer();
    let caller = Caller::Gateway(Arc::new(Own));
    let subject = Subject {
        kind: Some(UndoOperation::HardReset),
        place: subject::Place::Branch {
            repository: "r".into(),
            branch: "main".into(),
        },
        moved_to: None,
        deferred: false,
    };
    let look = Look {
        commit: Some(A.into()),
        ..Look::default()
    };
    let mut undo = destroy::draft(&context_of("alice"), &Method::PUT, &subject, look);
    world.lakefs.fail_with(Some(StatusCode::FORBIDDEN));
    layer
        .state
        .begin(&caller, UndoOperation::HardReset, &mut undo)
        .await
        .unwrap();
    assert!(!undo.pin.unwrap().made);
    assert_eq!(world.state.metrics.undo_pin_failures.get(), 1);
}
