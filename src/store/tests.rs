//! The store as its users see it: what was acknowledged is there, what is wrong is said.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::{FileBackend, InMemoryBackend};

use super::fake::Disk;
use super::file::Opener;
use super::*;
use crate::config::EmbeddedConfig;

fn named(upload: &Upload) -> Key {
    Key::Name {
        upload_id: upload.upload_id.clone().unwrap(),
        repository: upload.repository.clone(),
        branch: upload.branch.clone(),
    }
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(&StoreConfig::Embedded(EmbeddedConfig {
        path: path.to_owned(),
        ..EmbeddedConfig::default()
    }))
}

/// Opens it as soon as the writer of a dropped store has let go of the file.
async fn reopen(path: &Path) -> Store {
    loop {
        match open(path) {
            Ok(store) => return store,
            Err(StoreError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn every_acknowledged_record_is_there_after_a_store_is_dropped_unclosed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let mut ids = BTreeSet::new();
    for round in 0..3 {
        let store = reopen(&path).await;
        assert_eq!(store.counts().borrow().total(), ids.len() as u64, "round {round}");
        for _ in 0..20 {
            let record = Upload::sample("r", State::Open);
            ids.insert(record.id);
            store.put_upload(record).await.unwrap();
        }
    }
    let found = reopen(&path).await.uploads(Filter::default(), 1000).await.unwrap();
    assert_eq!(found.iter().map(|upload| upload.id).collect::<BTreeSet<_>>(), ids);
    assert!(
        found.is_sorted_by_key(|upload| std::cmp::Reverse(upload.id)),
        "newest first"
    );
}

/// A copy of the file taken while it is in use is what a crash leaves behind.
#[tokio::test]
async fn a_copy_of_the_file_in_use_holds_all_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let store = open(&path).unwrap();
    for count in 1..=10_u64 {
        store.put_upload(Upload::sample("r", State::Open)).await.unwrap();
        let copy = folder.path().join(count.to_string());
        std::fs::copy(&path, &copy).unwrap();
        assert_eq!(open(&copy).unwrap().counts().borrow().total(), count);
    }
}

#[tokio::test]
async fn changes_to_one_record_never_lose_each_other() {
    let store = Store::memory().unwrap();
    let record = Upload::sample("r", State::Open);
    store.put_upload(record.clone()).await.unwrap();
    let change = || {
        store.update_upload(
            Key::Id(record.id),
            Box::new(|old| {
                old.map(|old| Upload {
                    parts_presigned: old.parts_presigned + 1,
                    ..old
                })
            }),
        )
    };
    for result in futures_util::future::join_all((0..100).map(|_| change())).await {
        result.unwrap();
    }
    assert_eq!(store.upload(record.id).await.unwrap().unwrap().parts_presigned, 100);
}

#[tokio::test]
async fn records_are_found_by_state_repository_and_upload_id() {
    let store = Store::memory().unwrap();
    let mut first = Upload::sample("r1", State::Open);
    first.upload_id = Some("u".into());
    let (second, third) = (
        Upload::sample("r2", State::Open),
        Upload::sample("r1", State::Completed),
    );
    for record in [&first, &second, &third] {
        store.put_upload((*record).clone()).await.unwrap();
    }
    let find = |states: &[State], repository: Option<&str>, limit| {
        let filter = Filter {
            states: states.to_vec(),
            repository: repository.map(Into::into),
            ..Filter::default()
        };
        let found = store.uploads(filter, limit);
        async {
            found
                .await
                .unwrap()
                .into_iter()
                .map(|upload| upload.id)
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(find(&[], None, 9).await, [third.id, second.id, first.id]);
    assert_eq!(find(&[State::Open], None, 9).await, [second.id, first.id]);
    assert_eq!(find(&[State::Open], None, 1).await, [second.id]);
    assert_eq!(
        find(&[State::Completed, State::Open], Some("r1"), 9).await,
        [third.id, first.id]
    );
    assert_eq!(store.uploads_by_upload_id("u".into()).await.unwrap(), [first.clone()]);
    assert_eq!(store.uploads_by_upload_id("".into()).await.unwrap(), []);

    let stats = store.upload_stats(Filter::default()).await.unwrap();
    assert_eq!(stats.counts, *store.counts().borrow());
    assert_eq!(
        (stats.counts.of(State::Open), stats.counts.live(), stats.counts.total()),
        (2, 2, 3)
    );

    assert!(store.delete_upload(first.id).await.unwrap());
    assert!(!store.delete_upload(first.id).await.unwrap());
    assert_eq!(store.uploads_by_upload_id("u".into()).await.unwrap(), []);
    assert_eq!(find(&[State::Open], None, 9).await, [second.id]);
}

#[tokio::test]
async fn a_record_that_learns_its_upload_id_takes_in_the_one_made_without_it() {
    let store = Store::memory().unwrap();
    let intent = Upload::sample("r", State::Intent);
    let mut seen = Upload::sample("r", State::Completed);
    (seen.upload_id, seen.bytes, seen.parts_asked) = (Some("u".into()), Some(7), None);
    store.put_upload(intent.clone()).await.unwrap();
    store.put_upload(seen.clone()).await.unwrap();

    let opened = Upload {
        upload_id: Some("u".into()),
        state: State::Open,
        ..intent.clone()
    };
    store.put_upload(opened).await.unwrap();
    let all = store.uploads(Filter::default(), 9).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].id, all[0].state, all[0].bytes, all[0].parts_asked),
        (intent.id, State::Completed, Some(7), Some(3))
    );
    assert_eq!(store.counts().borrow().total(), 1);
    let found = store.update_upload(named(&seen), Box::new(|_| None)).await.unwrap();
    assert_eq!(found.unwrap().id, intent.id);
}

#[tokio::test]
async fn old_finished_records_expire_and_live_ones_stay() {
    let store = Store::memory().unwrap();
    let (old, live, fresh) = (
        Upload::sample("r", State::Completed),
        Upload::sample("r", State::Open),
        Upload::sample("r", State::Failed),
    );
    let fresh = Upload {
        updated: Timestamp(u64::MAX),
        ..fresh
    };
    for record in [&old, &live, &fresh] {
        store.put_upload((*record).clone()).await.unwrap();
    }
    let later = Timestamp(Timestamp::now().0 + 60_000);
    assert_eq!(store.expire_uploads(later, 0).await.unwrap(), 0);
    assert_eq!(store.expire_uploads(Timestamp(0), 9).await.unwrap(), 0);
    assert_eq!(store.expire_uploads(later, 9).await.unwrap(), 1);
    assert!(store.upload(old.id).await.unwrap().is_none());
    assert_eq!(store.counts().borrow().total(), 2);
}

#[tokio::test]
async fn beyond_the_bound_the_oldest_goes_the_finished_first() {
    let store = Store::memory().unwrap();
    store.bound_uploads(3);
    let records = [
        State::Open,
        State::Open,
        State::Failed,
        State::Completed,
        State::Open,
        State::Open,
    ]
    .map(|state| Upload::sample("r", state));
    for record in &records {
        store.put_upload(record.clone()).await.unwrap();
    }
    let left = store.uploads(Filter::default(), 9).await.unwrap();
    let left: Vec<_> = left.iter().map(|upload| upload.id).collect();
    // The failed one went for the first new one, then the completed one, then, with none finished, the oldest.
    assert_eq!(left, [records[5].id, records[4].id, records[1].id]);
    assert_eq!(store.counts().borrow().total(), 3);
}

#[tokio::test]
async fn a_file_in_use_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("lakegate.redb") && text.contains("store.embedded.path"),
        "{text}"
    );
    drop(first);
}

