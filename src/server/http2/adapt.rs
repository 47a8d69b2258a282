//! An HTTP/2 request's head as HTTP/1.1 would have brought it, or what is wrong with it (RFC 9113 8.2, 8.3). Pure.
//!
//! What hyper has judged by now: that names are lower-case words, which pseudo fields there are, that bodies have the length they claim.
//! Behind this stands lakeFS by HTTP/1.1, so a head that the strict door there would refuse is refused here too.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Uri, uri};

use crate::server::framing::{Fault, Limits, is_host, is_named_host, is_target};

/// Makes `head` one of HTTP/1.1: an origin-form target, exactly one Host, at most one Cookie and one Content-Length.
pub(super) fn adapt(head: &mut Parts, limits: &Limits) -> Result<(), Fault> {
    if head.headers.len() > limits.lines || size(head) > limits.head {
        return Err(Fault::HeadTooLarge);
    }
    let method = head.method.as_str();
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Fault::Method);
    }
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Fault::Bad("the method must be an upper-case word"));
    }
    if !matches!(head.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Fault::Bad(":scheme must be https or http"));
    }
    let host = host(head)?;
    head.uri = target(head)?;
    head.headers = headers(&head.headers, host)?;
    Ok(())
}

/// How many bytes HTTP/1.1 would need for it.
fn size(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let host = head
        .uri
        .authority()
        .map_or(0, |host| "host: \r\n".len() + host.as_str().len());
    let lines = head.headers.iter();
    let lines = lines.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    head.method.as_str().len() + target + "  HTTP/1.1\r\n\r\n".len() + host + lines.sum::<usize>()
}

/// The one host: of `:authority`, of Host, or of both if they say the same.
fn host(head: &Parts) -> Result<HeaderValue, Fault> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (line, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Fault::Bad("there is more than one Host"));
    }
    let authority = head.uri.authority().map(uri::Authority::as_str);
    let host = match (authority, line) {
        (None, None) => return Err(Fault::Bad("a request must have :authority or a Host")),
        (Some(authority), Some(line)) if !line.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {
            return Err(Fault::Bad("Host is not what :authority is"));
        }
        // As it is written in Host, if it is: signatures are made over that.
        (_, Some(line)) => line.clone(),
        (Some(authority), None) => {
            HeaderValue::from_str(authority).map_err(|_| Fault::Bad(":authority is no host name"))?
        }
    };
    match is_host(host.as_bytes()) && authority.is_none_or(|authority| is_named_host(authority.as_bytes())) {
        true => Ok(host),
        false => Err(Fault::Bad(":authority or Host is no host name")),
    }
}

fn target(head: &Parts) -> Result<Uri, Fault> {
    let target = head.uri.path_and_query().map_or("", uri::PathAndQuery::as_str);
    let of_the_server = target == "*" && head.method == Method::OPTIONS;
    if !target.starts_with('/') && !of_the_server {
        return Err(Fault::Bad(":path must begin with `/`"));
    }
    if !is_target(target.as_bytes()) {
        return Err(Fault::Bad(
            ":path holds characters that must be percent-encoded (`<`, `>`, a non-ASCII character)",
        ));
    }
    let mut parts = uri::Parts::default();
    parts.path_and_query = head.uri.path_and_query().cloned();
    Uri::from_parts(parts).map_err(|_| Fault::Bad(":path is no target"))
}

/// The header lines, Host first as clients of HTTP/1.1 send it, in the order they came.
fn headers(all: &HeaderMap, host: HeaderValue) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(all.len() + 1);
    headers.insert(header::HOST, host);
    for (name, value) in all {
        judge(name, value)?;
        match *name {
            header::HOST => {}
            header::COOKIE if !headers.contains_key(header::COOKIE) => {
                headers.insert(header::COOKIE, crumbs(all)?);
            }
            header::COOKIE => {}
            header::CONTENT_LENGTH if headers.contains_key(header::CONTENT_LENGTH) => {
                return Err(Fault::Bad("there is more than one Content-Length"));
            }
            _ => drop(headers.append(name, value.clone())),
        }
    }
    Ok(headers)
}

/// RFC 9113 8.2.1 and 8.2.2.
fn judge(name: &HeaderName, value: &HeaderValue) -> Result<(), Fault> {
    let bytes = value.as_bytes();
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if blank(bytes.first()) || blank(bytes.last()) {
        return Err(Fault::Bad("a header value begins or ends with a space"));
    }
    match name.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => Err(Fault::Bad(
            "a header line is about the connection, which HTTP/2 does not have",
        )),
        "te" if !bytes.eq_ignore_ascii_case(b"trailers") => Err(Fault::Bad("TE may only be `trailers`")),
        "expect" if !bytes.eq_ignore_ascii_case(b"100-continue") => Err(Fault::Expectation),
        "content-length" => {
            let digits = std::str::from_utf8(bytes)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            // Go counts in signed numbers.
            match digits.and_then(|digits| digits.parse::<i64>().ok()) {
                Some(_) => Ok(()),
                None => Err(Fault::Bad("Content-Length is not a number")),
            }
        }
        _ => Ok(()),
    }
}

