//! Who asks, and the few operations about that: login, set-up, users. lakeFS's schemes in its order of precedence, in one-user mode.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Sandboxed;
use super::call::Call;
use super::reply::{Failure, Reply};
use super::store::now;
use super::world::User;

/// The session cookie of lakeFS's own login.
const INTERNAL: &str = "internal_auth_session";
/// How long a login holds: `auth.login_duration`, 7 days.
const LOGIN_SECONDS: i64 = 604_800;
/// How long a cookie holds: gorilla's default, 30 days.
const COOKIE_SECONDS: i64 = 2_592_000;

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
        match (words.next(), words.next(), words.next()) {
            (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case("bearer") => {
                return self.user_of_token(token).map(Some).ok_or_else(refused);
            }
            _ => {}
        }
        if let Some((key, secret)) = basic(&authorization) {
            return self.user_of_keys(&key, &secret).map(Some).ok_or_else(refused);
        }
        if let Some(token) = cookie(headers, INTERNAL).and_then(|value| self.token_of_cookie(&value, now())) {
            return self.user_of_token(&token).map(Some).ok_or_else(refused);
        }
        // One-user mode knows no external identities: lakeFS looks them up and fails, or fails to decode the cookie.
        let external = ["oidc_auth_session", "saml_auth_session"];
        if external.iter().any(|name| cookie(headers, name).is_some()) {
            return Err(refused());
        }
        Ok(None)
    }

    fn user_of_keys(&self, key: &str, secret: &str) -> Option<User> {
        let user = self.look(|state| state.user.clone())?;
        (user.access_key_id == key && user.secret_access_key == secret).then_some(user)
    }

    /// pkg/auth/token.go: HS256, 384 or 512, `exp` without leeway, `aud` absent, empty or `login`, and an existing `sub`.
    fn user_of_token(&self, token: &str) -> Option<User> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).ok();
        let algorithm = match json(head)?.get("alg")?.as_str()? {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            _ => return None,
        };
        let key = hmac::Key::new(algorithm, self.config.secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &decoded(signature)?).ok()?;
        let claims = json(claims)?;
        let expires = match claims.get("exp")? {
            Value::String(digits) => digits.parse().ok()?,
            #[expect(clippy::cast_possible_truncation, reason = "Go truncates a fraction too")]
            number => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))?,
        };
        let audience = claims.get("aud").map_or(Some(""), Value::as_str)?;
        let user = self.look(|state| state.user.clone())?;
        let named = claims.get("sub").and_then(Value::as_str) == Some(user.name.as_str());
        (named && expires > now() && matches!(audience, "" | "login")).then_some(user)
    }

    /// gorilla's securecookie: base64 of `time|base64(gob)|mac`.
    pub(super) fn token_of_cookie(&self, value: &str, now: i64) -> Option<String> {
        let raw = URL_SAFE
            .decode(value.trim_matches('"'))
            .ok()
            .filter(|_| value.len() <= 4096)?;
        let mut parts = raw.splitn(3, |byte| *byte == b'|');
        let (time, gob, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let signed = [INTERNAL.as_bytes(), b"|", time, b"|", gob].concat();
        hmac::verify(&self.cookie_key(), &signed, mac).ok()?;
        let age = now - std::str::from_utf8(time).ok()?.parse::<i64>().ok()?;
        let gob = URL_SAFE.decode(gob).ok().filter(|_| age <= COOKIE_SECONDS)?;
        // A map with one entry: both are interface values of type string (tag 0x0c), each with the lengths of what follows.
        let rest = gob.strip_prefix(GOB_TYPE)?;
        let at = rest.windows(GOB_KEY.len()).position(|window| window == GOB_KEY)?;
        let value = rest.get(at + GOB_KEY.len()..)?;
        let (_, value) = gob_length(value)?;
        let (length, value) = gob_length(value.strip_prefix(&[0])?)?;
        String::from_utf8(value.get(..length)?.to_vec()).ok()
    }

    fn cookie_of_token(&self, token: &str) -> String {
        let text = [gob_number(token.len()), token.as_bytes().to_vec()].concat();
        let value = [gob_number(text.len() + 1), vec![0], text].concat();
        let entry = [&b"\xff\x80\0\x01"[..], GOB_KEY, &value].concat();
        let gob = [GOB_TYPE, &gob_number(entry.len()), &entry].concat();
        let signed = format!("{}|{}", now(), URL_SAFE.encode(gob));
        let mac = hmac::sign(&self.cookie_key(), format!("{INTERNAL}|{signed}").as_bytes());
        URL_SAFE.encode([signed.as_bytes(), b"|", mac.as_ref()].concat())
    }

    fn cookie_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.config.secret.as_bytes())
    }

    pub(super) fn login(&self, call: &Call) -> Result<Reply, Failure> {
        let user = self.user_of_keys(call.text("access_key_id"), call.text("secret_access_key"));
        let user = user.ok_or_else(Failure::unauthenticated)?;
        let (issued, expires) = (now(), now() + LOGIN_SECONDS);
        let name = Value::from(user.name);
        let id = uuid::Uuid::new_v4();
        let claims =
            format!(r#"{{"jti":"{id}","iss":"auth","sub":{name},"aud":"login","iat":{issued},"exp":{expires}}}"#);
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        let signed = format!("{}.{}", encode(r#"{"alg":"HS256","typ":"JWT"}"#), encode(&claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.cookie_key(), signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        let cookie = self.cookie_of_token(&token);
        let until = httpdate(issued + COOKIE_SECONDS);
        Ok(Reply::ok(&json!({ "token": token, "token_expiration": expires })).with(
            header::SET_COOKIE,
            &format!("{INTERNAL}={cookie}; Path=/; Expires={until}; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax"),
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
    pub(super) fn logout() -> Reply {
        Reply::empty(StatusCode::TEMPORARY_REDIRECT)
            .with_static(header::LOCATION, "/auth/login")
            .with_static(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .body("<a href=\"/auth/login\">Temporary Redirect</a>.\n\n")
            .with(
                header::SET_COOKIE,
                &format!(
                    "{INTERNAL}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; HttpOnly; SameSite=Lax"
                ),
            )
            .anonymous()
    }
}

impl User {
    fn json(&self) -> Value {
        json!({ "creation_date": self.created, "email": "", "friendly_name": "", "id": self.name })
    }
}

/// The gob type of `map[interface{}]interface{}`.
const GOB_TYPE: &[u8] = b"\x0d\x7f\x04\x01\x02\xff\x80\0\x01\x10\x01\x10\0\0";
/// The key: an interface value "string", "token"; and the type of the value.
const GOB_KEY: &[u8] = b"\x06string\x0c\x07\0\x05token\x06string\x0c";

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

/// The first cookie of that name.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Go's gob: below 128 one byte, else the negated count of bytes and the bytes.
fn gob_number(number: usize) -> Vec<u8> {
    match u8::try_from(number) {
        Ok(byte) if byte < 128 => vec![byte],
        _ => {
            let bytes: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            let count = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
            [vec![count.wrapping_neg()], bytes].concat()
        }
    }
}

fn gob_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 128 {
        return Some((usize::from(*first), rest));
    }
    let (number, rest) = rest.split_at_checked(usize::from(first.wrapping_neg()).min(8))?;
    Some((number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest))
}

/// A time as HTTP writes it: `Thu, 24 Dec 2026 15:03:06 GMT`.
pub(super) fn httpdate(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let text =
        humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).to_string();
    let part = |from, to| text.get(from..to).unwrap_or_default();
    let day = usize::try_from(seconds / 86_400 % 7)
        .ok()
        .and_then(|day| DAYS.get(day))
        .unwrap_or(&"");
    let month = part(5, 7)
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.wrapping_sub(1)))
        .unwrap_or(&"");
    format!("{day}, {} {month} {} {} GMT", part(8, 10), part(0, 4), part(11, 19))
}
