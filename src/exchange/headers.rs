//! Header rules: which headers end at a hop, and the names the gateway itself uses.
//!
//! RFC 9110 7.6.1 (Connection), 7.8 (Upgrade), 10.1.4 (TE). Pure.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The reason code of a refusal of the gateway's own.
pub const REASON: HeaderName = HeaderName::from_static("x-lakegate-reason");
/// The rule that refused.
pub const RULE: HeaderName = HeaderName::from_static("x-lakegate-rule");
/// The commit that a client knows is about to be lost, in full. It ends at the gateway.
pub const CONFIRM: HeaderName = HeaderName::from_static("x-lakegate-confirm");
/// The rules in shadow that would have refused the request, one a header line.
pub const SHADOW: HeaderName = HeaderName::from_static("x-lakegate-shadow");
/// The id of a request: lakeFS's own on forwarded answers, the gateway's on its refusals.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Removes what ends at this hop: the fixed names, and whatever `Connection` nominates, but never a header in `kept`. The order of the
/// others stays.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, kept: &[HeaderName]) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| !kept.contains(name))
        .collect();
    retain(headers, |name| !ends_here(name) && !nominated.contains(name));
}

fn ends_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Keeps the headers whose name passes, in their order (`HeaderMap::remove` would move the last one into the gap).
pub fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&keep) {
        return;
    }
    let all = std::mem::take(headers);
    headers.reserve(all.keys_len());
    let mut current = None;
    for (name, value) in all {
        // A repeated header comes with its name once.
        if let Some(name) = name {
            current = keep(&name).then_some(name);
        }
        if let Some(name) = &current {
            headers.append(name, value);
        }
    }
}

/// A header value of text the gateway made; characters that may not stand in a header become `?`.
pub fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let clean: String = text
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' })
            .collect();
        HeaderValue::from_str(&clean).unwrap_or(HeaderValue::from_static("?"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_nominates_but_never_what_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONNECTION,
            HeaderValue::from_static("close, X-Foo, Host, authorization"),
        );
        headers.insert("x-foo", HeaderValue::from_static("1"));
        headers.insert(header::HOST, HeaderValue::from_static("h"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("a"));
        strip_hop_by_hop(&mut headers, &[header::HOST, header::AUTHORIZATION]);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>().len(), 2);
        assert!(headers.contains_key(header::HOST) && headers.contains_key(header::AUTHORIZATION));
    }

    #[test]
    fn what_is_kept_keeps_its_order_and_its_repetitions() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("a", "1"),
            ("connection", "x"),
            ("b", "2"),
            ("x", "gone"),
            ("a", "3"),
            ("te", "trailers"),
            ("c", "4"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers, &[]);
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(left, [("a", "1"), ("a", "3"), ("b", "2"), ("c", "4")]);
    }
}
