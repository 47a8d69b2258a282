//! Asking lakeFS whose a credential is: `GET /user` with it alone, its answer believed for a while, and asked for once however many
//! requests bring the credential at the same time.
//!
//! A question goes on though its first client leaves. Credentials are remembered by SHA-256 only.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

use super::attempts::{Attempts, Rate};
use super::bounded::Bounded;
use crate::lakefs_client::{Client, ClientError};

/// A credential, by its SHA-256.
pub(super) type Fingerprint = [u8; 32];

/// What lakeFS makes of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this user's.
    User(Arc<str>),
    /// It is no credential at all: lakeFS looks at the next.
    Nobody,
    /// It is not good: 401, and nothing else is looked at.
    Refused,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AskError {
    /// lakeFS cannot be reached.
    #[error("{0}")]
    Down(String),
    /// It does not answer in time.
    #[error("{0}")]
    Slow(String),
    /// It answers, but not to the question.
    #[error("{0}")]
    Broken(String),
    /// More credentials are waiting for a verdict than may.
    #[error("too many credentials are waiting to be proved")]
    Busy,
    /// The address has failed too often.
    #[error("too many failed logins")]
    Wait(Duration),
}

/// A credential whose owner is asked for.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// The header that carries it.
    pub(super) header: HeaderName,
    /// That header's value.
    pub(super) value: HeaderValue,
    /// How long a name is believed.
    pub(super) ttl: Duration,
    /// How long a lakeFS that does not listen is waited for.
    pub(super) patience: Duration,
    /// Whom it costs if it is wrong: a key pair can be guessed, a token cannot.
    pub(super) guess: Option<Guess>,
}

/// Who may be guessing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    /// Where from.
    pub(super) address: IpAddr,
    /// How often an address may be wrong.
    pub(super) rate: Rate,
    /// Whether it is made to wait beyond that.
    pub(super) enforced: bool,
}

impl Question {
    /// What it is remembered by.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&[self.header.as_str().as_bytes(), self.value.as_bytes()])
    }
}

/// The SHA-256 of parts, each ended so that they cannot run together.
pub(super) fn fingerprint(parts: &[&[u8]]) -> Fingerprint {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}

/// The verdicts known and being asked for.
#[derive(Debug)]
pub(super) struct Proofs {
    client: Client,
    attempts: Arc<Attempts>,
    accepted: Bounded<Fingerprint, Verdict>,
    // Apart from the accepted, so that junk does not push them out.
    denied: Bounded<Fingerprint, Verdict>,
    flights: Mutex<HashMap<Fingerprint, Flight>>,
    permits: Semaphore,
}

type Outcome = Result<Verdict, AskError>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

impl Proofs {
    pub(super) fn new(client: Client, attempts: Arc<Attempts>) -> Self {
        Self {
            client,
            attempts,
            accepted: Bounded::new(MAX_ACCEPTED),
            denied: Bounded::new(MAX_DENIED),
            flights: Mutex::default(),
            permits: Semaphore::new(MAX_QUESTIONS),
        }
    }

