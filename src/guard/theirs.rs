//! lakeFS's own branch protection rules, as guard rules over their patterns: read when a request could hurt something in a repository, kept
//! for a moment, fresher than lakeFS's own cache of 3 to 6 seconds.
//!
//! One call at a time asks for a repository, for all who wait. What was read is as old as its call's beginning. Who set rules through this
//! gateway meets them with the next request: what is kept, and what is being read, is forgotten with lakeFS's answer to them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::decide::Cause;
use super::rule::{Rule, Rules};
use crate::lakefs::{Classified, Danger, Dangers, Operation};
use crate::lakefs_client::{Caller, Client, RefsError};

/// What lakeFS's rules stand against: all that `preset: protect` does, but for tags, which they are not about, users, and a change of these
/// rules themselves: whoever may set them in lakeFS must be able to take them back.
pub(super) const DANGERS: Dangers = Dangers::ALL
    .without(Danger::DeleteTag)
    .without(Danger::DeleteUser)
    .without(Danger::ProtectionRules);

/// How old rules may be that decide.
const FRESH: Duration = Duration::from_secs(1);
/// Repositories whose rules are kept at a time.
const CAPACITY: usize = 1024;

/// Rules that could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lakeFS's branch protection rules cannot be read: {0}")]
pub(super) struct Unreadable(Arc<str>);

/// A repository's rules; `None` where it has none, or where there is no such repository.
type Outcome = Result<Option<Arc<Rules>>, Unreadable>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// The rules of lakeFS's repositories.
pub(super) struct Theirs {
    client: Client,
    /// [`FRESH`], but for tests that a slow machine must not change.
    fresh: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    repositories: HashMap<Box<str>, Repository>,
    /// Calls made so far.
    calls: u64,
}

#[derive(Default)]
struct Repository {
    held: Option<(Instant, Option<Arc<Rules>>)>,
    flight: Option<(Call, Flight)>,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    number: u64,
    began: Instant,
}

impl Repository {
    fn is_of_use(&self, is_fresh: impl Fn(Instant) -> bool) -> bool {
        self.flight.is_some() || self.held.as_ref().is_some_and(|(since, _)| is_fresh(*since))
    }
}

impl Theirs {
    /// None are known yet.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            fresh: FRESH,
            known: Mutex::default(),
        }
    }

    /// A repository's rules, at most a second old when they are asked for.
    pub(super) async fn rules(self: &Arc<Self>, caller: &Caller, repository: &str) -> Outcome {
        let flight = {
            let mut known = self.known();
            let now = Instant::now();
            let is_fresh = |since: Instant| self.is_fresh(since, now);
            let entry = known.repositories.get(repository);
            if let Some((_, rules)) = entry.and_then(|entry| entry.held.as_ref().filter(|(since, _)| is_fresh(*since)))
            {
                return Ok(rules.clone());
            }
            match entry.and_then(|entry| entry.flight.as_ref()) {
                // An older one may have been answered before that.
                Some((call, flight)) if is_fresh(call.began) => flight.clone(),
                _ => self.start(&mut known, caller, repository, now),
            }
        };
        flight.await
    }

    /// Forgets what is known, and what is being asked, of a repository: its rules have changed.
    pub(super) fn forget(&self, repository: &str) {
        self.known().repositories.remove(repository);
    }

    fn start(self: &Arc<Self>, known: &mut Known, caller: &Caller, repository: &str, now: Instant) -> Flight {
        known.calls += 1;
        let call = Call {
            number: known.calls,
            began: now,
        };
        let (sender, receiver) = oneshot::channel();
        let (theirs, caller, name) = (Arc::clone(self), caller.clone(), Box::<str>::from(repository));
        // In a task of its own: whoever waits for it may leave.
        self.client.runtime().spawn(async move {
            let outcome = theirs.read(&caller, &name).await;
            theirs.land(&name, call, &outcome);
            // Nobody may be waiting any more.
            let _ = sender.send(outcome);
        });
        let flight = receiver
            .map(|sent| sent.unwrap_or_else(|_| Err(Unreadable("the gateway is stopping".into()))))
            .boxed()
            .shared();
        if known.repositories.len() >= CAPACITY && !known.repositories.contains_key(repository) {
            known
                .repositories
                .retain(|_, entry| entry.is_of_use(|since| self.is_fresh(since, now)));
        }
        // Full of what is asked for at this moment, it does without.
        if known.repositories.len() < CAPACITY || known.repositories.contains_key(repository) {
            known.repositories.entry(repository.into()).or_default().flight = Some((call, flight.clone()));
        }
        flight
    }

    async fn read(&self, caller: &Caller, repository: &str) -> Outcome {
        let asked = match self.client.protection_rules(caller, repository).await {
            // The bearer had been good; by now there is another.
            Err(RefsError::Unauthenticated) => self.client.protection_rules(caller, repository).await,
            asked => asked,
        };
        let patterns = asked.map_err(|error| {
            tracing::warn!(
                target: "lakegate::guard", repository, error = &error as &dyn std::error::Error,
                "lakeFS's branch protection rules cannot be read"
            );
            Unreadable(error.to_string().into())
        })?;
        let mut patterns = patterns.unwrap_or_default();
        if patterns.is_empty() {
            return Ok(None);
        }
        let repository = repository.to_owned();
        let compiling = move || {
            // lakeFS tells them in any order.
            patterns.sort_unstable();
            patterns.dedup();
            Some(Arc::new(Rules::of_lakefs(&repository, &patterns)))
        };
        // There may be many.
        let compiled = tokio::task::spawn_blocking(compiling).await;
        compiled.map_err(|_| Unreadable("the gateway is stopping".into()))
    }

    /// Keeps what a call brought, unless it was forgotten or overtaken meanwhile.
    fn land(&self, repository: &str, call: Call, outcome: &Outcome) {
        let mut known = self.known();
        let Some(entry) = known.repositories.get_mut(repository) else {
            return;
        };
        if entry.flight.as_ref().is_none_or(|(own, _)| own.number != call.number) {
            return;
        }
        entry.flight = None;
        match outcome {
            Ok(rules) => entry.held = Some((call.began, rules.clone())),
            Err(_) => drop(known.repositories.remove(repository)),
        }
    }

    fn is_fresh(&self, since: Instant, now: Instant) -> bool {
        now.duration_since(since) < self.fresh
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Theirs").finish_non_exhaustive()
    }
}

