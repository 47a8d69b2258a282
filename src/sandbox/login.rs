//! Who asks, and the few operations about that: login, set-up, users. lakeFS's schemes in its order of precedence, in one-user mode.
//! The forms of tokens and cookies are [`crate::lakefs`]'s, which the parity check holds to a real server.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::lakefs::cookie::{self, INTERNAL, MAX_AGE, OIDC, SAML, Session};
use crate::lakefs::token;

use super::Sandboxed;
use super::call::Call;
use super::reply::{Failure, Reply};
use super::store::now;
use super::world::User;

/// How long a login holds: `auth.login_duration`, 7 days.
const LOGIN: Duration = Duration::from_secs(604_800);

impl Sandboxed {
    /// The user whom a request's credentials name; nothing for an anonymous one. The first scheme that applies decides
    /// (pkg/api/auth_middleware.go).
    pub(super) fn authenticate(&self, headers: &HeaderMap) -> Result<Option<User>, Failure> {
        let refused = Failure::unauthenticated;
        let authorization = headers
            .get(header::AUTHORIZATION)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let authorization = String::from_utf8_lossy(authorization);
        let mut words = authorization.split_whitespace();
        if let (Some(scheme), Some(token), None) = (words.next(), words.next(), words.next())
            && scheme.eq_ignore_ascii_case("bearer")
        {
            return self.user_of_token(token).map(Some).ok_or_else(refused);
        }
        if let Some((key, secret)) = basic(&authorization) {
            return self.user_of_keys(&key, &secret).map(Some).ok_or_else(refused);
        }
        let secret = self.config.secret.as_bytes();
        let session = cookie::find(headers, INTERNAL)
            .map(|value| cookie::decode(secret, INTERNAL, value, MAX_AGE, SystemTime::now()));
        if let Some(Ok(Session::Token(token))) = session {
            return self.user_of_token(&token).map(Some).ok_or_else(refused);
        }
        // One-user mode knows no external identities: lakeFS looks them up and fails, or fails to decode the cookie.
        if [OIDC, SAML]
            .into_iter()
            .any(|name| cookie::find(headers, name).is_some())
        {
            return Err(refused());
        }
        Ok(None)
    }

    fn user_of_keys(&self, key: &str, secret: &str) -> Option<User> {
        let user = self.look(|state| state.user.clone())?;
        (user.access_key_id == key && user.secret_access_key == secret).then_some(user)
    }

    fn user_of_token(&self, token: &str) -> Option<User> {
        let claims = token::verify(self.config.secret.as_bytes(), token, SystemTime::now()).ok()?;
        self.look(|state| state.user.clone())
            .filter(|user| user.name == claims.sub)
    }

    pub(super) fn login(&self, call: &Call) -> Result<Reply, Failure> {
        let user = self.user_of_keys(call.text("access_key_id"), call.text("secret_access_key"));
        let user = user.ok_or_else(Failure::unauthenticated)?;
        let (secret, issued) = (self.config.secret.as_bytes(), SystemTime::now());
        let token = token::mint(secret, &user.name, issued, LOGIN);
        let expires = now().saturating_add_unsigned(LOGIN.as_secs());
        let value = cookie::encode(secret, INTERNAL, &Session::Token(token.clone()), issued);
        Ok(set_cookie(
            &value,
            issued + MAX_AGE,
            MAX_AGE.as_secs(),
            Reply::ok(&json!({ "token": token, "token_expiration": expires })),
        ))
    }

    pub(super) fn setup_state(&self) -> Reply {
        let state = if self.look(|state| state.user.is_some()) {
            "initialized"
        } else {
            "not_initialized"
        };
        Reply::ok(&json!({
            "comm_prefs_missing": false, "state": state,
            "login_config": {
                "RBAC": "none", "login_cookie_names": [INTERNAL], "login_failed_message": "The credentials don't match.",
                "login_url": "", "login_url_method": "none", "logout_url": "",
            },
        }))
    }

    pub(super) fn setup(&self, call: &Call) -> Result<Reply, Failure> {
        let mut state = self.state();
        if state.user.is_some() {
            return Err(Failure::conflict("lakeFS already initialized"));
        }
        let name = call.text("username");
        if name.is_empty() {
            return Err(Failure::bad("user name is required"));
        }
        let given = |key: &str| call.json.pointer(&format!("/key/{key}")).and_then(Value::as_str);
        let random = |length: usize| {
            uuid::Uuid::new_v4()
                .simple()
                .to_string()
                .to_uppercase()
                .chars()
                .take(length)
                .collect::<String>()
        };
        let user = User {
            name: name.to_owned(),
            created: now(),
            access_key_id: given("access_key_id").map_or_else(|| format!("AKIAJ{}Q", random(14)), str::to_owned),
            secret_access_key: given("secret_access_key").map_or_else(|| STANDARD.encode(random(30)), str::to_owned),
        };
        let reply = Reply::ok(&json!({
            "access_key_id": user.access_key_id, "creation_date": user.created, "secret_access_key": user.secret_access_key,
        }));
        state.user = Some(user);
        Ok(reply)
    }

    pub(super) fn current_user(&self, name: &str) -> Reply {
        let user = self.look(|state| state.user.clone()).filter(|user| user.name == name);
        let nobody = || json!({ "creation_date": 0, "id": "" });
        Reply::ok(&json!({ "user": user.map_or_else(nobody, |user| user.json()) }))
    }

    pub(super) fn list_users(&self) -> Reply {
        let users: Vec<Value> = self.look(|state| state.user.iter().map(User::json).collect());
        Reply::ok(&json!({
            "pagination": { "has_more": false, "max_per_page": 0, "next_offset": "", "results": users.len() }, "results": users,
        }))
    }

    pub(super) fn get_user(&self, name: &str) -> Result<Reply, Failure> {
        let user = self.look(|state| state.user.clone()).filter(|user| user.name == name);
        user.map(|user| Reply::ok(&user.json()))
            .ok_or_else(|| Failure::missing("user not found"))
    }

    /// Ends a session, as the root path `/logout` does.
    pub(super) fn logout(&self) -> Reply {
        let reply = Reply::empty(StatusCode::TEMPORARY_REDIRECT)
            .with_static(header::LOCATION, "/auth/login")
            .with_static(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .body("<a href=\"/auth/login\">Temporary Redirect</a>.\n\n")
            .anonymous();
        let empty = cookie::encode(
            self.config.secret.as_bytes(),
            INTERNAL,
            &Session::Empty,
            SystemTime::now(),
        );
        set_cookie(&empty, SystemTime::UNIX_EPOCH + Duration::from_secs(1), 0, reply)
    }
}

fn set_cookie(value: &str, expires: SystemTime, max_age: u64, reply: Reply) -> Reply {
    let expires = httpdate::fmt_http_date(expires);
    let cookie = format!("{INTERNAL}={value}; Path=/; Expires={expires}; Max-Age={max_age}; HttpOnly; SameSite=Lax");
    reply.with(header::SET_COOKIE, &cookie)
}

impl User {
    fn json(&self) -> Value {
        json!({ "creation_date": self.created, "email": "", "friendly_name": "", "id": self.name })
    }
}

/// Go's `Request.BasicAuth`.
fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_at_checked(6)?;
    let decoded = STANDARD
        .decode(encoded)
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic "))?;
    let text = String::from_utf8_lossy(&decoded).into_owned();
    text.split_once(':')
        .map(|(key, secret)| (key.to_owned(), secret.to_owned()))
}
