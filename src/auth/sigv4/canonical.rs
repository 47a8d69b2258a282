//! The canonical request: the one text that both sides sign (AWS "Create a signed AWS API request", step 1). Pure.
//!
//! Two readers, two rules. [`Rules::Aws`] is what clients follow, and what their signatures are verified by: nothing of the path is
//! normalised, each byte of it is encoded once, all values of the query and of a repeated header count. [`Rules::Lakefs`] is how lakeFS
//! reads a request (pkg/gateway/sig/v4.go), and what it is signed anew by. For almost every request both are the same text.

use std::borrow::Cow;

use http::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::lakefs::url::decode;

/// The parameter that is not signed, because it is the signature.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
/// The header with which one says what the payload is.
pub(super) const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// What RFC 3986 section 2.3 does not reserve is not encoded.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Whose reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// AWS's, for S3.
    Aws,
    /// lakeFS's.
    Lakefs,
}

/// What is signed of a request's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    /// As it came.
    pub(super) path: &'a str,
    /// As it came.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// The canonical request. `signed` are the names of signed headers, as the signature lists them; `payload` is what it says of the payload.
pub(super) fn request(head: &Head<'_>, signed: &str, payload: &str, rules: Rules) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    let mut line = |part: &[u8]| {
        text.extend_from_slice(part);
        text.push(b'\n');
    };
    line(head.method.as_bytes());
    line(path(head.path, rules).as_bytes());
    line(query(head.query, rules).as_bytes());
    for name in signed.split(';') {
        line(&[name.as_bytes(), b":", &value(head.headers, name, rules)].concat());
    }
    line(b"");
    line(signed.as_bytes());
    text.extend_from_slice(payload.as_bytes());
    text
}

fn path(raw: &str, rules: Rules) -> String {
    let decoded: Cow<'_, [u8]> = percent_decode_str(raw).into();
    match (rules, str::from_utf8(&decoded)) {
        (Rules::Lakefs, Err(_)) => percent_encode(&go_runes(&decoded), ENCODED_IN_PATH).to_string(),
        _ => percent_encode(&decoded, ENCODED_IN_PATH).to_string(),
    }
}

fn query(raw: &str, rules: Rules) -> String {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let encoded = |bytes: &[u8]| percent_encode(bytes, ENCODED).to_string();
    let mut texts: Vec<String> = match rules {
        Rules::Aws => {
            let mut pairs: Vec<_> = pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (lenient(name), lenient(value))
                })
                .filter(|(name, _)| name != SIGNATURE.as_bytes())
                .map(|(name, value)| (encoded(&name), encoded(&value)))
                .collect();
            pairs.sort_unstable();
            pairs
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        }
        Rules::Lakefs => {
            let mut pairs: Vec<_> = pairs
                .filter(|pair| !pair.contains(';'))
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode(name.as_bytes(), true)?, decode(value.as_bytes(), true)?))
                })
                .filter(|(name, _)| **name != *SIGNATURE.as_bytes())
                .collect();
            // Of a name said twice the first value counts: the sort is stable.
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            pairs.dedup_by(|later, first| later.0 == first.0);
            pairs
                .into_iter()
                .map(|(name, value)| format!("{}={}", encoded(&name), encoded(&value)))
                .collect()
        }
    };
    match texts.len() {
        1 => texts.pop().unwrap_or_default(),
        _ => texts.join("&"),
    }
}

/// A part of a query, where a broken escape stands for itself.
fn lenient(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).collect()
}

fn value(headers: &HeaderMap, name: &str, rules: Rules) -> Vec<u8> {
    let mut values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
    match rules {
        Rules::Aws => {
            let values: Vec<_> = values.map(collapsed).collect();
            values.join(&b","[..])
        }
        // Go takes it out of a request's headers. (Host it takes out too, and lakeFS looks for it where it then is.)
        Rules::Lakefs if name == TRANSFER_ENCODING.as_str() => Vec::new(),
        Rules::Lakefs if name == HOST.as_str() => values.next().map(go_trimmed).unwrap_or_default(),
        Rules::Lakefs => values.next().map(go_trimmed).unwrap_or_default(),
    }
}

/// Without space around it, and with one space for several.
fn collapsed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b" "[..])
}

/// lakeFS's `trimAll`: by runes, and of several spaces the first one stays, whatever it is.
fn go_trimmed(value: &[u8]) -> Vec<u8> {
    let runes = go_runes(value);
    let text = String::from_utf8_lossy(&runes);
    let mut trimmed = String::with_capacity(text.len());
    let mut in_space = false;
    for rune in text.trim().chars() {
        if !(in_space && rune.is_whitespace()) {
            trimmed.push(rune);
        }
        in_space = rune.is_whitespace();
    }
    trimmed.into_bytes()
}

/// Bytes as Go ranges over a string: each byte that begins no rune is U+FFFD.
fn go_runes(mut bytes: &[u8]) -> Vec<u8> {
    let mut runes = Vec::with_capacity(bytes.len());
    loop {
        match str::from_utf8(bytes) {
            Ok(text) => {
                runes.extend_from_slice(text.as_bytes());
                return runes;
            }
            Err(error) => {
                let (good, bad) = bytes.split_at(error.valid_up_to());
                runes.extend_from_slice(good);
                runes.extend_from_slice("\u{fffd}".as_bytes());
                bytes = bad.get(1..).unwrap_or_default();
            }
        }
    }
}