/// What lakeFS itself says where one of its rules refuses this (controller.go, pkg/gateway/errors): clients may know its words. Nothing
/// where lakeFS lets it pass, or answers for each object.
pub(super) fn words(rule: &Rule, cause: Cause, classified: &Classified) -> Option<&'static str> {
    use Operation as O;
    // A hook is refused on other branches too, where lakeFS would take it.
    if !rule.is_theirs() || matches!(cause, Cause::Operation(_) | Cause::Danger(Danger::Actions)) {
        return None;
    }
    match classified.operation {
        O::HardResetBranch => Some("protected branch"),
        O::Commit | O::CommitAsync => Some("cannot commit to protected branch"),
        O::ResetBranch
        | O::UploadObject
        | O::StageObject
        | O::LinkPhysicalAddress
        | O::CopyObject
        | O::DeleteObject => Some("cannot write to protected branch"),
        O::S3DeleteObject => Some("Attempted to write to a protected branch"),
        _ => None,
    }
}

/// The repositories whose rules have a say in a request, each once: those that it can hurt something in. Where lakeFS allows no such name it
/// has no such repository.
pub(super) fn concerned(classified: &Classified, dangers: Dangers) -> Vec<&str> {
    let mut repositories = Vec::new();
    for danger in dangers.and(DANGERS).iter() {
        let named = danger.places(classified).filter_map(|place| place.repository);
        for repository in named.filter(|repository| is_name(repository)) {
            if !repositories.contains(&repository) {
                repositories.push(repository);
            }
        }
    }
    repositories
}

