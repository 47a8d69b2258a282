//! Follows a configuration while the gateway runs: a good new one is handed out, a bad one changes nothing but a log line.
//!
//! What a new configuration rebuilds and what lives on is the server's business. The file is read every few seconds rather than watched:
//! mounted files change by swapped links that watchers miss, and a secret behind a reference changes without its configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::problem::Problems;
use super::{Config, Loaded, load};

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(3);

/// Follows `file` from `running` on, for as long as the future that comes back is polled.
///
/// A changed configuration is handed out once two readings in a row gave it, so that a half-written file does no harm; SIGHUP hands out
/// what is there at once, and even if nothing changed. `counted` is told of each reload: true if it was taken,
/// false if it was refused.
///
/// # Errors
/// If the process cannot listen for signals.
pub fn follow(
    file: PathBuf,
    running: Arc<Config>,
    counted: impl Fn(bool) + Send + 'static,
) -> std::io::Result<(watch::Receiver<Arc<Config>>, impl Future<Output = ()> + Send + 'static)> {
    let mut hangups = signal(SignalKind::hangup())?;
    let (mut follower, receiver) = Follower::new(file, running, counted);
    let following = async move {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let forced = tokio::select! {
                _ = ticks.tick() => false,
                asked = hangups.recv() => asked.is_some(),
            };
            follower.look(forced).await;
        }
    };
    Ok((receiver, following))
}

/// The keys that a running process cannot change, and their values in two configurations side by side.
macro_rules! fixed_keys {
    ($($name:literal: $($field:ident).+;)*) => {
        /// The keys that differ between two configurations and that only a restart can change.
        pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
            let mut keys = Vec::new();
            if !old.listen.opens_as(&new.listen) { keys.push("listen"); }
            $(if old.$($field).+ != new.$($field).+ { keys.push($name); })*
            keys
        }

        /// `new`, with what only a restart can change as it is in `running`.
        fn fitting(running: &Config, mut new: Config) -> Config {
            new.listen = running.listen.renewed(&new.listen);
            $(new.$($field).+.clone_from(&running.$($field).+);)*
            new
        }
    };
}

// What `server::Gateway::start` makes of them is not made anew by a reload. A key leaves this list when it is. Of `listen`, certificates
// are renewed and sockets are not.
fixed_keys! {
    "upstream.url": upstream.url;
    "upstream.tls": upstream.tls;
    "upstream.connect_timeout": upstream.connect_timeout;
    "store": store;
    "replicas": replicas;
    "audit.file": audit.file;
    "log": log;
    "admin": admin;
    "server.threads": server.threads;
    "server.max_connections": server.max_connections;
    "server.max_header_size": server.max_header_size;
    "server.max_headers": server.max_headers;
    "server.header_timeout": server.header_timeout;
    "server.keep_alive": server.keep_alive;
    "server.idle_timeout": server.idle_timeout;
    "server.inspected_bodies": server.inspected_bodies;
    "server.drain_timeout": server.drain_timeout;
}

type Reading = Result<Loaded, Problems>;

struct Follower<F> {
    file: PathBuf,
    counted: F,
    sender: watch::Sender<Arc<Config>>,
    /// What was last taken or refused.
    settled: Reading,
    /// What the last look found, if that was something new.
    news: Option<Reading>,
}

impl<F: Fn(bool)> Follower<F> {
    fn new(file: PathBuf, running: Arc<Config>, counted: F) -> (Self, watch::Receiver<Arc<Config>>) {
        let settled = Ok(Loaded {
            config: Config::clone(&running),
            warnings: Vec::new(),
        });
        let (sender, receiver) = watch::channel(running);
        let follower = Self {
            file,
            counted,
            sender,
            settled,
            news: None,
        };
        (follower, receiver)
    }

    async fn look(&mut self, forced: bool) {
        let file = self.file.clone();
        let Ok(reading) = tokio::task::spawn_blocking(move || load(Some(&file))).await else {
            return; // the runtime is shutting down
        };
        if forced {
            return self.settle(reading);
        }
        if same(&self.settled, &reading) {
            self.news = None;
        } else if self.news.as_ref().is_some_and(|news| same(news, &reading)) {
            self.settle(reading);
        } else {
            self.news = Some(reading);
        }
    }

    fn settle(&mut self, reading: Reading) {
        (self.counted)(reading.is_ok());
        match &reading {
            Ok(loaded) => self.take(loaded),
            Err(problems) => {
                tracing::error!(config.file = %self.file.display(), config.problems = %problems, "the new configuration is refused, the running one stays");
            }
        }
        self.news = None;
        self.settled = reading;
    }

    fn take(&self, loaded: &Loaded) {
        let running = Arc::clone(&self.sender.borrow());
        let fixed = needs_restart(&running, &loaded.config);
        if !fixed.is_empty() {
            tracing::warn!(
                config.keys = fixed.join(", "),
                "a change of these keys needs a restart, the rest is taken"
            );
        }
        for warning in &loaded.warnings {
            tracing::warn!(config.key = warning.key, "{}", warning.message);
        }
        tracing::info!(config.file = %self.file.display(), "a new configuration is taken");
        self.sender
            .send_replace(Arc::new(fitting(&running, loaded.config.clone())));
    }
}

