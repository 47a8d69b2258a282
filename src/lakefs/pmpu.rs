//! The bodies of presigned multipart uploads, read for the ledger: tolerant, and never more than what the ledger keeps. Pure.
//!
//! Requests are read as lakeFS binds them (the last of several fields wins, in any case); a field that is missing or of another type is
//! absent, and lakeFS answers 400 for it.

use serde_json::value::RawValue;

use super::json;

/// The body of completePresignMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompleteBody {
    /// Where the object's bytes are, signed by lakeFS.
    pub physical_address: Option<String>,
    /// How many parts it lists.
    pub parts: usize,
    /// The object's media type.
    pub content_type: Option<String>,
}

/// What a copied part is taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopySource {
    /// The repository.
    pub repository: Option<String>,
    /// Branch, tag or commit.
    pub reference: Option<String>,
    /// The object.
    pub path: Option<String>,
    /// The bytes of it, as in a `Range` header.
    pub range: Option<String>,
}

/// Reads the body of a complete.
pub fn complete(body: &[u8]) -> CompleteBody {
    let mut read = CompleteBody::default();
    let _ = json::fields(
        body,
        &["physical_address", "parts", "content_type"],
        |place, value| match place {
            0 => read.physical_address = parse(value),
            1 => read.parts = json::length(value).unwrap_or(0),
            _ => read.content_type = parse(value),
        },
    );
    read
}

/// The `physical_address` of an abort, an uploadPart, or any other body that has one at its top.
pub fn physical_address(body: &[u8]) -> Option<String> {
    let mut read = None;
    let _ = json::fields(body, &["physical_address"], |_, value| read = parse(value));
    read
}

/// The `copy_source` of an uploadPartCopy.
pub fn copy_source(body: &[u8]) -> Option<CopySource> {
    let mut read = None;
    let _ = json::fields(body, &["copy_source"], |_, value| {
        let mut source = CopySource::default();
        let object = json::fields(
            value.get().as_bytes(),
            &["repository", "ref", "path", "range"],
            |place, value| match place {
                0 => source.repository = parse(value),
                1 => source.reference = parse(value),
                2 => source.path = parse(value),
                _ => source.range = parse(value),
            },
        );
        read = object.is_ok().then_some(source);
    });
    read
}

fn parse<T: serde::de::DeserializeOwned>(value: &RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn requests_are_read_as_lakefs_binds_them() {
        let body = r#"{"physical_address":"s3://x","PARTS":[{"part_number":1,"etag":"e"},{"part_number":2}],"physical_addreſs":"s3://y","content_type":7}"#;
        assert_eq!(
            complete(body.as_bytes()),
            CompleteBody {
                physical_address: text("s3://y"),
                parts: 2,
                content_type: None
            }
        );
        assert_eq!(
            physical_address(b"{\"physical_address\":\"s3:\\/\\/z\"}"),
            text("s3://z")
        );
        assert_eq!(physical_address(b""), None);
        assert_eq!(complete(b"[1,2"), CompleteBody::default());
        let source =
            copy_source(br#"{"copy_source":{"repository":"r","ref":"main","path":"p","range":"bytes=0-1"}}"#).unwrap();
        assert_eq!((source.reference, source.range), (text("main"), text("bytes=0-1")));
        assert_eq!(copy_source(br#"{"copy_source":"x"}"#), None);
    }
}