#[test]
fn what_cannot_be_opened_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("none/lakegate.redb")).unwrap_err();
    assert!(matches!(error, StoreError::NoFolder { .. }), "{error:?}");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let store = open(&path).unwrap();
    for _ in 0..200 {
        store.put_upload(Upload::sample("r", State::Open)).await.unwrap();
    }
    let sound = std::fs::read(&path).unwrap();

    let mut garbage = sound.clone();
    garbage[..64].fill(7);
    let mut flipped = sound.clone();
    let middle = flipped.len() / 2;
    flipped[4096..middle].iter_mut().for_each(|byte| *byte ^= 0xff);
    let cut = sound[..sound.len() / 3].to_vec();
    let text = b"not a database at all, but a text file of some length".to_vec();
    for (what, bytes) in [("garbage", garbage), ("flipped", flipped), ("cut", cut), ("text", text)] {
        let damaged = folder.path().join(what);
        std::fs::write(&damaged, &bytes).unwrap();
        let error = open(&damaged).expect_err(what);
        assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(std::fs::read(&damaged).unwrap().len(), bytes.len(), "{what}");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let database = redb::Database::create(&path).unwrap();
    let txn = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(meta).unwrap().insert("schema", 2).unwrap();
    txn.commit().unwrap();
    drop(database);
    let error = open(&path).unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 2, known: 1, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_writing_goes_on_once_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lakegate.redb");
    let full = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&full);
    let opener = Opener::new("disk".into(), move |builder, place| {
        let options = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let disk = Disk {
            inner: FileBackend::new(options.unwrap()).unwrap(),
            syncs: Arc::default(),
            full: Arc::clone(&switch),
        };
        builder
            .create_with_backend(disk)
            .map_err(|error| StoreError::of(place, error))
    });
    let store = Store::Embedded(Embedded::open(opener).unwrap());
    let before = Upload::sample("r", State::Open);
    store.put_upload(before.clone()).await.unwrap();

    full.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let error = store.put_upload(Upload::sample("r", State::Open)).await.unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    }
    assert!(store.check().await.is_err());

    full.store(false, Ordering::Relaxed);
    while store.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    let after = Upload::sample("r", State::Open);
    store.put_upload(after.clone()).await.unwrap();
    let all = store.uploads(Filter::default(), 9).await.unwrap();
    let ids: Vec<_> = all.iter().map(|upload| upload.id).collect();
    assert!(ids.contains(&before.id) && ids.contains(&after.id), "{ids:?}");
    assert_eq!(store.counts().borrow().total(), all.len() as u64);
}