/// Whether two readings would do the same.
fn same(one: &Reading, other: &Reading) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one.config == other.config,
        (Err(one), Err(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A follower of a file with this text, and how many reloads it took and refused.
    struct World {
        folder: tempfile::TempDir,
        counts: Arc<[AtomicUsize; 2]>,
        follower: Follower<Box<dyn Fn(bool) + Send>>,
        receiver: watch::Receiver<Arc<Config>>,
    }

    impl World {
        fn new(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("lakegate.yaml");
            std::fs::write(&file, text).unwrap();
            let running = Arc::new(load(Some(&file)).unwrap().config);
            let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            let counters = Arc::clone(&counts);
            let counted: Box<dyn Fn(bool) + Send> = Box::new(move |taken| {
                counters[usize::from(!taken)].fetch_add(1, Ordering::Relaxed);
            });
            let (follower, receiver) = Follower::new(file, running, counted);
            Self {
                folder,
                counts,
                follower,
                receiver,
            }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.folder.path().join("lakegate.yaml"), text).unwrap();
        }

        /// Taken and refused so far.
        fn counts(&self) -> (usize, usize) {
            (
                self.counts[0].load(Ordering::Relaxed),
                self.counts[1].load(Ordering::Relaxed),
            )
        }

        fn max_waiting(&self) -> usize {
            self.receiver.borrow().limit.max_waiting
        }
    }

    const URL: &str = "upstream: {url: http://127.0.0.1:8000}\n";

    #[tokio::test]
    async fn a_change_is_taken_once_it_has_settled() {
        let mut world = World::new(URL);
        world.follower.look(false).await;
        world.write(&format!("{URL}limit: {{max_waiting: 5}}"));
        world.follower.look(false).await;
        assert_eq!(world.counts(), (0, 0));
        for _ in 0..3 {
            world.follower.look(false).await;
            assert_eq!((world.counts(), world.max_waiting()), ((1, 0), 5));
        }
    }

    #[tokio::test]
    async fn a_bad_file_changes_nothing_and_is_told_once() {
        let mut world = World::new(URL);
        world.write("limit: {max_waiting: many}");
        for _ in 0..4 {
            world.follower.look(false).await;
        }
        assert_eq!((world.counts(), world.max_waiting()), ((0, 1), 10_000));
        world.write(URL);
        world.follower.look(true).await;
        assert_eq!(world.counts(), (1, 1));
    }

    #[tokio::test]
    async fn being_asked_takes_what_is_there_at_once() {
        let mut world = World::new(URL);
        world.write(&format!("{URL}limit: {{max_waiting: 5}}"));
        world.follower.look(true).await;
        assert_eq!((world.counts(), world.max_waiting()), ((1, 0), 5));
        world.receiver.mark_unchanged();
        world.follower.look(true).await;
        assert!(world.receiver.has_changed().unwrap());
    }

    #[tokio::test]
    async fn what_needs_a_restart_stays_and_the_rest_changes() {
        let mut world = World::new(URL);
        world.write(&format!("{URL}listen: 127.0.0.1:9999\nlimit: {{max_waiting: 5}}"));
        world.follower.look(true).await;
        let config = Arc::clone(&world.receiver.borrow());
        assert_eq!(
            (&config.listen, config.limit.max_waiting),
            (&Config::default().listen, 5)
        );
        for _ in 0..3 {
            world.follower.look(false).await;
        }
        assert_eq!(world.counts(), (1, 0));
    }

    #[tokio::test]
    async fn a_secret_that_was_rotated_is_a_change() {
        let mut world = World::new(URL);
        let secret = world.folder.path().join("secret");
        std::fs::write(&secret, "one").unwrap();
        world.write(&format!(
            "{URL}auth: {{lakefs_secret: '${{file:{}}}'}}",
            secret.display()
        ));
        world.follower.look(true).await;
        std::fs::write(&secret, "two").unwrap();
        world.follower.look(false).await;
        world.follower.look(false).await;
        let config = Arc::clone(&world.receiver.borrow());
        assert_eq!(config.auth.lakefs_secret.as_ref().unwrap().expose(), "two");
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_is_read_again_and_again() {
        let world = World::new(URL);
        let file = world.folder.path().join("lakegate.yaml");
        let running = Arc::clone(&world.receiver.borrow());
        let (mut receiver, following) = follow(file, running, |_| {}).unwrap();
        let following = tokio::spawn(following);
        world.write(&format!("{URL}limit: {{max_waiting: 6}}"));
        receiver.changed().await.unwrap();
        assert_eq!(receiver.borrow().limit.max_waiting, 6);
        following.abort();
    }

    #[tokio::test]
    async fn a_hangup_asks_for_what_is_there() {
        let world = World::new(URL);
        let file = world.folder.path().join("lakegate.yaml");
        let running = Arc::clone(&world.receiver.borrow());
        let (mut receiver, following) = follow(file, running, |_| {}).unwrap();
        let following = tokio::spawn(following);
        // tokio has taken the signal over by now, so that it ends nobody.
        let kill = format!("kill -HUP {}", std::process::id());
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        receiver.changed().await.unwrap();
        assert_eq!(
            receiver.borrow().limit.max_waiting,
            10_000,
            "nothing changed, and it is handed out all the same"
        );
        following.abort();
    }

    #[test]
    fn each_fixed_key_is_named() {
        let (old, mut new) = (Config::default(), Config::default());
        assert!(needs_restart(&old, &new).is_empty());
        new.store = crate::config::StoreConfig::Memory;
        new.server.threads = 7;
        new.limit.max_waiting = 7;
        assert_eq!(needs_restart(&old, &new), ["store", "server.threads"]);
    }
}
