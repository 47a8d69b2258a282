//! A request's head as HTTP/2 carries it (RFC 9113 section 8.3), or the finding that HTTP/2 cannot carry it as it is. Pure.

use http::header::{self, HeaderMap};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use crate::exchange::headers;

/// The head of a request that [`super::request()`] has made, for HTTP/2. Nothing if it would arrive as another one: an absolute target
/// (lakeFS reads it differently than the same target and Host), `*`, a Host that is empty or no authority. Those go by HTTP/1.1, and so
/// does a path with a broken escape: by HTTP/1.1 Go says 400, by HTTP/2 it breaks the stream.
pub(in crate::upstream) fn head(method: &Method, target: &Uri, all: &HeaderMap) -> Option<Request<()>> {
    let mut hosts = all.get_all(header::HOST).iter();
    let host = hosts.next().filter(|host| !host.is_empty())?;
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    let path = target.path_and_query()?;
    let as_it_is = target.scheme().is_none()
        && target.authority().is_none()
        && path.as_str().starts_with('/')
        && escapes_are_whole(path.path())
        && authority.as_str().as_bytes() == host.as_bytes()
        && hosts.next().is_none();
    if !as_it_is {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri(authority, path.clone())?;
    *request.version_mut() = Version::HTTP_2;
    let lines = request.headers_mut();
    lines.clone_from(all);
    // `:authority` says the one, and frames have an end of their own.
    headers::retain(lines, |name| {
        *name != header::HOST && *name != header::TRANSFER_ENCODING
    });
    Some(request)
}

/// Whether two hexadecimal digits follow each `%`, as Go's `url.ParseRequestURI` wants it of a path.
fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        after
            .as_bytes()
            .first_chunk::<2>()
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn uri(authority: Authority, path: PathAndQuery) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(target: &str, lines: &[(&str, &str)]) -> Option<Request<()>> {
        let mut request = Request::put(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (old, ()) = request.body(()).unwrap().into_parts();
        head(&old.method, &old.uri, &old.headers)
    }

    #[test]
    fn host_becomes_the_authority_and_the_rest_stays() {
        let lines = [
            ("x-b", "1"),
            ("host", "Lake.Example:8000"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("x-b", "2"),
            ("cookie", "a=1; b=2"),
            ("trailer", "x-sum"),
        ];
        let made = made("/r/m%61in/a%2Fb//../c?x=%zz&&y=`|", &lines).unwrap();
        assert_eq!(made.version(), Version::HTTP_2);
        assert_eq!(
            (made.uri().scheme_str(), made.uri().authority().unwrap().as_str()),
            (Some("https"), "Lake.Example:8000")
        );
        assert_eq!(
            made.uri().path_and_query().unwrap().as_str(),
            "/r/m%61in/a%2Fb//../c?x=%zz&&y=`|"
        );
        let left: Vec<_> = made
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            left,
            [
                ("x-b", "1"),
                ("x-b", "2"),
                ("te", "trailers"),
                ("expect", "100-continue"),
                ("cookie", "a=1; b=2"),
                ("trailer", "x-sum"),
            ]
        );
    }

    #[test]
    fn what_http2_would_carry_as_another_request_it_does_not_carry() {
        for (target, lines) in [
            ("http://s3.local.lakefs.io/r/main/a", &[("host", "h")][..]),
            ("*", &[("host", "h")][..]),
            ("/a%zz", &[("host", "h")][..]),
            ("/a%4?b", &[("host", "h")][..]),
            ("/%", &[("host", "h")][..]),
            ("/", &[][..]),
            ("/", &[("host", "")][..]),
            ("/", &[("host", "a b")][..]),
            ("/", &[("host", "a"), ("host", "a")][..]),
        ] {
            assert!(made(target, lines).is_none(), "{target} {lines:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_carried_is_carried_to_the_byte(target in "/[!-~]{0,30}", host in "[!-~]{0,12}") {
            prop_assume!(target.parse::<Uri>().is_ok_and(|uri| uri.to_string() == target));
            if let Some(made) = made(&target, &[("host", &host)]) {
                prop_assert_eq!(made.uri().authority().unwrap().as_str(), host);
                prop_assert_eq!(made.uri().path_and_query().unwrap().as_str(), target);
            }
        }
    }
}