/// The crumbs of a cookie as one line (RFC 9113 8.2.3).
fn crumbs(all: &HeaderMap) -> Result<HeaderValue, Fault> {
    let mut crumbs = all.get_all(header::COOKIE).iter();
    let first = crumbs.next().cloned();
    let Some(first) = first else {
        return Ok(HeaderValue::from_static(""));
    };
    let mut line = Vec::new();
    for crumb in crumbs {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(crumb.as_bytes());
    }
    if line.is_empty() {
        return Ok(first);
    }
    let line = [first.as_bytes(), &line].concat();
    HeaderValue::from_bytes(&line).map_err(|_| Fault::Bad("a header value holds a control character"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        head: 1 << 16,
        lines: 10,
    };

    fn parts(method: &str, uri: &str, lines: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn adapted(method: &str, uri: &str, lines: &[(&str, &str)]) -> Result<Vec<String>, Fault> {
        let mut head = parts(method, uri, lines);
        adapt(&mut head, &LIMITS)?;
        let lines = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        Ok(std::iter::once(head.uri.to_string()).chain(lines).collect())
    }

    #[test]
    fn a_head_is_as_http1_would_have_brought_it() {
        assert_eq!(
            adapted(
                "GET",
                "https://h:8443/a%2Fb//../c?x=1%20&y",
                &[
                    ("cookie", "a=1"),
                    ("x", "1"),
                    ("cookie", "b=2"),
                    ("x", "2"),
                    ("te", "trailers"),
                    ("cookie", "c")
                ]
            )
            .unwrap(),
            [
                "/a%2Fb//../c?x=1%20&y",
                "host: h:8443",
                "cookie: a=1; b=2; c",
                "x: 1",
                "x: 2",
                "te: trailers"
            ]
        );
        assert_eq!(adapted("OPTIONS", "*", &[("host", "h")]).unwrap(), ["*", "host: h"]);
        assert_eq!(
            adapted("PUT", "https://Host/", &[("content-length", "5"), ("host", "hOST")]).unwrap(),
            ["/", "host: hOST", "content-length: 5"]
        );
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let refused = |method: &str, uri: &str, lines: &[(&str, &str)]| adapted(method, uri, lines).unwrap_err();
        for (uri, lines) in [
            ("https://h/", &[("host", "other")][..]),
            ("https://h/", &[("host", "h"), ("host", "h")]),
            ("https://u@h/", &[]),
            ("/", &[]),
            ("/", &[("host", "a,b")]),
            ("*", &[("host", "h")]),
            ("ftp://h/", &[]),
            ("https://h/\u{fc}", &[]),
            ("https://h/", &[("connection", "close")]),
            ("https://h/", &[("transfer-encoding", "chunked")]),
            ("https://h/", &[("te", "gzip")]),
            ("https://h/", &[("content-length", "5"), ("content-length", "6")]),
            ("https://h/", &[("content-length", "5"), ("content-length", "5")]),
            ("https://:80/", &[]),
            ("https://h/", &[("content-length", "+5")]),
            ("https://h/", &[("content-length", "5, 5")]),
            ("https://h/", &[("content-length", "")]),
            ("https://h/", &[("content-length", "9223372036854775808")]),
            ("https://h/", &[("authorization", " Bearer x")]),
            ("https://h/", &[("x", "y\t")]),
        ] {
            assert!(matches!(refused("PUT", uri, lines), Fault::Bad(_)), "{uri} {lines:?}");
        }
        assert_eq!(refused("CONNECT", "h:80", &[]), Fault::Method);
        assert_eq!(refused("TRACE", "https://h/", &[]), Fault::Method);
        assert!(matches!(refused("get", "https://h/", &[]), Fault::Bad(_)));
        assert_eq!(refused("PUT", "https://h/", &[("expect", "tea")]), Fault::Expectation);
        assert_eq!(refused("GET", "https://h/", &[("a", "b"); 11]), Fault::HeadTooLarge);
        // `GET / HTTP/1.1`, `host: h`, and `x: ` with the rest, each with its line end, and the empty line.
        let rest = "y".repeat(LIMITS.head - 16 - 9 - 5 - 2);
        assert!(adapted("GET", "https://h/", &[("x", &rest)]).is_ok());
        assert_eq!(
            refused("GET", "https://h/", &[("x", &(rest + "y"))]),
            Fault::HeadTooLarge
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_there_is_one_host_and_at_most_one_cookie_and_length(
            uri in "(https://[a-z:@0-9]{1,6})?/[!-~]{0,10}",
            lines in proptest::collection::vec(("host|cookie|content-length|te|x", "[ -~]{0,4}|[0-9]{1,2}|h"), 0..8),
        ) {
            prop_assume!(uri.parse::<Uri>().is_ok());
            let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut head = parts("PUT", &uri, &lines);
            let crumbs = head.headers.get_all("cookie").iter().filter(|value| !value.is_empty()).count();
            if adapt(&mut head, &LIMITS).is_ok() {
                prop_assert_eq!(head.headers.get_all("host").iter().count(), 1);
                prop_assert_eq!(head.headers.get_all("cookie").iter().count() > 0 || crumbs == 0, true);
                prop_assert!(head.headers.get_all("cookie").iter().count() <= 1);
                prop_assert!(head.headers.get_all("content-length").iter().count() <= 1);
                prop_assert!(head.uri.authority().is_none() && head.uri.path().starts_with('/'));
            }
        }
    }
}
