//! Replicas in one process, each with a store of its own, and a real Redis between them.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::redis_server::{Redis, Wire};
use super::*;
use crate::config::types::Secret;
use crate::config::{EmbeddedConfig, RedisConfig, StoreConfig};
use crate::store::{Approval, ApprovalState, Key, Records, Snapshot, State, Timestamp, Upload};

struct Replica {
    replicas: Replicas,
    store: Store,
    wire: Wire,
    folder: tempfile::TempDir,
}

impl Replica {
    async fn start(redis: &Redis, name: &str) -> Self {
        Self::sealing(redis, name, "one key for all the replicas of a test").await
    }

    async fn sealing(redis: &Redis, name: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wire = Wire::to(redis.address()).await;
        let store = open(folder.path(), key);
        let settings = ReplicasConfig {
            redis: Some(RedisConfig::at(format!("redis://{}", wire.address()).parse().unwrap())),
            name: Some(name.to_owned()),
        };
        let metrics = Arc::new(Metrics::new());
        let replicas = Replicas::start(&settings, store.clone(), metrics).await.unwrap();
        Self {
            replicas,
            store,
            wire,
            folder,
        }
    }

    async fn member(self) -> Self {
        until("it is a replica", async || self.replicas.is_member() && self.receives()).await;
        self
    }

    fn receives(&self) -> bool {
        self.bus().receiving.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn bus(&self) -> &Arc<Bus> {
        self.replicas.0.as_ref().unwrap()
    }

    /// As a killed process leaves: without a word.
    async fn kill(&self) {
        if let Some(publishing) = self.bus().publishing.lock().unwrap().take() {
            publishing.abort();
        }
        self.bus().end().await;
    }

    async fn put(&self, upload: &Upload) {
        self.store.put_upload(upload.clone()).await.unwrap();
    }

    /// All uploads, in the order of their ids, as JSON.
    async fn all(&self) -> Vec<String> {
        let mut all = self
            .store
            .uploads(crate::store::Filter::default(), 100_000)
            .await
            .unwrap();
        all.sort_by_key(|upload| upload.id);
        all.iter()
            .map(|upload| serde_json::to_string(upload).unwrap())
            .collect()
    }
}

fn open(folder: &Path, key: &str) -> Store {
    let config = EmbeddedConfig {
        path: folder.join("lakegate.redb"),
        sealing_key: Some(Secret::new(key)),
    };
    Store::open(&StoreConfig::Embedded(config)).unwrap()
}

async fn until(what: &str, met: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !met().await {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what}: not within 30 seconds"
        );
        sleep(Duration::from_millis(2)).await;
    }
}

async fn same(replicas: &[&Replica]) {
    until("all stores hold the same", async || {
        let first = replicas[0].all().await;
        for other in &replicas[1..] {
            if other.all().await != first {
                return false;
            }
        }
        true
    })
    .await;
}

