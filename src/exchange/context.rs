//! What is known of one request, gathered by the layers on its way: the typed facts they share and the record the access line is made of.

use std::any::Any;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

use super::Requirement;
use crate::lakefs::Classified;

/// The connection a request came by. The server puts one into each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whether it is TLS.
    pub secure: bool,
    /// The data thread it lives on: its upstream connections are that thread's.
    pub core: usize,
}

/// Who a request comes from, forwarded headers of trusted proxies taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address the request counts for: the peer's, or what a trusted proxy said.
    pub address: std::net::IpAddr,
    /// The peer of the connection itself.
    pub peer: SocketAddr,
    /// Whether the client came over TLS (or a trusted proxy said so).
    pub secure: bool,
}

/// How sure the gateway is of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The credential was verified: rules by name and group apply, and the gateway's bearer may be attached.
    Proved,
    /// The client only says so: it keeps its own credential, has no groups, and counts by address and credential.
    Claimed,
}

/// Who a request acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user's name; for an anonymous request `anonymous`.
    pub name: Arc<str>,
    /// Groups, proved only.
    pub groups: Arc<[String]>,
    /// How the client authenticated: `basic`, `bearer`, `cookie`, `oidc`, `saml`, `s3`, `anonymous`.
    pub method: &'static str,
    /// How sure the gateway is.
    pub proof: Proof,
    /// The id of the access key that came with the request, by basic or an AWS signature: what the client says, as far as `proof` goes.
    /// Never the secret.
    pub key: Option<Arc<str>>,
    /// What limits count by: the name if proved, else address and a short hash of the credential. Never a secret.
    pub limit_key: Arc<str>,
}

/// What becomes of a request, for its access line.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `forwarded`, or why not.
    pub decision: Option<&'static str>,
    /// Whether it was given to the upstream, whatever came of it: from then on it may have been done.
    pub forwarded: bool,
    /// Reason code of a refusal, as in `X-Lakegate-Reason`.
    pub reason: Option<&'static str>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What in shadow or observe mode would have refused it, or made it wait.
    pub shadow: Vec<String>,
    /// The reason codes of the refusals among these.
    pub shadow_refusals: Vec<&'static str>,
    /// How long it waited for its turn, in all.
    pub queued: Duration,
    /// lakeFS's status.
    pub upstream_status: Option<u16>,
    /// lakeFS's `X-Request-Id` or `X-Amz-Request-Id`.
    pub upstream_request_id: Option<String>,
    /// From the request's dispatch to lakeFS's response head.
    pub upstream_latency: Option<Duration>,
    /// Why lakeFS could not be asked, or what broke.
    pub error: Option<String>,
    /// What a layer keeps for the witness of the request's end (`observe::Witness`), who takes it.
    pub kept: Option<Arc<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
struct Inner {
    id: Uuid,
    started: Instant,
    client: Client,
    classified: OnceLock<Classified>,
    principal: OnceLock<Principal>,
    requirements: OnceLock<Vec<Requirement>>,
    xml_type: OnceLock<&'static str>,
    facts: Mutex<Facts>,
}

/// A new request's id: a version 7 UUID, in the order of time. Ids are names and not secrets: what the standard library seeds its hash maps
/// with is random enough, and asking the system for each request would be one call in five that it makes.
fn new_id() -> Uuid {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let hasher = RandomState::new();
    let random = (u128::from(hasher.hash_one(0_u8)) << 64 | u128::from(hasher.hash_one(1_u8))).to_be_bytes();
    let [bytes @ .., _, _, _, _, _, _] = random;
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

/// One request's context: a cheap handle, kept in the request's extensions and by whoever writes of it later.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

impl Context {
    /// A new request's context.
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner {
            id: new_id(),
            started: Instant::now(),
            client,
            classified: OnceLock::new(),
            principal: OnceLock::new(),
            requirements: OnceLock::new(),
            xml_type: OnceLock::new(),
            facts: Mutex::new(Facts::default()),
        }))
    }

    /// The context of a request: a handle on it. The stack's outermost layer puts one on each; a layer run without that layer
    /// (as tests do) gets a fresh one of nobody.
    pub fn of(request: &super::Request) -> Self {
        request.extensions().get().cloned().unwrap_or_else(|| {
            let peer = SocketAddr::from(([127, 0, 0, 1], 0));
            Self::new(Client {
                address: peer.ip(),
                peer,
                secure: false,
            })
        })
    }

    /// The gateway's id of the request.
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// When its head had arrived.
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// Who sent it.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// What it is; set by classify.
    pub fn classified(&self) -> Option<&Classified> {
        self.0.classified.get()
    }

    /// Sets what it is. The first word counts.
    pub fn set_classified(&self, classified: Classified) {
        let _ = self.0.classified.set(classified);
    }

    /// The media type of an error that the gateway answers in XML; set by classify.
    pub(super) fn xml_type(&self) -> Option<&'static str> {
        self.0.xml_type.get().copied()
    }

    /// Sets the media type of errors in XML. The first word counts.
    pub(super) fn set_xml_type(&self, xml_type: &'static str) {
        let _ = self.0.xml_type.set(xml_type);
    }

    /// Whom it acts for; set by auth.
    pub fn principal(&self) -> Option<&Principal> {
        self.0.principal.get()
    }

    /// Sets whom it acts for. The first word counts.
    pub fn set_principal(&self, principal: Principal) {
        let _ = self.0.principal.set(principal);
    }

    /// What rules ask before it may go; set by guard, met by record.
    pub fn requirements(&self) -> &[Requirement] {
        self.0.requirements.get().map_or(&[], Vec::as_slice)
    }

    /// Sets what rules ask. The first word counts.
    pub fn set_requirements(&self, requirements: Vec<Requirement>) {
        let _ = self.0.requirements.set(requirements);
    }

    /// The record of its access line.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_of_their_time_and_differ() {
        let ids: HashSet<Uuid> = (0..10_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        let seconds = |id: Uuid| id.get_timestamp().unwrap().to_unix().0;
        assert!(seconds(Uuid::now_v7()).abs_diff(seconds(new_id())) < 60);
    }
}
