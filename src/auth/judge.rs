//! Which of a request's credentials counts, and whether it is proved: in lakeFS's order, the first that applies decides, for good or ill.
//!
//! With lakeFS's secret tokens and cookies are verified here; without it lakeFS is asked. Where the gateway speaks to lakeFS as somebody
//! else, lakeFS is asked of a good token too: it would not serve a user that has been deleted. A key pair is always asked for. Cookies of
//! an identity provider are only verified here: without the secret nobody gets in by them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout;

use super::attempts::Rate;
use super::credential::{Authorization, Presented};
use super::login::{PATIENCE, bearer_header};
use super::proof::{AskError, Fingerprint, Guess, Proofs, Question, Verdict, fingerprint};
use super::sigv4::{Now, Signed, SigningKeys, Verified};
use super::verify::{Claims, Verifier};
use crate::config::types::Secret;
use crate::config::{AuthConfig, Mode, SignedCookieConfig, UpstreamIdentity};
use crate::exchange::{Request, SignatureFault};
use crate::lakefs::cookie::{INTERNAL, OIDC, SAML};

/// The credential that counts.
#[derive(Debug)]
pub(super) struct Judged {
    /// Of which kind it is: `Principal::method`.
    pub(super) method: &'static str,
    /// Whose it claims to be, as far as that can be told without proof.
    pub(super) claimed: Arc<str>,
    /// The credential, for counting by it.
    pub(super) fingerprint: Fingerprint,
    /// What became of it.
    pub(super) standing: Standing,
}

/// What a credential is good for.
#[derive(Debug)]
pub(super) enum Standing {
    /// It is this user's.
    Proved {
        /// The user.
        name: Arc<str>,
        /// Its groups, as an identity provider says.
        groups: Arc<[String]>,
    },
    /// An AWS signature with a gateway key, which holds.
    Signed {
        /// Whose the key is.
        name: Arc<str>,
        /// The owner's groups.
        groups: Arc<[String]>,
        /// The signature.
        verified: Box<Verified>,
    },
    /// One with a gateway key that does not hold.
    Misigned(SignatureFault),
    /// An AWS signature, which only lakeFS can verify.
    Signature {
        /// Whose its key is, as the configuration says.
        owner: Option<Arc<str>>,
    },
    /// It is not good.
    Refused,
    /// It is of a kind that the configuration does not take.
    NotTaken,
    /// Nobody could say.
    Unclear(AskError),
}

/// An access key that the configuration names.
#[derive(Debug)]
struct S3Key {
    owner: Arc<str>,
    groups: Arc<[String]>,
    /// With it, it is the gateway's own.
    secret: Option<Secret>,
}

/// Judges by one configuration.
#[derive(Debug)]
pub(super) struct Judge {
    verifier: Option<Verifier>,
    /// Whether lakeFS never sees whose a request is, and so cannot refuse a user it no longer has.
    stands_in: bool,
    basic: bool,
    oidc: SignedCookieConfig,
    saml: SignedCookieConfig,
    /// Access keys, by their ids.
    s3_keys: HashMap<String, S3Key>,
    ttl: Duration,
    patience: Duration,
    within: Duration,
    rate: Rate,
    enforced: bool,
}

impl Judge {
    pub(super) fn new(config: &AuthConfig, mode: Mode) -> Self {
        // Where the credential goes to lakeFS anyway, no request waits long for a proof.
        let (patience, within) = match config.upstream {
            UpstreamIdentity::Passthrough => (Duration::ZERO, Duration::from_secs(2)),
            UpstreamIdentity::Login(_) | UpstreamIdentity::Mint(_) => (PATIENCE, PATIENCE + Duration::from_secs(10)),
        };
        let stands_in = match &config.upstream {
            UpstreamIdentity::Passthrough => false,
            UpstreamIdentity::Login(_) => true,
            UpstreamIdentity::Mint(mint) => mint.user.is_some(),
        };
        let keys = config.s3_keys.iter().map(|(id, key)| {
            let key = S3Key {
                owner: key.principal.as_str().into(),
                groups: key.groups.iter().cloned().collect(),
                secret: key.secret_access_key.clone(),
            };
            (id.clone(), key)
        });
        Self {
            verifier: config.lakefs_secret.clone().map(Verifier::new),
            stands_in,
            basic: config.basic.enabled,
            oidc: config.oidc_cookie.clone(),
            saml: config.saml_cookie.clone(),
            s3_keys: keys.collect(),
            ttl: config.proof_ttl.0,
            patience,
            within,
            rate: Rate(config.failed_logins_per_minute),
            enforced: mode == Mode::Enforce,
        }
    }

