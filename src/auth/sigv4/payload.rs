//! What a signature says of the body: `x-amz-content-sha256`. Pure.

use super::scope::Hex;
use crate::exchange::SignatureFault;

/// How a body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// By its hash, which is in the signature.
    Hashed(Hex),
    /// Not at all; or not, with a checksum behind it that lakeFS checks.
    Unsigned,
    /// Chunk by chunk, each signature made over the one before.
    Chunked,
}

impl Payload {
    /// Reads it.
    pub(super) fn read(text: &str) -> Result<Self, SignatureFault> {
        match text {
            "UNSIGNED-PAYLOAD" | "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::Chunked),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Err(SignatureFault::Unsupported(SIGNED_TRAILER)),
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                Err(SignatureFault::Unsupported(SIGV4A_CHUNKS))
            }
            _ => {
                let hex: Hex = text.as_bytes().try_into().map_err(|_| SignatureFault::BadPayloadHash)?;
                match hex.iter().all(u8::is_ascii_hexdigit) {
                    true => Ok(Self::Hashed(hex.map(|digit| digit.to_ascii_lowercase()))),
                    false => Err(SignatureFault::BadPayloadHash),
                }
            }
        }
    }
}

const SIGNED_TRAILER: &str = "lakeFS cannot read signed chunks with a signed trailer (STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER): \
     turn the client's checksum trailer off, or use https, over which it is not signed";
const SIGV4A_CHUNKS: &str = "lakeFS cannot read chunks signed for several regions (SigV4A): sign for one region";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_known_refused_by_name_or_refused() {
        let hash = "E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let lower = hash.to_ascii_lowercase();
        assert_eq!(
            Payload::read(hash),
            Ok(Payload::Hashed(lower.as_bytes().try_into().unwrap()))
        );
        assert_eq!(Payload::read("UNSIGNED-PAYLOAD"), Ok(Payload::Unsigned));
        assert_eq!(
            Payload::read("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            Ok(Payload::Unsigned)
        );
        assert_eq!(
            Payload::read("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            Ok(Payload::Chunked)
        );
        for unsupported in [
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        ] {
            assert!(matches!(
                Payload::read(unsupported),
                Err(SignatureFault::Unsupported(_))
            ));
        }
        for bad in [
            "",
            "unsigned-payload",
            "STREAMING-",
            hash.trim_start_matches('E'),
            &format!("{hash}0"),
            &hash.replace('E', "G"),
        ] {
            assert_eq!(Payload::read(bad), Err(SignatureFault::BadPayloadHash), "{bad}");
        }
    }
}
