//! lakeFS's session cookies: gorilla securecookie, a gob map inside, signed with HMAC-SHA256; and the `Cookie` header as Go reads it.
//! Pure.
//!
//! Only the hash key is used, so values are signed and readable. Whom a session's claims make is decided elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::alphabet::URL_SAFE;
use base64::engine::{Engine, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::COOKIE;

use super::gob::{self, Value};
pub use super::gob::{BadGob, Claims};

/// The session of a login at lakeFS: holds its token.
pub const INTERNAL: &str = "internal_auth_session";
/// The session of an OIDC login: holds the claims of its id token.
pub const OIDC: &str = "oidc_auth_session";
/// The session of a SAML login: holds its claims.
pub const SAML: &str = "saml_auth_session";

/// How long lakeFS takes a session cookie for good, by the time stamped in it (pkg/api/serve.go).
pub const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The longest value securecookie takes.
const MAX_LENGTH: usize = 4096;
/// Go reads no cookie at all where there could be more than so many.
const MAX_COOKIES: usize = 3000;

/// Go's `base64.URLEncoding`: padded, and the bits left over do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// What a session cookie holds, by the cookie's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// A lakeFS token ([`INTERNAL`]).
    Token(String),
    /// An identity provider's claims ([`OIDC`], [`SAML`]).
    Claims(Claims),
    /// None of what lakeFS looks for under that name: nobody, but for lakeFS no error.
    Empty,
}

/// Why a cookie is none of lakeFS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// Longer than 4096 characters.
    #[error("the cookie is too long")]
    TooLong,
    /// Not base64, or not three parts.
    #[error("the cookie is not a signed session")]
    Malformed,
    /// Another secret signed it, or for another name, or nobody.
    #[error("the cookie's signature is not from this secret")]
    Signature,
    /// Older than it may be.
    #[error("the cookie has expired")]
    Expired,
    /// What is signed is no session.
    #[error("the cookie holds no session")]
    Gob(#[source] BadGob),
}

/// Reads a session cookie as lakeFS does, with the secret `auth.encrypt.secret_key`. A time stamp from the future is good.
///
/// # Errors
/// [`CookieError`], which lakeFS takes for no cookie if it is [`INTERNAL`] and answers 401 to if it is another.
pub fn decode(
    secret: &[u8],
    name: &str,
    value: &str,
    max_age: Duration,
    now: SystemTime,
) -> Result<Session, CookieError> {
    let bytes = unsealed(value)?;
    let parts = Parts::of(&bytes)?;
    let signed = [name.as_bytes(), b"|", parts.signed].concat();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), &signed, parts.mac).map_err(|_| CookieError::Signature)?;
    let stamp: i64 = str::from_utf8(parts.stamp)
        .ok()
        .and_then(|stamp| stamp.parse().ok())
        .ok_or(CookieError::Malformed)?;
    let oldest = i64::try_from(unix(now))
        .unwrap_or(i64::MAX)
        .saturating_sub_unsigned(max_age.as_secs());
    if stamp < oldest {
        return Err(CookieError::Expired);
    }
    session(name, parts.gob)
}

/// The token in an [`INTERNAL`] cookie of whoever signed it: what it says is not proved, and lakeFS judges the token.
///
/// # Errors
/// [`CookieError`] where its layout is not that of such a cookie.
pub fn unverified_token(value: &str) -> Result<Option<String>, CookieError> {
    let bytes = unsealed(value)?;
    match session(INTERNAL, Parts::of(&bytes)?.gob)? {
        Session::Token(token) => Ok(Some(token)),
        Session::Claims(_) | Session::Empty => Ok(None),
    }
}