    /// The key of the configuration by which credentials of a kind are not taken. In `Mode::Observe` they are, all the same.
    pub(super) fn not_taken(&self, method: &str) -> Option<&'static str> {
        match method {
            "basic" if !self.basic => Some("auth.basic.enabled"),
            "oidc" if !self.oidc.enabled => Some("auth.oidc_cookie.enabled"),
            "saml" if !self.saml.enabled => Some("auth.saml_cookie.enabled"),
            _ => None,
        }
    }

    /// How often an address may be wrong.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// What a signature with a gateway key is good for; `None` of any other.
    pub(super) fn signature(
        &self,
        presented: &Presented<'_>,
        request: &Request,
        keys: &SigningKeys,
        now: Now,
    ) -> Option<Standing> {
        let key = self.s3_keys.get(presented.signed_by.as_ref()?)?;
        let secret = key.secret.as_ref()?;
        let verified = Signed::read(request).and_then(|signed| {
            // What is read leniently to be called by a name must be what is read strictly to be verified.
            match Some(signed.key()) == presented.signed_by.as_deref() {
                true => signed.verify(request, secret, keys, now),
                false => Err(SignatureFault::KeyUnknown),
            }
        });
        Some(match verified {
            Ok(verified) => Standing::Signed {
                name: Arc::clone(&key.owner),
                groups: Arc::clone(&key.groups),
                verified: Box::new(verified),
            },
            Err(fault) => Standing::Misigned(fault),
        })
    }

    /// The credential that counts, if there is any. `signed` is what [`Judge::signature`] says of its signature.
    pub(super) async fn judge(
        &self,
        presented: &Presented<'_>,
        signed: Option<Standing>,
        headers: &HeaderMap,
        address: IpAddr,
        proofs: &Arc<Proofs>,
    ) -> Option<Judged> {
        if let Some(value) = headers.get(header::AUTHORIZATION)
            && let Some((method, claimed, standing)) = self.authorized(presented, value, address, proofs).await
        {
            return Some(Judged::new(method, claimed, value.as_bytes(), standing));
        }
        if let Some(key) = &presented.signed_by {
            let standing = signed.unwrap_or_else(|| Standing::Signature {
                owner: self.s3_keys.get(key).map(|key| Arc::clone(&key.owner)),
            });
            return Some(Judged::new("s3", key, key.as_bytes(), standing));
        }
        if let Some(value) = presented.internal
            && let Some(standing) = self.internal(value, proofs).await
        {
            return Some(Judged::new("cookie", UNNAMED, value.as_bytes(), standing));
        }
        let signed = [
            ("oidc", OIDC, presented.oidc, &self.oidc),
            ("saml", SAML, presented.saml, &self.saml),
        ];
        signed.into_iter().find_map(|(method, name, value, config)| {
            let value = value?;
            let standing = self.signed(name, value, config)?;
            Some(Judged::new(method, UNNAMED, value.as_bytes(), standing))
        })
    }

    /// A bearer or a key pair.
    async fn authorized<'p>(
        &self,
        presented: &'p Presented<'_>,
        value: &HeaderValue,
        address: IpAddr,
        proofs: &Arc<Proofs>,
    ) -> Option<(&'static str, &'p str, Standing)> {
        let guess = match (&presented.authorization, &self.verifier) {
            (Authorization::None, _) => return None,
            (Authorization::Bearer(token), Some(verifier)) => {
                return Some(("bearer", UNNAMED, self.token(verifier, token, proofs).await));
            }
            (Authorization::Basic(key), _) if !self.basic && self.enforced => {
                return Some(("basic", key, Standing::NotTaken));
            }
            (Authorization::Bearer(_), None) => None,
            (Authorization::Basic(_), _) => Some(Guess {
                address,
                rate: self.rate,
                enforced: self.enforced,
            }),
        };
        let asked = self.ask(header::AUTHORIZATION, value.clone(), guess, proofs).await;
        let standing = asked.unwrap_or(Standing::Refused);
        Some(match &presented.authorization {
            Authorization::Basic(key) => ("basic", key, standing),
            Authorization::Bearer(_) | Authorization::None => ("bearer", UNNAMED, standing),
        })
    }

    /// A lakeFS token: its signature must hold, and its user must be there.
    async fn token(&self, verifier: &Verifier, token: &str, proofs: &Arc<Proofs>) -> Standing {
        let Some(name) = verifier.token(token) else {
            return Standing::Refused;
        };
        if !self.stands_in {
            return Standing::Proved {
                name: name.into(),
                groups: Arc::default(),
            };
        }
        let Ok(bearer) = bearer_header(token) else {
            return Standing::Refused;
        };
        let asked = self.ask(header::AUTHORIZATION, bearer, None, proofs).await;
        asked.unwrap_or(Standing::Refused)
    }

    /// An `internal_auth_session` cookie; `None` when there is no token in it that could be read, which lakeFS passes over.
    async fn internal(&self, value: &str, proofs: &Arc<Proofs>) -> Option<Standing> {
        if let Some(verifier) = &self.verifier {
            let token = verifier.session_token(value)?;
            return Some(self.token(verifier, &token, proofs).await);
        }
        let cookie = HeaderValue::try_from(format!("{INTERNAL}={value}")).ok()?;
        self.ask(header::COOKIE, cookie, None, proofs).await
    }

    /// A cookie that carries claims; `None` when it carries none, which lakeFS passes over too. One that cannot be read it refuses.
    fn signed(&self, name: &'static str, value: &str, config: &SignedCookieConfig) -> Option<Standing> {
        if !config.enabled && self.enforced {
            return Some(Standing::NotTaken);
        }
        // Without the secret, as lakeFS answers to one it cannot read.
        let Some(verifier) = &self.verifier else {
            return Some(Standing::Refused);
        };
        let Ok(claims) = verifier.claims(name, value, config.max_age.0) else {
            return Some(Standing::Refused);
        };
        Some(owner(&claims?, config).unwrap_or(Standing::Refused))
    }

    /// What lakeFS says of a credential; `None` when it takes it for none at all.
    async fn ask(
        &self,
        header: HeaderName,
        value: HeaderValue,
        guess: Option<Guess>,
        proofs: &Arc<Proofs>,
    ) -> Option<Standing> {
        let question = Question {
            header,
            value,
            ttl: self.ttl,
            patience: self.patience,
            guess,
        };
        let late = || {
            Err(AskError::Slow(
                "lakeFS did not say in time whose the credential is".into(),
            ))
        };
        match timeout(self.within, proofs.ask(question))
            .await
            .unwrap_or_else(|_| late())
        {
            Ok(Verdict::User(name)) => Some(Standing::Proved {
                name,
                groups: Arc::default(),
            }),
            Ok(Verdict::Refused) => Some(Standing::Refused),
            Ok(Verdict::Nobody) => None,
            Err(error) => Some(Standing::Unclear(error)),
        }
    }
}

impl Judged {
    fn new(method: &'static str, claimed: &str, credential: &[u8], standing: Standing) -> Self {
        Self {
            method,
            claimed: claimed.into(),
            fingerprint: fingerprint(&[method.as_bytes(), credential]),
            standing,
        }
    }

    /// The access key's id, where the credential has one: that is all it claims.
    pub(super) fn key(&self) -> Option<&Arc<str>> {
        matches!(self.method, "basic" | "s3").then_some(&self.claimed)
    }
}

/// The user that claims name, if they say all that they must.
fn owner(claims: &Claims, config: &SignedCookieConfig) -> Option<Standing> {
    let text = |name: &String| claims.get(name).map(String::as_str);
    let valid = |(name, value): (&String, &String)| text(name) == Some(value.as_str());
    if !config.required_claims.iter().all(valid) {
        return None;
    }
    let name = text(&config.user_claim).filter(|name| !name.is_empty())?;
    let groups = config.groups_claim.as_ref().and_then(text).unwrap_or_default();
    let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty());
    Some(Standing::Proved {
        name: name.into(),
        groups: groups.map(str::to_owned).collect(),
    })
}

/// What a credential that says no name is called until it is proved.
const UNNAMED: &str = "unproved";