    /// Whose a credential is.
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Outcome {
        let fingerprint = question.fingerprint();
        let now = Instant::now();
        if let Some(verdict) = self.known(&fingerprint, now) {
            return Ok(verdict);
        }
        let flight = {
            let mut flights = self.flights();
            // One may have landed since.
            if let Some(verdict) = self.known(&fingerprint, now) {
                return Ok(verdict);
            }
            match flights.get(&fingerprint) {
                Some(flight) => flight.clone(),
                None if flights.len() >= MAX_FLIGHTS => return Err(AskError::Busy),
                None => {
                    let flight = self.start(fingerprint, question);
                    flights.insert(fingerprint, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    fn known(&self, fingerprint: &Fingerprint, now: Instant) -> Option<Verdict> {
        let accepted = self.accepted.get(fingerprint, now);
        accepted.or_else(|| self.denied.get(fingerprint, now))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Fingerprint, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, fingerprint: Fingerprint, question: Question) -> Flight {
        let (sender, receiver) = oneshot::channel();
        let landing = Landing {
            proofs: Arc::clone(self),
            fingerprint,
        };
        self.client.runtime().spawn(async move {
            let outcome = landing.proofs.fly(fingerprint, &question).await;
            drop(landing);
            // Nobody may be waiting any more.
            let _ = sender.send(outcome);
        });
        let lost = || AskError::Broken("the question was not put".into());
        receiver
            .map(move |sent| sent.unwrap_or_else(|_| Err(lost())))
            .boxed()
            .shared()
    }

    async fn fly(&self, fingerprint: Fingerprint, question: &Question) -> Outcome {
        let deadline = Instant::now() + question.patience;
        let _permit = self.permits.acquire().await;
        if let Some(guess) = question.guess.filter(|guess| guess.enforced)
            && let Some(wait) = self.attempts.wait(guess.address, guess.rate, Instant::now())
        {
            return Err(AskError::Wait(wait));
        }
        let headers = HeaderMap::from_iter([(question.header.clone(), question.value.clone())]);
        let answer = loop {
            match self.client.current_user(headers.clone()).await {
                Err(ClientError::Dial(_)) if Instant::now() < deadline => sleep(DIAL_PAUSE).await,
                answer => break answer,
            }
        };
        let now = Instant::now();
        match answer {
            Ok(Some(user)) => {
                let verdict = Verdict::User(user.id.into());
                self.accepted
                    .insert(fingerprint, verdict.clone(), now + question.ttl, now);
                Ok(verdict)
            }
            Ok(None) => {
                self.denied.insert(fingerprint, Verdict::Nobody, now + DENIED_TTL, now);
                Ok(Verdict::Nobody)
            }
            Err(ClientError::Refused) => {
                self.denied.insert(fingerprint, Verdict::Refused, now + DENIED_TTL, now);
                if let Some(guess) = question.guess {
                    self.attempts.failed(guess.address, guess.rate, now);
                    tracing::info!(client.address = %guess.address, "lakeFS refused a key pair");
                }
                Ok(Verdict::Refused)
            }
            Err(error) => {
                tracing::debug!(error = causes(&error), "lakeFS did not say whose a credential is");
                Err(no_verdict(&error))
            }
        }
    }
}

/// Takes a flight off the list, also when it crashed.
struct Landing {
    proofs: Arc<Proofs>,
    fingerprint: Fingerprint,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.proofs.flights().remove(&self.fingerprint);
    }
}

/// What a failed call means to those who wait for its answer.
pub(super) fn no_verdict(error: &ClientError) -> AskError {
    let why = causes(error);
    match error {
        ClientError::Dial(_) | ClientError::Stopping => AskError::Down(why),
        ClientError::Timeout => AskError::Slow(why),
        ClientError::Http(_)
        | ClientError::Body(_)
        | ClientError::TooLong
        | ClientError::Refused
        | ClientError::Unexpected(_)
        | ClientError::Malformed(_)
        | ClientError::Invalid(_) => AskError::Broken(why),
    }
}

/// An error and what is behind it, on one line.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += ": ";
        text += &cause.to_string();
        next = cause.source();
    }
    text
}

/// Credentials remembered as good.
const MAX_ACCEPTED: usize = 10_000;
/// Credentials remembered as not good.
const MAX_DENIED: usize = 2_000;
/// For how long: a client that repeats itself is answered without lakeFS, and a key made this moment works soon.
const DENIED_TTL: Duration = Duration::from_secs(3);
/// Questions put to lakeFS at a time.
const MAX_QUESTIONS: usize = 64;
/// Credentials waiting for a verdict.
const MAX_FLIGHTS: usize = 4096;
/// Between two looks whether lakeFS listens again.
pub(super) const DIAL_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::{StatusCode, header};

    const USER: &str = "/api/v1/user";

    fn proofs(lakefs: &FakeLakefs) -> Arc<Proofs> {
        Arc::new(Proofs::new(lakefs.client(), Arc::new(Attempts::new())))
    }

    fn basic(secret: &str) -> Question {
        let value = format!("Basic {}", STANDARD.encode(format!("{KEY}:{secret}")));
        Question {
            header: header::AUTHORIZATION,
            value: value.parse().unwrap(),
            ttl: Duration::from_secs(20),
            patience: Duration::ZERO,
            guess: Some(Guess {
                address: [127, 0, 0, 1].into(),
                rate: Rate(3),
                enforced: true,
            }),
        }
    }

    fn admin() -> Outcome {
        Ok(Verdict::User("admin".into()))
    }

    #[tokio::test]
    async fn a_hundred_at_once_are_one_question_and_its_answer_is_believed_for_its_time() {
        let lakefs = FakeLakefs::start().await;
        let proofs = proofs(&lakefs);
        lakefs.hold();
        let ask = |_| {
            let proofs = Arc::clone(&proofs);
            tokio::spawn(async move { proofs.ask(basic(SECRET)).await })
        };
        let asking: Vec<_> = (0..100).map(ask).collect();
        lakefs.arrived(1).await;
        lakefs.release();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), admin());
        }
        assert_eq!(proofs.ask(basic(SECRET)).await, admin());
        assert_eq!(lakefs.calls(USER), 1);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(21)).await;
        tokio::time::resume();
        assert_eq!(proofs.ask(basic(SECRET)).await, admin());
        assert_eq!(lakefs.calls(USER), 2);
        assert!(proofs.flights().is_empty());
    }

    #[tokio::test]
    async fn wrong_ones_are_asked_for_once_in_a_while_and_too_many_have_to_wait() {
        let lakefs = FakeLakefs::start().await;
        let proofs = proofs(&lakefs);
        for _ in 0..10 {
            assert_eq!(proofs.ask(basic("wrong")).await, Ok(Verdict::Refused));
        }
        assert_eq!(lakefs.calls(USER), 1);
        for wrong in ["2", "3"] {
            assert_eq!(proofs.ask(basic(wrong)).await, Ok(Verdict::Refused));
        }
        let blocked = proofs.ask(basic("4")).await;
        assert!(
            matches!(blocked, Err(AskError::Wait(wait)) if wait > Duration::from_secs(15)),
            "{blocked:?}"
        );
        assert_eq!(lakefs.calls(USER), 3);
        let mut observed = basic("4");
        observed.guess.as_mut().unwrap().enforced = false;
        assert_eq!(proofs.ask(observed).await, Ok(Verdict::Refused));
        let mut elsewhere = basic(SECRET);
        elsewhere.guess.as_mut().unwrap().address = [127, 0, 0, 2].into();
        assert_eq!(proofs.ask(elsewhere).await, admin());
        // What is known costs nothing, so it is good for everybody.
        assert_eq!(proofs.ask(basic(SECRET)).await, admin());
    }

    #[tokio::test]
    async fn a_broken_server_is_no_verdict_and_nothing_is_remembered_of_it() {
        let lakefs = FakeLakefs::start().await;
        let proofs = proofs(&lakefs);
        lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(matches!(proofs.ask(basic(SECRET)).await, Err(AskError::Broken(_))));
        lakefs.fail_with(None);
        assert_eq!(proofs.ask(basic(SECRET)).await, admin());
    }

    #[tokio::test]
    async fn a_server_that_restarts_is_waited_for() {
        let lakefs = FakeLakefs::start().await;
        let proofs = proofs(&lakefs);
        let address = lakefs.stop().await;
        assert!(matches!(proofs.ask(basic(SECRET)).await, Err(AskError::Down(_))));
        let mut patient = basic(SECRET);
        patient.patience = Duration::from_secs(60);
        let asking = {
            let proofs = Arc::clone(&proofs);
            tokio::spawn(async move { proofs.ask(patient).await })
        };
        let _lakefs = FakeLakefs::start_at(address).await;
        assert_eq!(asking.await.unwrap(), admin());
    }

    #[tokio::test]
    async fn a_question_is_answered_for_the_next_though_the_first_left() {
        let lakefs = FakeLakefs::start().await;
        let proofs = proofs(&lakefs);
        lakefs.hold();
        let first = {
            let proofs = Arc::clone(&proofs);
            tokio::spawn(async move { proofs.ask(basic(SECRET)).await })
        };
        lakefs.arrived(1).await;
        first.abort();
        assert!(first.await.is_err());
        lakefs.release();
        assert_eq!(proofs.ask(basic(SECRET)).await, admin());
        assert_eq!(lakefs.calls(USER), 1);
    }

    #[test]
    fn parts_of_a_fingerprint_do_not_run_together() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
