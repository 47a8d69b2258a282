//! What a signature's key is for, and the key itself: derived from the secret for a day, a region and the service
//! (AWS "Create a signed AWS API request", step 4). Pure.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::time::Stamp;

/// The only service there is here.
pub(super) const SERVICE: &str = "s3";
/// What every scope ends with.
pub(super) const TERMINATOR: &str = "aws4_request";

/// The SHA-256 of nothing.
pub(super) const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A signature, or a hash: 64 hexadecimal digits.
pub(super) type Hex = [u8; 64];

/// Day, region and service of a signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    /// `YYYYMMDD`.
    pub(super) day: String,
    /// The region, which is the client's to choose: lakeFS has none.
    pub(super) region: String,
    /// The service.
    pub(super) service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}

impl Scope {
    /// The signing key that a secret has in this scope.
    pub(super) fn key(&self, secret: &str) -> SigningKey {
        let first = Zeroizing::new(format!("AWS4{secret}"));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
        for part in [&*self.day, &self.region, &self.service, TERMINATOR] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        SigningKey(key)
    }

    /// What is signed of a request (step 3).
    pub(super) fn string_to_sign(&self, time: &Stamp, canonical: &[u8]) -> String {
        let hash = text(&sha256(canonical)).to_owned();
        format!("AWS4-HMAC-SHA256\n{}\n{self}\n{hash}", time.text())
    }
}

/// A key that signs, of one scope.
#[derive(Clone)]
pub(super) struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SigningKey {
    /// The signature of a text.
    pub(super) fn sign(&self, text: &str) -> Hex {
        hex(hmac::sign(&self.0, text.as_bytes()).as_ref())
    }
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> Hex {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// 32 bytes as hexadecimal digits, lower-case.
pub(super) fn hex(bytes: &[u8]) -> Hex {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    let mut hex = [b'0'; 64];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    hex
}

/// Hexadecimal digits as text.
pub(super) fn text(hex: &Hex) -> &str {
    str::from_utf8(hex).unwrap_or_default()
}

/// Whether two are the same, in a time that does not depend on where they differ.
pub(super) fn same(one: &Hex, other: &Hex) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation of the signing key.
    #[test]
    fn the_key_is_the_one_that_aws_derives() {
        let scope = Scope {
            day: "20150830".into(),
            region: "us-east-1".into(),
            service: "iam".into(),
        };
        let key = scope.key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let to_sign = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n\
                       f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let signature = key.sign(to_sign);
        assert_eq!(
            text(&signature),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert_eq!(format!("{key:?}"), "[redacted]");
        assert_eq!(text(&sha256(b"")), EMPTY_SHA256);
    }
}