fn open_upload(number: usize) -> Upload {
    Upload {
        upload_id: Some(format!("upload-{number}")),
        ..Upload::sample("demo", State::Open)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_writes_the_other_can_read_at_once() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    for number in 0..200 {
        let upload = open_upload(number);
        a.put(&upload).await;
        b.replicas.caught_up().await;
        let found = b.store.uploads_by_upload_id(format!("upload-{number}")).await.unwrap();
        assert_eq!(found, [upload], "round {number}");
    }
    let gone = a.store.uploads_by_upload_id("upload-7".into()).await.unwrap()[0].id;
    a.store.delete_upload(gone).await.unwrap();
    b.replicas.caught_up().await;
    assert_eq!(b.store.upload(gone).await.unwrap(), None);
    until("both are seen", async || *b.replicas.alive().borrow() == ["a", "b"]).await;
    a.replicas.stop().await;
    until("one has left", async || *b.replicas.alive().borrow() == ["b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_filled_again_and_a_new_replica_gets_everything() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    for number in 0..300 {
        (if number % 2 == 0 { &a } else { &b }).put(&open_upload(number)).await;
    }
    same(&[&a, &b]).await;
    redis.flush();
    let c = Replica::start(&redis, "c").await.member().await;
    same(&[&a, &b, &c]).await;
    assert_eq!(c.all().await.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_holds_nothing_up_and_is_made_good() {
    let Some(mut redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    a.put(&open_upload(0)).await;
    redis.kill();
    for number in 1..20 {
        (if number % 2 == 0 { &a } else { &b }).put(&open_upload(number)).await;
    }
    until("the outage is seen", async || {
        !a.replicas.is_member() && !b.replicas.is_member()
    })
    .await;
    let begun = Instant::now();
    a.put(&open_upload(20)).await;
    a.replicas.caught_up().await;
    assert!(
        begun.elapsed() < Duration::from_millis(40),
        "nobody waits for a Redis that is gone"
    );
    redis.restart();
    same(&[&a, &b]).await;
    assert_eq!(b.all().await.len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_costs_a_few_waits_and_then_none() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    redis.freeze();
    let mut longest = Duration::ZERO;
    for number in 0..20 {
        let begun = Instant::now();
        a.put(&open_upload(number)).await;
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < Duration::from_millis(500), "a write took {longest:?}");
    until("the circuit is open", async || !a.replicas.is_member()).await;
    redis.thaw();
    same(&[&a, &b]).await;
    assert_eq!(b.all().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_on_one_is_used_on_all() {
    let Some(mut redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    let until_then = Timestamp::now().after(Duration::from_secs(600));
    let spend = async |one: &Replica, what: usize| {
        one.replicas
            .use_once(&one.store, "assertion", &what.to_string(), until_then)
            .await
            .unwrap()
    };
    for what in 0..100 {
        let (one, other) = tokio::join!(spend(&a, what), spend(&b, what));
        let mut both = [one, other];
        both.sort_by_key(|used| *used == Use::Again);
        assert_eq!(both, [Use::First, Use::Again], "{what}");
    }
    b.replicas.caught_up().await;
    redis.flush();
    for what in 0..100 {
        assert_eq!(spend(&b, what).await, Use::Again, "each has written down what was used");
    }
    redis.kill();
    until("the outage is seen", async || !a.replicas.is_member()).await;
    assert_eq!(spend(&a, 1000).await, Use::Unknown);
    redis.restart();
    until("it is back", async || a.replicas.is_member()).await;
    assert_eq!(
        spend(&a, 1000).await,
        Use::First,
        "what nobody could judge was not used up"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_another_when_it_is_gone() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    let mut first = a.replicas.stand_for("reaper");
    first.elected().await;
    let mut second = b.replicas.stand_for("reaper");
    sleep(Duration::from_millis(300)).await;
    assert!(first.leads() && !second.leads());
    let begun = Instant::now();
    a.kill().await;
    second.elected().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    b.wire.cut();
    until("who cannot reach Redis does not lead", async || !second.leads()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_seals_with_another_key_shares_nothing() {
    let Some(redis) = Redis::start() else { return };
    let a = Replica::start(&redis, "a").await.member().await;
    let stranger = Replica::sealing(&redis, "stranger", "another key, by mistake, of some length").await;
    a.put(&open_upload(1)).await;
    until("it is refused", async || {
        stranger.bus().metrics.replicas_member.get() == -1
    })
    .await;
    stranger.put(&open_upload(2)).await;
    a.replicas.caught_up().await;
    assert_eq!((a.all().await.len(), stranger.all().await.len()), (1, 1));
    assert_eq!(*a.replicas.alive().borrow(), ["a"]);
    redis.flush();
    until("the key is a's again", async || {
        redis.command("EXISTS lakegate:sealing-key").unwrap() == ":1"
    })
    .await;
    sleep(Duration::from_millis(1500)).await;
    assert!(a.replicas.is_member() && !stranger.replicas.is_member());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_records_of_one_upload_become_one() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    let created = open_upload(1);
    a.wire.cut();
    until("it is cut off", async || !a.replicas.is_member()).await;
    a.put(&created).await;
    // The other sees only its end.
    let ended = Upload {
        id: Uuid::now_v7(),
        state: State::Completed,
        updated: Timestamp(9),
        bytes: Some(5),
        ..created.clone()
    };
    b.put(&ended).await;
    a.wire.mend();
    until("one is left", async || {
        a.all().await.len() == 1 && a.all().await == b.all().await
    })
    .await;
    let found = b.store.upload(created.id).await.unwrap().unwrap();
    assert_eq!((found.state, found.bytes), (State::Completed, Some(5)));
    let c = Replica::start(&redis, "c").await.member().await;
    same(&[&a, &b, &c]).await;
    assert_eq!(c.all().await.len(), 1);
}

/// Any partition, outage, flush and change, in the order of a seed: once all is whole again, all stores hold the same, and what was
/// completed on any of them is completed on all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_in_between_all_come_to_the_same() {
    #[expect(
        clippy::disallowed_methods,
        reason = "for whoever follows up a failure, or looks for one"
    )]
    let given = std::env::var("LAKEGATE_SEED").ok();
    let seed: u64 = given.and_then(|seed| seed.parse().ok()).unwrap_or(11);
    let Some(mut redis) = Redis::start() else { return };
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(&redis, name).await.member().await);
    }
    let (mut uploads, mut completed, mut down) = (Vec::<Upload>::new(), Vec::new(), false);
    let mut state = seed;
    let mut pick = |below: usize| {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    };
    for step in 0..400 {
        let at = &replicas[pick(3)];
        match pick(100) {
            0..40 => {
                let upload = open_upload(step);
                at.put(&upload).await;
                uploads.push(upload);
            }
            40..85 if !uploads.is_empty() => {
                let upload = uploads[pick(uploads.len())].clone();
                let ends = pick(4) == 0;
                let change = move |old: Option<Upload>| {
                    let mut upload = old.unwrap_or_else(|| upload.clone());
                    upload.updated = Timestamp(step as u64 + 2);
                    upload.parts_presigned += 1;
                    if ends {
                        upload.state = State::Completed;
                    }
                    Some(upload)
                };
                let id = uploads[pick(uploads.len())].id;
                let found = at.store.upload(id).await.unwrap();
                if found.is_some() {
                    at.store.update_upload(Key::Id(id), Box::new(change)).await.unwrap();
                    completed.extend(ends.then_some(id));
                }
            }
            85..90 => at.wire.cut(),
            90..95 => at.wire.mend(),
            95..97 if !down => redis.flush(),
            97 if !down => (redis.kill(), down = true).1,
            98..100 if down => (redis.restart(), down = false).1,
            _ => sleep(Duration::from_millis(pick(40) as u64)).await,
        }
    }
    if down {
        redis.restart();
    }
    replicas.iter().for_each(|replica| replica.wire.mend());
    let all: Vec<&Replica> = replicas.iter().collect();
    same(&all).await;
    assert_eq!(all[0].all().await.len(), uploads.len(), "seed {seed}: nothing is lost");
    for id in completed {
        assert_eq!(
            all[1].store.upload(id).await.unwrap().unwrap().state,
            State::Completed,
            "seed {seed}"
        );
    }
    // And Redis itself: a new replica gets it all from there.
    let new = Replica::start(&redis, "new").await.member().await;
    same(&[all[0], &new]).await;
    drop(new.folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_given_on_one_is_known_on_the_other() {
    let Some(redis) = Redis::start() else { return };
    let (a, b) = (
        Replica::start(&redis, "a").await.member().await,
        Replica::start(&redis, "b").await.member().await,
    );
    let asked = Approval::sample();
    let id = asked.id;
    let put = async |one: &Replica, approval: Approval| {
        one.store
            .write(move |all: &mut Records<'_, Approval>| all.put(&approval))
            .await
            .unwrap();
    };
    let get = async |one: &Replica| {
        one.replicas.caught_up().await;
        one.store
            .read(move |all: &Snapshot<'_, Approval>| all.get(id))
            .await
            .unwrap()
            .unwrap()
            .state
    };
    put(&a, asked.clone()).await;
    assert_eq!(get(&b).await, ApprovalState::Pending);
    put(
        &b,
        Approval {
            state: ApprovalState::Approved,
            ..asked.clone()
        },
    )
    .await;
    assert_eq!(get(&a).await, ApprovalState::Approved);
    put(
        &a,
        Approval {
            state: ApprovalState::Used,
            ..asked
        },
    )
    .await;
    assert_eq!(get(&b).await, ApprovalState::Used);
}
