//! What the gateway itself asks lakeFS: logins, whose a credential is, and whether it lives.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Client, ClientError};
use crate::config::types::Secret;

/// What a login gave.
#[derive(Debug, Clone)]
pub struct Token {
    /// The JWT, as it goes after `Bearer `.
    pub bearer: Secret,
    /// How long it lives from its making.
    pub lifetime: Duration,
    /// When it ends.
    pub expires: Instant,
}

/// A user of lakeFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its user name: the `sub` of its tokens.
    pub id: String,
}

impl Client {
    /// Exchanges a key pair for a token: `POST /auth/login`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the pair is not good; all others say nothing of the pair.
    pub async fn login(&self, access_key_id: &Secret, secret_access_key: &Secret) -> Result<Token, ClientError> {
        let body = serde_json::json!({
            "access_key_id": access_key_id.expose(),
            "secret_access_key": secret_access_key.expose(),
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/auth/login")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(ClientError::Invalid)?;
        // Two logins harm nobody, so a connection that died is no reason to fail.
        let asked = Instant::now();
        let answer = self.send_repeatable(request, LOGIN_TIMEOUT, true).await?;
        let answer: LoginAnswer = read(&answer, StatusCode::OK)?;
        let lifetime = lifetime(&answer, SystemTime::now());
        Ok(Token {
            bearer: Secret::new(answer.token),
            lifetime,
            expires: asked + lifetime,
        })
    }

    /// Asks whose a credential is: `GET /user` with nothing but these headers. `None` when lakeFS takes it for no credential at all.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when lakeFS does not take it; all others say nothing of the credential.
    pub async fn current_user(&self, credential: HeaderMap) -> Result<Option<User>, ClientError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = http::Uri::from_static("/api/v1/user");
        *request.headers_mut() = credential;
        request
            .headers_mut()
            .insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.send(request, USER_TIMEOUT).await?;
        let answer: UserAnswer = read(&answer, StatusCode::OK)?;
        Ok(Some(User { id: answer.user.id }).filter(|user| !user.id.is_empty()))
    }

    /// Whether lakeFS answers at all: `GET /healthcheck`.
    ///
    /// # Errors
    /// When it does not say 204 within five seconds.
    pub async fn health(&self) -> Result<(), ClientError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = http::Uri::from_static("/api/v1/healthcheck");
        match self.send(request, HEALTH_TIMEOUT).await?.status() {
            StatusCode::NO_CONTENT => Ok(()),
            other => Err(ClientError::Unexpected(other)),
        }
    }
}

#[derive(Deserialize)]
struct LoginAnswer {
    token: String,
    token_expiration: Option<u64>,
}

#[derive(Deserialize)]
struct UserAnswer {
    user: UserBody,
}

#[derive(Deserialize)]
struct UserBody {
    #[serde(default)]
    id: String,
}

fn read<T: serde::de::DeserializeOwned>(
    answer: &http::Response<Bytes>,
    expected: StatusCode,
) -> Result<T, ClientError> {
    match answer.status() {
        status if status == expected => serde_json::from_slice(answer.body()).map_err(ClientError::Malformed),
        StatusCode::UNAUTHORIZED => Err(ClientError::Refused),
        other => Err(ClientError::Unexpected(other)),
    }
}

/// A token's lifetime by its own claims, so that lakeFS's clock need not agree with this machine's; else by `token_expiration`.
fn lifetime(answer: &LoginAnswer, now: SystemTime) -> Duration {
    #[derive(Deserialize)]
    struct Times {
        iat: u64,
        exp: u64,
    }
    let by_claims = || {
        let payload = URL_SAFE_NO_PAD.decode(answer.token.split('.').nth(1)?).ok()?;
        let times: Times = serde_json::from_slice(&payload).ok()?;
        times.exp.checked_sub(times.iat)
    };
    let by_answer = || {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(answer.token_expiration?.saturating_sub(now))
    };
    by_claims().or_else(by_answer).map_or(UNSTATED_LIFETIME, |seconds| {
        Duration::from_secs(seconds).min(LONGEST_LIFETIME)
    })
}

const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);
const USER_TIMEOUT: Duration = Duration::from_secs(10);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// For servers whose answer does not say: before 0.100 they gave tokens of days.
const UNSTATED_LIFETIME: Duration = Duration::from_secs(600);
/// A year: more cannot be added to every clock.
const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefs_client::fake::{FakeLakefs, KEY, SECRET};

    fn pair(secret: &str) -> (Secret, Secret) {
        (Secret::new(KEY), Secret::new(secret))
    }

    #[tokio::test]
    async fn logs_in_and_learns_whose_the_token_is() {
        let lakefs = FakeLakefs::start().await;
        let client = lakefs.client();
        let (key, secret) = pair(SECRET);
        let token = client.login(&key, &secret).await.unwrap();
        assert_eq!(token.lifetime, Duration::from_secs(604_800));
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            format!("Bearer {}", token.bearer.expose()).parse().unwrap(),
        );
        let user = client.current_user(headers).await.unwrap();
        assert_eq!(user, Some(User { id: "admin".into() }));
        assert_eq!(client.current_user(HeaderMap::new()).await.unwrap(), None);
        client.health().await.unwrap();
        assert_eq!(lakefs.connections(), 1, "the connection is used again");
    }

    #[tokio::test]
    async fn a_wrong_pair_is_refused_and_a_broken_server_is_not_a_refusal() {
        let lakefs = FakeLakefs::start().await;
        let client = lakefs.client();
        let (key, wrong) = pair("wrong");
        assert!(matches!(client.login(&key, &wrong).await, Err(ClientError::Refused)));
        lakefs.fail_with(Some(StatusCode::INTERNAL_SERVER_ERROR));
        let (key, secret) = pair(SECRET);
        assert!(matches!(
            client.login(&key, &secret).await,
            Err(ClientError::Unexpected(StatusCode::INTERNAL_SERVER_ERROR))
        ));
        assert!(client.health().await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_gone_cannot_be_reached_and_one_that_returns_can() {
        let lakefs = FakeLakefs::start().await;
        let client = lakefs.client();
        client.health().await.unwrap();
        let address = lakefs.stop().await;
        assert!(matches!(client.health().await, Err(ClientError::Dial(_))));
        let _lakefs = FakeLakefs::start_at(address).await;
        client.health().await.unwrap();
    }

    #[tokio::test]
    async fn a_call_ends_though_its_caller_left() {
        let lakefs = FakeLakefs::start().await;
        let client = lakefs.client();
        lakefs.hold();
        let (key, secret) = pair(SECRET);
        let caller = tokio::spawn(async move { client.login(&key, &secret).await.is_ok() });
        lakefs.arrived(1).await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        lakefs.release();
        lakefs.answered(1).await;
    }

    #[test]
    fn a_lifetime_is_the_tokens_own_whatever_the_clocks_say() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"admin","iat":1000,"exp":1300}"#);
        let mut answer = LoginAnswer {
            token: format!("h.{payload}.s"),
            token_expiration: Some(77),
        };
        let now = UNIX_EPOCH + Duration::from_secs(50);
        assert_eq!(lifetime(&answer, now), Duration::from_secs(300));
        answer.token = "opaque".into();
        assert_eq!(lifetime(&answer, now), Duration::from_secs(27));
        answer.token_expiration = None;
        assert_eq!(lifetime(&answer, now), UNSTATED_LIFETIME);
    }
}