#[tokio::test]
async fn writes_that_wait_together_share_commits() {
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    let opener = Opener::new("memory".into(), move |builder, place| {
        let disk = Disk {
            inner: InMemoryBackend::new(),
            syncs: Arc::clone(&counted),
            full: Arc::default(),
        };
        builder
            .create_with_backend(disk)
            .map_err(|error| StoreError::of(place, error))
    });
    let store = Store::Embedded(Embedded::open(opener).unwrap());
    store.flush().await.unwrap();
    let one = syncs.load(Ordering::Relaxed);
    store.put_upload(Upload::sample("r", State::Open)).await.unwrap();
    let one = syncs.load(Ordering::Relaxed) - one;

    // The writer is kept at its desk until all fifty wait.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = writer::job(
        move |_| Ok(()),
        move |_| {
            let _ = held.recv();
        },
    );
    store.writer().submit(hold);
    let before = syncs.load(Ordering::Relaxed);
    let puts = futures_util::future::join_all((0..50).map(|_| store.put_upload(Upload::sample("r", State::Open))));
    let release = async { drop(release) };
    let (results, ()) = tokio::join!(biased; puts, release);
    results.into_iter().for_each(|result| result.unwrap());
    let commits = (syncs.load(Ordering::Relaxed) - before).div_ceil(one.max(1));
    assert!(commits <= 3, "{commits} commits for fifty writes");
    assert_eq!(store.counts().borrow().total(), 51);
}

#[tokio::test]
async fn whoever_panics_over_an_outcome_does_not_stop_the_writer() {
    let store = Store::memory().unwrap();
    store.submit_upload(Key::Id(Uuid::nil()), Box::new(|_| None), |_| {
        panic!("a careless observer")
    });
    store.submit_upload(
        Key::Id(Uuid::nil()),
        Box::new(|_| panic!("a careless change")),
        |result| {
            assert!(result.is_err());
        },
    );
    while store.put_upload(Upload::sample("r", State::Open)).await.is_err() {}
    assert_eq!(store.counts().borrow().total(), 1);
}

