//! Taking the credentials out of a `Cookie` header. Pure. (`lakefs::cookie` reads them.)
//!
//! What is not taken out stays as it came, byte for byte.

use http::header::{self, HeaderMap, HeaderValue};

use crate::lakefs::cookie::{INTERNAL, OIDC, SAML};

/// Takes out the session cookies and those without a name (what old SDKs send for an API key, which authenticates nobody).
pub(super) fn strip(headers: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    if !lines.iter().any(|line| parts(line.as_bytes()).any(goes)) {
        return;
    }
    headers.remove(header::COOKIE);
    for line in lines {
        let kept: Vec<&[u8]> = parts(line.as_bytes()).filter(|part| !goes(part)).collect();
        let kept = kept.join(&b';');
        // Pieces of a header value are a header value.
        if let Ok(kept) = HeaderValue::from_bytes(kept.trim_ascii_start())
            && !kept.is_empty()
        {
            headers.append(header::COOKIE, kept);
        }
    }
}

fn goes(part: &[u8]) -> bool {
    let name = name(part);
    let nameless = name.is_empty() || !part.contains(&b'=');
    // An empty piece, as after a last semicolon, is no cookie.
    !part.trim_ascii().is_empty()
        && (nameless || [INTERNAL, OIDC, SAML].iter().any(|session| session.as_bytes() == name))
}

fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';')
}

/// The name of a cookie: up to the first `=`, trimmed, as Go has it.
fn name(part: &[u8]) -> &[u8] {
    part.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefs::cookie::find;
    use proptest::prelude::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn left(lines: &[&str]) -> Vec<String> {
        let mut headers = headers(lines);
        strip(&mut headers);
        let left = headers.get_all(header::COOKIE).iter();
        left.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn sessions_and_the_nameless_go_and_all_else_stays_to_the_byte() {
        let cases: [(&[&str], &[&str]); 10] = [
            (&["a=1; internal_auth_session=x; b=2"], &["a=1; b=2"]),
            (&["internal_auth_session=x;  b=\"2 \" ;c"], &["b=\"2 \" "]),
            (&["oidc_auth_session=x; saml_auth_session=y"], &[]),
            (&["a=1;b=2 ;; ", "saml_auth_session=z"], &["a=1;b=2 ;; "]),
            (
                &["a=1;", "_ga=GA1.2; internal_auth_session2=x"],
                &["a=1;", "_ga=GA1.2; internal_auth_session2=x"],
            ),
            (&["MTc5NTM3OTk1NXxEWDhF"], &[]),
            (&["=value; k=v"], &["k=v"]),
            (&["internal_auth_session\t=x; k=\u{e9}"], &["k=\u{e9}"]),
            (&["Internal_Auth_Session=x"], &["Internal_Auth_Session=x"]),
            (&["k=internal_auth_session=x"], &["k=internal_auth_session=x"]),
        ];
        for (lines, expected) in cases {
            assert_eq!(left(lines), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn after_stripping_no_session_is_readable_and_no_other_cookie_is_lost(line in "[ a-c=;\"\t]{0,12}(internal_auth_session|k)?[ =;x\"]{0,6}[ a-c=;]{0,12}") {
            let mut map = headers(&[&line]);
            strip(&mut map);
            for session in [INTERNAL, OIDC, SAML] {
                prop_assert_eq!(find(&map, session), None);
            }
            for name in ["a", "b", "ab", "k"] {
                let before = headers(&[&line]);
                // Without an `=` it had no name.
                if find(&before, name).is_some_and(|value| !value.is_empty()) {
                    prop_assert_eq!(find(&map, name), find(&before, name));
                }
            }
        }
    }
}
