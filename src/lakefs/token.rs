//! lakeFS's login tokens (pkg/auth/token.go): minted as it mints them, accepted where it accepts them. Pure.
//!
//! Written on HMAC alone, because what a JWT library adds is what lakeFS does not do: an audience must be absent, empty or `login`,
//! `exp` may be fractional or a string of digits, and there is no leeway; issuer, `iat` and `nbf` are not looked at. What is not here:
//! whether the user exists. lakeFS asks that too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;

/// The only audience lakeFS gives and takes.
const AUDIENCE: &str = "login";

/// Go's `base64.RawURLEncoding`: no padding, and the bits left over do not matter.
const SEGMENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's name; not empty.
    pub sub: String,
    /// When it ends, in Unix seconds: from then on it is refused.
    pub exp: u64,
    /// The token's own id.
    pub jti: Option<String>,
}

/// Why a token is not accepted. lakeFS does not tell its clients, and neither should the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64 with JSON in two of them, or a claim has another type.
    #[error("the token is not a JWT of lakeFS's form")]
    Malformed,
    /// Not HS256, HS384 or HS512.
    #[error("the token's algorithm is not an HMAC")]
    Algorithm,
    /// Another secret signed it, or nobody.
    #[error("the token's signature is not from this secret")]
    Signature,
    /// It ended, or has no end.
    #[error("the token has expired")]
    Expired,
    /// It is for something else than logging in.
    #[error("the token is for another audience")]
    Audience,
    /// It names nobody.
    #[error("the token names no user")]
    Subject,
}

/// Verifies a token as lakeFS would at the time `now`, with the secret `auth.encrypt.secret_key`.
///
/// # Errors
/// [`TokenError`] where lakeFS answers 401.
pub fn verify(secret: &[u8], token: &str, now: SystemTime) -> Result<Claims, TokenError> {
    let mut parts = token.split('.');
    let (Some(header), Some(body), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Malformed);
    };
    let algorithm = algorithm(&segment(header)?)?;
    let raw = Raw::read(&segment(body)?)?;
    let signed = token.get(..header.len() + 1 + body.len()).unwrap_or_default();
    hmac::verify(
        &hmac::Key::new(algorithm, secret),
        signed.as_bytes(),
        &segment(signature)?,
    )
    .map_err(|_| TokenError::Signature)?;
    let exp = raw.exp.ok_or(TokenError::Expired)?;
    if now
        .duration_since(UNIX_EPOCH)
        .is_ok_and(|now| now >= Duration::from_secs(exp))
    {
        return Err(TokenError::Expired);
    }
    if !matches!(&*raw.aud, "" | AUDIENCE) {
        return Err(TokenError::Audience);
    }
    if raw.sub.is_empty() {
        return Err(TokenError::Subject);
    }
    Ok(Claims {
        sub: raw.sub,
        exp,
        jti: Some(raw.jti).filter(|jti| !jti.is_empty()),
    })
}

/// Makes the token that lakeFS would give the user `sub` at the time `now`.
pub fn mint(secret: &[u8], sub: &str, now: SystemTime, lifetime: Duration) -> String {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let quoted = serde_json::Value::from(sub);
    let body = format!(
        r#"{{"jti":"{}","iss":"auth","sub":{quoted},"aud":"{AUDIENCE}","iat":{},"exp":{}}}"#,
        uuid::Uuid::new_v4(),
        seconds(now),
        seconds(now + lifetime),
    );
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(br#"{"alg":"HS256","typ":"JWT"}"#),
        encode(body.as_bytes())
    );
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", encode(signature.as_ref()))
}

fn segment(text: &str) -> Result<Vec<u8>, TokenError> {
    SEGMENT.decode(text).map_err(|_| TokenError::Malformed)
}

/// The `alg` of a header, of which nothing else counts.
fn algorithm(header: &[u8]) -> Result<hmac::Algorithm, TokenError> {
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|_| TokenError::Malformed)?;
    match header.get("alg").and_then(serde_json::Value::as_str) {
        Some("HS256") => Ok(hmac::HMAC_SHA256),
        Some("HS384") => Ok(hmac::HMAC_SHA384),
        Some("HS512") => Ok(hmac::HMAC_SHA512),
        _ => Err(TokenError::Algorithm),
    }
}

/// The claims as Go unmarshals them into `LoginClaims`: names in any case, the last of several, `null` as if it were not there, and any
/// other type an error.
#[derive(Debug, Default)]
struct Raw {
    jti: String,
    iss: String,
    sub: String,
    aud: String,
    iat: Option<u64>,
    exp: Option<u64>,
}

impl Raw {
    fn read(body: &[u8]) -> Result<Self, TokenError> {
        let (mut raw, mut wrong) = (Self::default(), false);
        let trailing = json::fields(body, &["jti", "iss", "sub", "aud", "iat", "exp"], |place, value| {
            let read = match place {
                0 => text(value, &mut raw.jti),
                1 => text(value, &mut raw.iss),
                2 => text(value, &mut raw.sub),
                3 => text(value, &mut raw.aud),
                4 => date(value, &mut raw.iat),
                _ => date(value, &mut raw.exp),
            };
            wrong |= read.is_none();
        });
        if wrong || trailing.is_err() || trailing.is_ok_and(|trailing| trailing) {
            return Err(TokenError::Malformed);
        }
        Ok(raw)
    }
}

fn text(value: &RawValue, into: &mut String) -> Option<()> {
    if let Some(text) = serde_json::from_str::<Option<String>>(value.get()).ok()? {
        *into = text;
    }
    Some(())
}