#[tokio::test]
async fn a_write_that_cannot_wait_is_told_when_too_many_do() {
    let store = Store::memory().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (busy_here, started) = std::sync::mpsc::channel::<()>();
    let hold = writer::job(
        |_| Ok(()),
        move |_| {
            drop(busy_here);
            let _ = held.recv();
        },
    );
    store.writer().submit(hold);
    let _ = started.recv();
    let outcomes = Arc::new(std::sync::Mutex::new((0_usize, 0_usize)));
    for _ in 0..10_000 {
        let outcomes = Arc::clone(&outcomes);
        let record = Upload::sample("r", State::Open);
        let id = record.id;
        store.submit_upload(
            Key::Id(id),
            Box::new(move |_| Some(record.clone())),
            move |result| match result {
                Ok(_) => outcomes.lock().unwrap().0 += 1,
                Err(StoreError::Busy) => outcomes.lock().unwrap().1 += 1,
                Err(error) => panic!("{error}"),
            },
        );
    }
    let refused = outcomes.lock().unwrap().1;
    assert!(refused > 0, "the queue has an end");
    drop(release);
    store.flush().await.unwrap();
    assert_eq!(*outcomes.lock().unwrap(), (10_000 - refused, refused));
}

/// Versions of one record that two replicas may have: a merge must not care who merges with whom, in which order and how often.
mod merging {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::*;

    fn approvals() -> impl Strategy<Value = Approval> {
        let states = [
            ApprovalState::Pending,
            ApprovalState::Approved,
            ApprovalState::Denied,
            ApprovalState::Used,
        ];
        (select(states.to_vec()), 0..3_u64, prop::option::of("[ab]")).prop_map(|(state, until, by)| Approval {
            id: Uuid::nil(),
            state,
            until: Timestamp(until),
            by,
            ..Approval::sample()
        })
    }

    fn holds<R: PartialEq + Clone + std::fmt::Debug>(
        merge: fn(R, R) -> R,
        a: &R,
        b: &R,
        c: &R,
    ) -> Result<(), TestCaseError> {
        let merged = |one: &R, other: &R| merge(one.clone(), other.clone());
        prop_assert_eq!(merged(a, a), a.clone());
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        Ok(())
    }

    proptest! {
        #[test]
        fn approvals_merge_in_any_order(a in approvals(), b in approvals(), c in approvals()) {
            holds(Approval::MERGE.unwrap(), &a, &b, &c)?;
        }

        #[test]
        fn what_was_used_stays_so(approval in approvals()) {
            let used = Approval { state: ApprovalState::Used, ..approval.clone() };
            let merged = Approval::MERGE.unwrap()(approval, used).state;
            prop_assert!(matches!(merged, ApprovalState::Used | ApprovalState::Denied));
        }
    }

    #[test]
    fn what_a_newer_lakegate_knows_more_is_kept() {
        let merge = Spent::MERGE.unwrap();
        let id = Uuid::nil();
        let plain = |until: u64| {
            serde_json::to_vec(&Spent {
                id,
                until: Timestamp(until),
            })
            .unwrap()
        };
        let mut newer: serde_json::Value = serde_json::from_slice(&plain(9)).unwrap();
        newer["by"] = "alice".into();
        let newer = serde_json::to_vec(&newer).unwrap();
        let joined = super::super::shared::joined::<Spent>;
        let first = joined(None, &newer, merge).unwrap();
        assert_eq!(first.store.as_deref(), Some(&*newer));
        let second = joined(Some(&plain(5)), &newer, merge).unwrap();
        assert_eq!((second.store.as_deref(), second.news), (Some(&*newer), News::None));
        let later = joined(Some(&plain(10)), &newer, merge).unwrap();
        assert_eq!((later.store, later.news), (None, News::Merged(Version::of(&newer))));
    }
}
