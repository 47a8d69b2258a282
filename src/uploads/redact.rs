//! What must not be written down: lakeFS's signature on physical addresses, and presigned URLs. Pure.
//!
//! Both are keys to data: whoever has one needs no credential.

use crate::store::clip;

/// Longest message that is kept, in bytes.
const MESSAGE_MAX: usize = 300;

/// A physical address without lakeFS's signature, which stands behind the last comma (pkg/catalog/catalog.go, VerifyLinkAddress).
pub(super) fn unsigned(address: &str) -> &str {
    address.rsplit_once(',').map_or(address, |(address, _)| address)
}

/// One line of an error message, bounded, with signatures and the queries of URLs taken out.
///
/// lakeFS's validator quotes what it refuses, so a message can hold the address that the client sent; the object store's errors can
/// hold URLs.
pub(super) fn message(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut clean = String::with_capacity(line.len());
    let ends_word = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
    for word in line.split_inclusive(ends_word) {
        let end = word.chars().next_back().filter(|c| ends_word(*c));
        let bare = word.trim_end_matches(ends_word);
        if let Some((url, _)) = bare.split_once('?').filter(|(_, query)| query.contains('=')) {
            clean.push_str(strip_signature(url));
            clean.push_str("?[redacted]");
        } else {
            clean.push_str(strip_signature(bare));
        }
        clean.extend(end);
    }
    clip(&clean, MESSAGE_MAX).to_owned()
}

/// Takes what looks like an address's signature off: base64 behind a comma, in a word that is a path.
fn strip_signature(word: &str) -> &str {
    match word.rsplit_once(',') {
        Some((address, tail)) if address.contains('/') && tail.len() >= 16 && tail.bytes().all(is_base64) => address,
        _ => word,
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'+' | b'/' | b'=' | b'%' | b'.' | b':' | b')' | b'}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &str = "Vg3uSbaS2q9Nv1lnL0bcV8XPGj7zm-_4Yc8RZ4Q1abc";

    #[test]
    fn the_signature_stays_out() {
        assert_eq!(unsigned(&format!("s3://b/data/x,{SIGNATURE}")), "s3://b/data/x");
        assert_eq!(unsigned("s3://b/data/x"), "s3://b/data/x");
    }

    #[test]
    fn lakefs_texts_stay_as_they_are() {
        for text in [
            "cannot write to protected branch",
            "invalid address signature: invalid address",
            "operation error S3: CompleteMultipartUpload, https response error StatusCode: 404, RequestID: , HostID: , api error NoSuchUpload: The upload ID may be invalid?",
        ] {
            assert_eq!(message(text), text);
        }
        assert_eq!(message("first\nSchema:\n {}"), "first");
        assert_eq!(message(&"é".repeat(300)).len(), 300);
    }

    proptest! {
        #[test]
        fn no_signature_and_no_query_gets_through(before in "[a-z \"':]{0,20}", after in "([ \"'][a-z \"':]{0,20})?", address in "s3://[a-z/]{1,20}") {
            let text = format!("{before}{address},{SIGNATURE}{after} http://s3/{address}?X-Amz-Signature=abcdef0123&x=1{after}");
            let clean = message(&text);
            prop_assert!(!clean.contains(SIGNATURE) && !clean.contains("abcdef0123"), "{}", clean);
        }
    }
}
