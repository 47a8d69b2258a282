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

/// The answer of createPresignMultipartUpload, without its URLs: they are secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// The upload's id.
    pub upload_id: Option<String>,
    /// Where the object's bytes go, signed by lakeFS.
    pub physical_address: Option<String>,
    /// How many URLs it has.
    pub urls: usize,
}

/// The object that a complete answers with (`ObjectStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completed {
    /// Its address, relative to the repository's storage namespace.
    pub physical_address: Option<String>,
    /// Its checksum (an ETag).
    pub checksum: Option<String>,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// When it was written, in Unix seconds.
    pub mtime: Option<i64>,
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

/// Reads the answer of a create. It may be cut off: what came before the cut is known.
pub fn created(answer: &[u8]) -> Created {
    let mut read = Created::default();
    let _ = json::fields(
        answer,
        &["upload_id", "physical_address", "presigned_urls"],
        |place, value| match place {
            0 => read.upload_id = parse(value),
            1 => read.physical_address = parse(value),
            _ => read.urls = json::length(value).unwrap_or(0),
        },
    );
    read
}

/// Reads the answer of a complete.
pub fn completed(answer: &[u8]) -> Completed {
    let mut read = Completed::default();
    let _ = json::fields(
        answer,
        &["physical_address", "checksum", "size_bytes", "mtime"],
        |place, value| match place {
            0 => read.physical_address = parse(value),
            1 => read.checksum = parse(value),
            2 => read.size_bytes = parse(value),
            _ => read.mtime = parse(value),
        },
    );
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

    #[test]
    fn answers_give_what_the_ledger_keeps() {
        let answer = br#"{"physical_address":"s3://lake/r/data/a,SIG","presigned_urls":["https://h/?a=1\u0026b","x"],"upload_id":"u1"}"#;
        let whole = created(answer);
        assert_eq!(
            whole,
            Created {
                upload_id: text("u1"),
                physical_address: text("s3://lake/r/data/a,SIG"),
                urls: 2
            }
        );
        let cut = created(&answer[..60]);
        assert_eq!(
            (cut.upload_id, cut.physical_address),
            (None, text("s3://lake/r/data/a,SIG"))
        );
        let stats =
            completed(br#"{"checksum":"c-2","mtime":1700000000,"physical_address":"data/a","size_bytes":5242890}"#);
        assert_eq!(
            (stats.size_bytes, stats.mtime, stats.checksum),
            (Some(5_242_890), Some(1_700_000_000), text("c-2"))
        );
    }
}
