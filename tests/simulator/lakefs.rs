//! A model of lakeFS: so many requests are worked on at a time, the others wait in its own line; what writes to a branch races as there
//! (`graveler.go`): a branch update is tried ten times, a write to staging three times, and the seal of the staging area at the beginning
//! of a commit once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::scenario::{Capacity, Kind, Phase};

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of mean 1, as the time between two that come independently of each other.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.part()).ln()
    }
}

#[derive(Debug, Default)]
struct Branch {
    staging: u64,
    head: u64,
}

#[derive(Debug)]
struct Inside {
    working: usize,
    line: VecDeque<oneshot::Sender<()>>,
    random: Random,
    branches: HashMap<String, Branch>,
    /// Seconds of work, and of what could have been worked, since `since`.
    worked: f64,
    could: f64,
    since: Instant,
    /// The same, second by second.
    seconds: Vec<(f64, f64)>,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Lakefs {
    capacity: Capacity,
    began: Instant,
    inside: Mutex<Inside>,
}

impl Lakefs {
    pub(crate) fn start(capacity: Capacity, seed: u64) -> Arc<Self> {
        let began = Instant::now();
        let lakefs = Arc::new(Self {
            capacity,
            began,
            inside: Mutex::new(Inside {
                working: 0,
                line: VecDeque::new(),
                random: Random::new(seed),
                branches: HashMap::new(),
                worked: 0.0,
                could: 0.0,
                since: began,
                seconds: Vec::new(),
            }),
        });
        let keeper = Arc::clone(&lakefs);
        tokio::spawn(async move {
            for second in 1.. {
                tokio::time::sleep_until(began + Duration::from_secs(second)).await;
                keeper.close_second();
                keeper.let_in();
            }
        });
        lakefs
    }

    /// Seconds of work and of what could have been worked, in each second so far.
    pub(crate) fn seconds(&self) -> Vec<(f64, f64)> {
        self.inside.lock().unwrap().seconds.clone()
    }

    fn phase(&self) -> Phase {
        self.capacity.at(self.began.elapsed().as_secs_f64())
    }

    fn account(&self, inside: &mut Inside) {
        let servers = self.phase().servers;
        let passed = inside.since.elapsed().as_secs_f64();
        inside.since = Instant::now();
        inside.worked += passed * inside.working.min(servers) as f64;
        inside.could += passed * servers as f64;
    }

    fn close_second(&self) {
        let mut inside = self.inside.lock().unwrap();
        self.account(&mut inside);
        let second = (inside.worked, inside.could);
        inside.seconds.push(second);
        (inside.worked, inside.could) = (0.0, 0.0);
    }

    fn let_in(&self) {
        let mut inside = self.inside.lock().unwrap();
        self.account(&mut inside);
        while inside.working < self.phase().servers
            && let Some(next) = inside.line.pop_front()
        {
            if next.send(()).is_ok() {
                inside.working += 1;
            }
        }
    }

    /// Works on something for so long, when it is its turn.
    async fn work(&self, seconds: f64) {
        let (sender, receiver) = oneshot::channel();
        let took = {
            let mut inside = self.inside.lock().unwrap();
            inside.line.push_back(sender);
            let noise = self.capacity.noise;
            seconds * (1.0 - noise + noise * inside.random.exponential())
        };
        self.let_in();
        let place = Place(self, receiver);
        place.turn().await;
        let _working = Working(self);
        sleep(Duration::from_secs_f64(took * self.phase().slower)).await;
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, kind: Kind, branch: &str) -> StatusCode {
        let phase = self.phase();
        if let Some(most) = phase.refuses_beyond {
            let inside = self.inside.lock().unwrap();
            if inside.working + inside.line.len() >= most {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
        }
        match kind {
            Kind::Commit => self.commit(branch).await,
            Kind::Merge => self.update(branch, 0.030).await,
            Kind::Upload => self.stage(branch).await,
            other => {
                self.work(other.seconds()).await;
                StatusCode::OK
            }
        }
    }

    async fn commit(&self, branch: &str) -> StatusCode {
        let token = self.branch(branch, |branch| branch.staging);
        self.work(0.004).await;
        let sealed = self.branch(branch, |branch| {
            let first = branch.staging == token;
            branch.staging += u64::from(first);
            first
        });
        if !sealed {
            // "predicate failed": nobody tries that again.
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        self.update(branch, 0.026).await
    }

    /// Ten tries to move the branch, with growing pauses.
    async fn update(&self, branch: &str, seconds: f64) -> StatusCode {
        for attempt in 0..10_i32 {
            let head = self.branch(branch, |branch| branch.head);
            self.work(seconds).await;
            let moved = self.branch(branch, |branch| {
                let first = branch.head == head;
                branch.head += u64::from(first);
                first
            });
            if moved {
                return StatusCode::CREATED;
            }
            let pause = (0.1 * 1.5_f64.powi(attempt)).min(5.0);
            let part = self.inside.lock().unwrap().random.part();
            sleep(Duration::from_secs_f64(pause * (0.5 + part))).await;
        }
        StatusCode::TOO_MANY_REQUESTS
    }

    /// Three tries to write to the staging area that is the branch's when the entry is written.
    async fn stage(&self, branch: &str) -> StatusCode {
        for _ in 0..3 {
            let token = self.branch(branch, |branch| branch.staging);
            self.work(Kind::Upload.seconds()).await;
            if self.branch(branch, |branch| branch.staging) == token {
                return StatusCode::CREATED;
            }
        }
        StatusCode::TOO_MANY_REQUESTS
    }

    fn branch<R>(&self, name: &str, with: impl FnOnce(&mut Branch) -> R) -> R {
        with(self.inside.lock().unwrap().branches.entry(name.to_owned()).or_default())
    }
}

/// A place in lakeFS's own line. Let in and dropped at once, it goes back.
struct Place<'a>(&'a Lakefs, oneshot::Receiver<()>);

impl Place<'_> {
    async fn turn(mut self) {
        let _ = (&mut self.1).await;
        self.1.close();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.1.close();
        if self.1.try_recv().is_ok() {
            drop(Working(self.0));
        }
    }
}

struct Working<'a>(&'a Lakefs);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        {
            let mut inside = self.0.inside.lock().unwrap();
            self.0.account(&mut inside);
            inside.working -= 1;
        }
        self.0.let_in();
    }
}
