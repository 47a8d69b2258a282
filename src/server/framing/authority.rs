//! Which hosts can be one: `Host` lines and the authority of an absolute target (RFC 9110 7.2, RFC 3986 3.2). Pure.

/// Whether this is a host with an optional port, and nothing that two readers could read differently: no user, no list, no encoding.
pub(in crate::server) fn is_host(bytes: &[u8]) -> bool {
    let (host_is_fine, port) = match bytes.strip_prefix(b"[") {
        Some(literal) => match literal.iter().position(|byte| *byte == b']') {
            Some(end) => {
                let (address, rest) = literal.split_at(end);
                (
                    address.len() >= 2
                        && address
                            .iter()
                            .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)),
                    rest.get(1..).unwrap_or_default(),
                )
            }
            None => return false,
        },
        None => {
            let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
            let (name, port) = bytes.split_at(end);
            (name.iter().all(|byte| is_name_byte(*byte)), port)
        }
    };
    host_is_fine
        && match port.split_first() {
            None => true,
            Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
            Some(_) => false,
        }
}

/// Whether this is such a host, and is not empty: an `http` URI has one (RFC 9110 4.2.1).
pub(in crate::server) fn is_named_host(bytes: &[u8]) -> bool {
    !matches!(bytes.first(), None | Some(b':')) && is_host(bytes)
}

/// Unreserved and sub-delims but the comma, which would make a list of it.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_only_looks_like_one() {
        for good in [
            "",
            "h",
            "a.example",
            "A.Example:8000",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "h:",
            "my_host",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for unnamed in ["", ":", ":80"] {
            assert!(
                is_host(unnamed.as_bytes()) && !is_named_host(unnamed.as_bytes()),
                "{unnamed}"
            );
        }
        assert!(is_named_host(b"h:80") && !is_named_host(b"u@h"));
        for bad in [
            "a,b", "a b", "u@h", "u:p@h", "h/", "h?x", "h#x", "h:80:80", "h:x", "h:123456", "::1", "[::1", "[::1]x",
            "[x]", "[]", "%68", "h\\x", "\"h\"", "h\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