/// `ReValidRepositoryID` of pkg/validator/validate.go.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = text.bytes();
    (3..=63).contains(&text.len()) && bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode, header};

    use super::*;
    use crate::lakefs_client::fake::FakeLakefs;

    const RULES: &str = "/api/v1/repositories/lake/settings/branch_protection";

    /// Much longer than the tests themselves take.
    const LONG: Duration = Duration::from_secs(3600);

    async fn world() -> (FakeLakefs, Arc<Theirs>, Caller) {
        let lakefs = FakeLakefs::start().await;
        let theirs = Arc::new(Theirs {
            fresh: LONG,
            ..Theirs::new(lakefs.client())
        });
        let bearer = format!("Bearer {}", lakefs.token("admin")).parse().unwrap();
        let caller = Caller::Client(HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]));
        lakefs.protect("lake", Some(&["main"]));
        (lakefs, theirs, caller)
    }

    async fn names(theirs: &Arc<Theirs>, caller: &Caller) -> Vec<String> {
        let rules = theirs.rules(caller, "lake").await.unwrap();
        rules
            .iter()
            .flat_map(|rules| rules.iter())
            .map(|rule| rule.name().to_owned())
            .collect()
    }

    async fn pass(time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_hundred_requests_at_once_ask_once_and_what_is_no_longer_fresh_is_asked_for_again() {
        let (lakefs, theirs, caller) = world().await;
        lakefs.hold();
        let ask = |_| {
            let (theirs, caller) = (Arc::clone(&theirs), caller.clone());
            tokio::spawn(async move { names(&theirs, &caller).await })
        };
        let asking: Vec<_> = (0..100).map(ask).collect();
        lakefs.arrived(1).await;
        lakefs.release();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), ["lakefs:main"]);
        }
        lakefs.protect("lake", Some(&["prod-*"]));
        pass(LONG / 2).await;
        assert_eq!(names(&theirs, &caller).await, ["lakefs:main"]);
        assert_eq!(lakefs.calls(RULES), 1);
        pass(LONG).await;
        assert_eq!(names(&theirs, &caller).await, ["lakefs:prod-*"]);
        assert_eq!(lakefs.calls(RULES), 2);
    }

    #[tokio::test]
    async fn what_was_being_read_when_the_rules_changed_is_not_kept() {
        let (lakefs, theirs, caller) = world().await;
        lakefs.hold();
        let early = {
            let (theirs, caller) = (Arc::clone(&theirs), caller.clone());
            tokio::spawn(async move { names(&theirs, &caller).await })
        };
        lakefs.arrived(1).await;
        theirs.forget("lake");
        let late = {
            let (theirs, caller) = (Arc::clone(&theirs), caller.clone());
            tokio::spawn(async move { names(&theirs, &caller).await })
        };
        lakefs.arrived(2).await;
        lakefs.release();
        let _ = (early.await.unwrap(), late.await.unwrap());
        lakefs.protect("lake", Some(&["prod"]));
        theirs.forget("lake");
        assert_eq!(names(&theirs, &caller).await, ["lakefs:prod"], "at once");
    }

    #[tokio::test]
    async fn nobody_waits_on_a_call_that_began_too_long_ago() {
        let (lakefs, theirs, caller) = world().await;
        lakefs.hold();
        let ask = || {
            let (theirs, caller) = (Arc::clone(&theirs), caller.clone());
            tokio::spawn(async move { names(&theirs, &caller).await })
        };
        let early = ask();
        lakefs.arrived(1).await;
        // Its waiter leaves, and the call goes on.
        early.abort();
        pass(LONG).await;
        let late = ask();
        lakefs.arrived(2).await;
        lakefs.release();
        assert_eq!(late.await.unwrap(), ["lakefs:main"]);
    }

    #[tokio::test]
    async fn no_rules_no_repository_and_no_answer_are_three_things() {
        let (lakefs, theirs, caller) = world().await;
        lakefs.protect("lake", Some(&[]));
        assert!(theirs.rules(&caller, "lake").await.unwrap().is_none());
        assert!(
            theirs.rules(&caller, "pond").await.unwrap().is_none(),
            "no such repository"
        );
        for status in [
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::UNAUTHORIZED,
            // Not lakeFS's words.
            StatusCode::NOT_FOUND,
        ] {
            lakefs.fail_with(Some(status));
            theirs.forget("lake");
            assert!(theirs.rules(&caller, "lake").await.is_err(), "{status}");
        }
        lakefs.fail_with(None);
        assert!(theirs.rules(&caller, "lake").await.is_ok(), "a failure is not kept");
    }

    #[tokio::test]
    async fn it_keeps_no_more_than_it_may() {
        let (lakefs, theirs, caller) = world().await;
        for n in 0..CAPACITY + 50 {
            theirs.rules(&caller, &format!("repository-{n}")).await.unwrap();
            assert!(theirs.known().repositories.len() <= CAPACITY);
        }
        assert_eq!(names(&theirs, &caller).await, ["lakefs:main"]);
        drop(lakefs);
    }

    #[test]
    fn only_names_that_lakefs_allows_are_asked_for() {
        for (name, allowed) in [
            ("lake", true),
            ("0-1", true),
            ("-ab", false),
            ("ab", false),
            ("Lake", false),
            ("lake/x", false),
            ("lake%2f", false),
        ] {
            assert_eq!(is_name(name), allowed, "{name}");
        }
        assert!(!is_name(&"a".repeat(64)));
    }
}