/// Makes the cookie value that lakeFS would make of a session.
pub fn encode(secret: &[u8], name: &str, session: &Session, now: SystemTime) -> String {
    let gob = match session {
        Session::Token(token) => gob::encode(key(name), &Value::Text(token.clone())),
        Session::Claims(claims) => gob::encode(key(name), &Value::Claims(claims.clone())),
        Session::Empty => gob::encode("", &Value::Text(String::new())),
    };
    let signed = format!("{}|{}", unix(now), BASE64.encode(gob));
    let mac = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        format!("{name}|{signed}").as_bytes(),
    );
    BASE64.encode([signed.as_bytes(), b"|", mac.as_ref()].concat())
}

/// The cookies of a request as Go reads them (net/http's `readCookies`): in order, without quotes; those without a name, or with a byte
/// that none may have, are passed over. lakeFS takes the first of a name, see [`find`].
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = || headers.get_all(COOKIE).iter().map(|line| line.as_bytes());
    let count: usize = lines()
        .map(|line| line.iter().filter(|byte| **byte == b';').count() + 1)
        .sum();
    let lines = Some(lines()).filter(|_| count <= MAX_COOKIES);
    lines
        .into_iter()
        .flatten()
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .filter_map(|pair| {
            let mut halves = pair.trim_ascii().splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next()?.trim_ascii(), halves.next().unwrap_or_default());
            let value = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value);
            let good = !name.is_empty() && name.iter().all(is_token) && value.iter().all(is_value);
            Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?)).filter(|_| good)
        })
}

/// The cookie of a name that lakeFS takes.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    cookies(headers).find(|cookie| cookie.0 == name).map(|cookie| cookie.1)
}

/// The bytes of an RFC 9110 token.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

fn is_value(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b';' | b'\\')
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The key of a session's map that lakeFS looks at (pkg/auth/request_auth.go).
fn key(name: &str) -> &'static str {
    match name {
        OIDC => "id_token_claims",
        SAML => "saml_token_claims",
        _ => "token",
    }
}

fn unsealed(value: &str) -> Result<Vec<u8>, CookieError> {
    if value.len() > MAX_LENGTH {
        return Err(CookieError::TooLong);
    }
    BASE64.decode(value).map_err(|_| CookieError::Malformed)
}

/// `stamp|gob in base64|mac`, of which all but the mac is signed, behind the cookie's name.
struct Parts<'a> {
    stamp: &'a [u8],
    gob: &'a [u8],
    signed: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, CookieError> {
        let mut parts = bytes.splitn(3, |byte| *byte == b'|');
        let (Some(stamp), Some(gob), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CookieError::Malformed);
        };
        let signed = bytes.get(..stamp.len() + 1 + gob.len()).unwrap_or_default();
        Ok(Self {
            stamp,
            gob,
            signed,
            mac,
        })
    }
}

