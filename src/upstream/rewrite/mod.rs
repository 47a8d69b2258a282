//! What of a message changes on its way: hop-by-hop headers end here, forwarded headers say what the gateway knows, framing is one. Pure.
//!
//! Everything else goes through as it came: the target byte for byte, Host, signed headers, order, repetitions, spelling.

pub(super) mod http2;

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version, request, response};
use http_body::Body as _;

use crate::exchange::{Body, Client, headers};

/// What a request keeps even if its `Connection` nominates it: without these it would be another request than the one that was judged.
/// (Without `X-Amz-Signature` lakeFS would take for one of its API's what was judged as one of the S3 gateway's.)
static REQUEST_KEEPS: [HeaderName; 22] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::DATE,
    header::EXPECT,
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-copy-source"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-decoded-content-length"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-signature"),
];

/// What an answer keeps even if its `Connection` nominates it.
static RESPONSE_KEEPS: [HeaderName; 11] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::DATE,
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::TRAILER,
    header::WWW_AUTHENTICATE,
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Makes a client's request one of the gateway's own hop, with `body` to follow.
pub(super) fn request(head: &mut request::Parts, body: &Body, client: &Client) {
    let takes_trailers = head
        .headers
        .get_all(header::TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    headers::strip_hop_by_hop(&mut head.headers, &REQUEST_KEEPS);
    headers::retain(&mut head.headers, |name| !says_who_forwarded(name.as_str()));
    head.version = Version::HTTP_11;
    if !head.headers.contains_key(header::HOST) {
        head.headers.insert(header::HOST, host_of(head));
    }
    if takes_trailers {
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // hyper would send a GET's body of unknown length without any framing, which is not at all.
    if body.size_hint().exact().is_none() {
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers
            .insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let (address, scheme) = (text(&client.address), if client.secure { "https" } else { "http" });
    head.headers
        .insert(header::FORWARDED, forwarded(client.address, scheme));
    head.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    head.headers.insert(X_REAL_IP, address.clone());
    head.headers.insert(X_FORWARDED_FOR, address);
}

/// An HTTP/1.0 request may come without Host: it gets the one of its target, or an empty one, which lakeFS takes.
fn host_of(head: &request::Parts) -> HeaderValue {
    head.uri.authority().map_or(HeaderValue::from_static(""), |authority| {
        headers::value(authority.as_str())
    })
}

/// lakeFS believes the leftmost `X-Forwarded-For` (pkg/httputil/client.go:25), and what reads environment-like names takes `_` for `-`.
fn says_who_forwarded(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.len() >= prefix.len()
            && name
                .bytes()
                .zip(prefix.bytes())
                .all(|(byte, wanted)| byte == wanted || (byte == b'_' && wanted == b'-'))
    };
    match name.as_bytes().first() {
        Some(b'f') => name == "forwarded",
        Some(b'x') => starts("x-forwarded-") || (name.len() == "x-real-ip".len() && starts("x-real-ip")),
        _ => false,
    }
}

/// RFC 7239 section 4; an IPv6 address stands in brackets and quotes (section 6).
fn forwarded(address: IpAddr, scheme: &str) -> HeaderValue {
    let mut line = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = match address {
        IpAddr::V4(address) => write!(line, "for={address};proto={scheme}"),
        IpAddr::V6(address) => write!(line, "for=\"[{address}]\";proto={scheme}"),
    };
    headers::value(&line)
}

fn text(address: &IpAddr) -> HeaderValue {
    headers::value(&address.to_string())
}

/// Makes lakeFS's answer one of the gateway's own hop.
///
/// # Errors
/// What is wrong with an answer that must not be passed on: its end could be understood in two ways, or it switches protocols.
pub(super) fn response(head: &mut response::Parts) -> Result<(), &'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS || head.status.is_informational() {
        return Err("it switched protocols though nobody asked");
    }
    let coded = is_coded(&head.headers)?;
    match content_length(&head.headers)? {
        Some(_) if coded => return Err("it has both Content-Length and Transfer-Encoding"),
        Some(length) if head.headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() => {
            head.headers.insert(header::CONTENT_LENGTH, length);
        }
        _ => {}
    }
    headers::strip_hop_by_hop(&mut head.headers, &RESPONSE_KEEPS);
    head.version = Version::HTTP_11;
    Ok(())
}

fn is_coded(headers: &HeaderMap) -> Result<bool, &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("its Transfer-Encoding is not `chunked`"),
    }
}

/// The one length of an answer; repeated equal lines count as one (RFC 9112 6.3), a list within a line does not.
fn content_length(headers: &HeaderMap) -> Result<Option<HeaderValue>, &'static str> {
    let mut length: Option<&HeaderValue> = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        if value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit) {
            return Err("its Content-Length is not a number");
        }
        if length.is_some_and(|length| length != value) {
            return Err("it has two Content-Lengths");
        }
        length = Some(value);
    }
    Ok(length.cloned())
}

#[cfg(test)]
mod tests;
