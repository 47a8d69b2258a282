//! Header rules: which headers end at a hop, and the names the gateway itself uses.
//!
//! RFC 9110 7.6.1 (Connection), 7.8 (Upgrade), 10.1.4 (TE). Pure.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The reason code of a refusal of the gateway's own.
pub const REASON: HeaderName = HeaderName::from_static("x-lakegate-reason");
/// The rule that refused.
pub const RULE: HeaderName = HeaderName::from_static("x-lakegate-rule");
/// The id of a request: lakeFS's own on forwarded answers, the gateway's on its refusals.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes what ends at this hop: the fixed names, and whatever `Connection` nominates, but never a header in `kept`.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, kept: &[HeaderName]) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| !kept.contains(name))
        .collect();
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
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
}
