//! By which names the listener may be called. Pure.
//!
//! A web page can point a name of its own at 127.0.0.1 and then read what it gets as its own (DNS rebinding). It cannot do so with a
//! plain address or with a name that the operator gave.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::{self, HeaderValue};

/// The names.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// `localhost`, plain addresses, and these.
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a request with this head may be answered.
    pub(super) fn allow(&self, uri: &http::Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (host, another) = (hosts.next(), hosts.next());
        if another.is_some() || uri.authority().is_some_and(|authority| !self.knows(authority.as_str())) {
            return false;
        }
        let origin = headers.get(header::ORIGIN);
        match host.map(HeaderValue::to_str) {
            Some(Ok(host)) => self.knows(host) && origin.is_none_or(|origin| is_of(origin, host)),
            Some(Err(_)) => false,
            // Simple health checkers speak HTTP/1.0; browsers do not.
            None => origin.is_none(),
        }
    }

    fn knows(&self, authority: &str) -> bool {
        if let Some((address, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        let host = authority.split_once(':').map_or(authority, |(host, _)| host);
        let host = host.to_ascii_lowercase();
        host.parse::<Ipv4Addr>().is_ok() || host == "localhost" || self.0.contains(&host)
    }
}

/// Whether a page of this origin is the listener's own.
fn is_of(origin: &HeaderValue, host: &str) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, HeaderValue::from_static(host));
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        Hosts::new(&["Gateway.Example.com".into()]).allow(&http::Uri::from_static("/livez"), &headers)
    }

    #[test]
    fn addresses_localhost_and_given_names_are_served() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8081",
            "10.0.0.3:8081",
            "[::1]:8081",
            "[::1]",
            "LocalHost:1",
            "gateway.example.COM",
        ] {
            assert!(allowed(Some(host), None), "{host}");
        }
        assert!(allowed(None, None), "HTTP/1.0");
    }

    #[test]
    fn names_of_strangers_are_not() {
        for host in [
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[evil]:1",
            "[::1",
        ] {
            assert!(!allowed(Some(host), None), "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(!Hosts::new(&[]).allow(&http::Uri::from_static("/"), &headers));
        assert!(!Hosts::new(&[]).allow(&http::Uri::from_static("http://evil.example/livez"), &HeaderMap::new()));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        assert!(allowed(Some("localhost:8081"), Some("http://localhost:8081")));
        for origin in ["http://localhost:3000", "https://evil.example", "null", ""] {
            assert!(!allowed(Some("localhost:8081"), Some(origin)), "{origin}");
        }
        assert!(!allowed(None, Some("http://localhost")));
    }
}