fn session(name: &str, gob: &[u8]) -> Result<Session, CookieError> {
    let gob = BASE64.decode(gob).map_err(|_| CookieError::Malformed)?;
    let value = gob::decode(&gob).map_err(CookieError::Gob)?.remove(key(name));
    Ok(match (name, value) {
        (OIDC | SAML, Some(Value::Claims(claims))) => Session::Claims(claims),
        (OIDC | SAML, _) => Session::Empty,
        (_, Some(Value::Text(token))) if !token.is_empty() => Session::Token(token),
        _ => Session::Empty,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SECRET: &[u8] = b"THIS_MUST_BE_CHANGED_IN_PRODUCTION";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn read(name: &str, value: &str, now: u64) -> Result<Session, CookieError> {
        decode(SECRET, name, value, MAX_AGE, at(now))
    }

    fn said(session: Session) -> String {
        match session {
            Session::Token(token) => format!("token {token}"),
            Session::Claims(claims) => {
                let claims: String = claims.iter().map(|(name, claim)| format!(" {name}={claim}")).collect();
                format!("claims{claims}")
            }
            Session::Empty => "empty".to_owned(),
        }
    }

    #[test]
    fn what_gorilla_signed_is_read() {
        let rows = include_str!("../../tests/data/cookies.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'));
        for row in rows {
            let fields: Vec<_> = row.split('\t').collect();
            let [name, value, expected] = fields[..] else {
                panic!("not three fields: {row}")
            };
            assert_eq!(read(name, value, 1_795_600_000).map(said).as_deref(), Ok(expected));
            if name == INTERNAL {
                let token = unverified_token(value)
                    .unwrap()
                    .map_or("empty".to_owned(), |token| format!("token {token}"));
                assert_eq!(token, expected);
            }
        }
    }

    #[test]
    fn what_is_written_is_what_gorilla_wrote() {
        let session = Session::Token("abc.def.ghi".to_owned());
        let value = encode(SECRET, INTERNAL, &session, at(1_795_379_955));
        assert!(include_str!("../../tests/data/cookies.tsv").contains(&format!("\t{value}\ttoken abc.def.ghi\n")));
        let claims = Session::Claims([("sub".to_owned(), "alice@example.com".to_owned())].into());
        for name in [OIDC, SAML] {
            let value = encode(SECRET, name, &claims, at(5));
            assert_eq!(read(name, &value, 5), Ok(claims.clone()));
        }
    }

    #[test]
    fn time_and_name_and_key_are_signed() {
        let session = Session::Token("t".to_owned());
        let value = encode(SECRET, INTERNAL, &session, at(3_000_000));
        assert_eq!(read(INTERNAL, &value, 3_000_000 + 2_592_000), Ok(session.clone()));
        assert_eq!(read(INTERNAL, &value, 3_000_000 + 2_592_001), Err(CookieError::Expired));
        assert_eq!(
            read(INTERNAL, &value, 0),
            Ok(session),
            "a stamp from the future is good"
        );
        assert_eq!(read(SAML, &value, 3_000_000), Err(CookieError::Signature));
        assert_eq!(
            decode(b"x", INTERNAL, &value, MAX_AGE, at(3_000_000)),
            Err(CookieError::Signature)
        );
        let bytes = unsealed(&value).unwrap();
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            assert!(
                read(INTERNAL, &BASE64.encode(&forged), 3_000_000).is_err(),
                "byte {place}"
            );
        }
    }

    #[test]
    fn what_is_no_session_says_why() {
        assert_eq!(read(INTERNAL, &"A".repeat(4097), 0), Err(CookieError::TooLong));
        for value in ["", "abc", "a b", "MTIz", "e30=.x"] {
            assert!(read(INTERNAL, value, 0).is_err(), "{value}");
        }
        let token = encode(SECRET, SAML, &Session::Token("t".to_owned()), at(9));
        assert_eq!(read(SAML, &token, 9), Ok(Session::Empty));
        let empty = encode(SECRET, INTERNAL, &Session::Empty, at(9));
        assert_eq!(read(INTERNAL, &empty, 9), Ok(Session::Empty));
    }

    #[test]
    fn cookies_are_read_leniently_and_the_first_of_a_name_wins() {
        let mut headers = HeaderMap::new();
        let lines = [
            "MTc5NTM3OTk1NXxEWDhF; a=1;b=\"x y\" ; =nameless; ;a=2",
            "c=q\"; d=\u{e4}; e e=1; f==; internal_auth_session=s;g=\"",
        ];
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let read: Vec<_> = cookies(&headers)
            .map(|(name, value)| format!("{name}:{value}"))
            .collect();
        assert_eq!(
            read,
            [
                "MTc5NTM3OTk1NXxEWDhF:",
                "a:1",
                "b:x y",
                "a:2",
                "f:=",
                "internal_auth_session:s"
            ]
        );
        assert_eq!(
            (find(&headers, "a"), find(&headers, INTERNAL), find(&headers, "z")),
            (Some("1"), Some("s"), None)
        );
        headers.append(COOKIE, HeaderValue::from_str(&";".repeat(3000)).unwrap());
        assert_eq!(cookies(&headers).count(), 0, "Go reads none of too many");
    }
}