/// golang-jwt's `NumericDate`, to the second: a number, or a string that holds one.
fn date(value: &RawValue, into: &mut Option<u64>) -> Option<()> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Date {
        Number(f64),
        Text(String),
    }
    /// Beyond it, Go's `time.Time` runs over.
    const END: f64 = 9.2e18;
    *into = match serde_json::from_str::<Option<Date>>(value.get()).ok()? {
        None => None,
        Some(Date::Number(number)) => Some(number),
        Some(Date::Text(text)) => Some(
            serde_json::from_str(&text)
                .ok()
                .filter(|_| !text.contains(char::is_whitespace))?,
        ),
    }
    .map(|seconds| {
        if (0.0..END).contains(&seconds) {
            seconds as u64
        } else {
            0
        }
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"THIS_MUST_BE_CHANGED_IN_PRODUCTION";
    const NOW: u64 = 1_795_379_955;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn signed(header: &str, claims: &str) -> String {
        let signed = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(header),
            BASE64_URL_SAFE_NO_PAD.encode(claims)
        );
        let algorithm = algorithm(header.as_bytes()).unwrap_or(hmac::HMAC_SHA256);
        let signature = hmac::sign(&hmac::Key::new(algorithm, SECRET), signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims(claims: &str) -> Result<String, TokenError> {
        verify(SECRET, &signed(r#"{"alg":"HS256"}"#, claims), at(NOW)).map(|claims| claims.sub)
    }

    #[test]
    fn what_is_minted_is_accepted_until_it_ends() {
        let token = mint(SECRET, "al\"ice", at(NOW), Duration::from_secs(60));
        let claims = verify(SECRET, &token, at(NOW + 59)).unwrap();
        assert_eq!((&*claims.sub, claims.exp), ("al\"ice", NOW + 60));
        assert_eq!(verify(SECRET, &token, at(NOW + 60)), Err(TokenError::Expired));
        assert_eq!(verify(b"other", &token, at(NOW)), Err(TokenError::Signature));
        assert_eq!(
            verify(SECRET, &format!("{token}="), at(NOW)),
            Err(TokenError::Malformed)
        );
        assert_eq!(
            verify(SECRET, &format!("{token}.x"), at(NOW)),
            Err(TokenError::Malformed)
        );
    }

    /// A library that knows nothing of lakeFS reads it too.
    #[test]
    fn what_is_minted_is_a_jwt_with_lakefs_claims_in_order() {
        let token = mint(SECRET, "admin", at(NOW), Duration::from_secs(604_800));
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_audience(&["login"]);
        validation.set_issuer(&["auth"]);
        validation.validate_exp = false;
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
        let read = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap();
        assert_eq!(read.claims["exp"], NOW + 604_800);
        let body = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let body = String::from_utf8(body).unwrap();
        let places: Vec<_> = ["jti", "iss", "sub", "aud", "iat", "exp"]
            .map(|name| body.find(&format!("\"{name}\":")))
            .into();
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{body}");
    }

    /// Live, section 4.
    #[test]
    fn a_token_is_accepted_exactly_where_lakefs_accepts_it() {
        for body in [
            r#"{"sub":"a","exp":1795379956}"#,
            r#"{"sub":"a","exp":1795379956.9,"aud":""}"#,
            r#"{"sub":"a","exp":"1795379956","aud":"login"}"#,
            r#"{"sub":"a","exp":1e10,"iss":"other","nbf":9e9,"iat":9e9}"#,
            r#"{"SUB":"b","ſub":"a","exp":1795379999,"aud":null}"#,
            r#"{"sub":"a","sub":null,"exp":1795379999}"#,
        ] {
            assert_eq!(claims(body).as_deref(), Ok("a"), "{body}");
        }
        for header in [r#"{"alg":"HS384","typ":7,"kid":[]}"#, r#"{"alg":"HS512","crit":["x"]}"#] {
            assert!(
                verify(SECRET, &signed(header, r#"{"sub":"a","exp":1795379956}"#), at(NOW)).is_ok(),
                "{header}"
            );
        }
    }

    #[test]
    fn a_token_is_refused_where_lakefs_refuses_it() {
        for (body, why) in [
            (r#"{"sub":"a"}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":null}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":0}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":-1}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":9223372036854775808}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":1795379955}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":1795379955.9}"#, TokenError::Expired),
            (r#"{"sub":"a","exp":"soon"}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":" 1795379999"}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":true}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":1795379999,"aud":["login"]}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":1795379999,"aud":"reset"}"#, TokenError::Audience),
            (r#"{"sub":"","exp":1795379999}"#, TokenError::Subject),
            (r#"{"exp":1795379999}"#, TokenError::Subject),
            (r#"{"sub":1,"exp":1795379999}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":1795379999,"iat":"x"}"#, TokenError::Malformed),
            (r#"{"sub":"a","exp":1795379999}{}"#, TokenError::Malformed),
            ("[]", TokenError::Malformed),
        ] {
            assert_eq!(claims(body), Err(why), "{body}");
        }
        let body = r#"{"sub":"a","exp":1795379999}"#;
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"ALG":"HS256"}"#,
            "{}",
        ] {
            assert_eq!(
                verify(SECRET, &signed(header, body), at(NOW)),
                Err(TokenError::Algorithm),
                "{header}"
            );
        }
        for token in ["", ".", "..", "a.b", "e30.e30.", "e30.e30.e30"] {
            assert!(verify(SECRET, token, at(NOW)).is_err(), "{token}");
        }
    }
}
