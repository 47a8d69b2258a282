//! What the gateway itself does with a presigned multipart upload at lakeFS: ends it, or finishes what a client has begun. Each call goes
//! as a [`Caller`], and needs the physical address with lakeFS's signature.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::refs::{at, segment};
use super::{Caller, Client, ClientError, RefsError};
use crate::config::types::Secret;

/// An upload, as lakeFS names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadName {
    /// Its repository.
    pub repository: String,
    /// Its branch.
    pub branch: String,
    /// The object's path.
    pub path: String,
    /// lakeFS's id of it.
    pub upload_id: String,
}

impl UploadName {
    fn s3_target(&self) -> String {
        let once = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let path: Vec<String> = self.path.split('/').map(once).collect();
        let (repository, branch, id) = (once(&self.repository), once(&self.branch), once(&self.upload_id));
        format!("/{repository}/{branch}/{}?uploadId={id}", path.join("/"))
    }

    fn target(&self) -> String {
        let path = utf8_percent_encode(&self.path, NON_ALPHANUMERIC);
        let (branch, id) = (segment(&self.branch), segment(&self.upload_id));
        format!(
            "{}/branches/{branch}/staging/pmpu/{id}?path={path}",
            at(&self.repository)
        )
    }
}

impl Client {
    /// Aborts an upload.
    ///
    /// # Errors
    /// When lakeFS does not. What it says of one that the object store does not have depends on the store: 204, or 500.
    pub async fn abort_upload(&self, caller: &Caller, name: &UploadName, address: &Secret) -> Result<(), RefsError> {
        let body = serde_json::json!({ "physical_address": address.expose() });
        self.change(caller, Method::DELETE, &name.target(), Some(&body)).await
    }

    /// Aborts an S3 multipart upload, by the S3 face of lakeFS.
    ///
    /// # Errors
    /// When lakeFS does not: 404 `NoSuchUpload` where it knows none of that id.
    pub async fn abort_s3_upload(&self, caller: &Caller, name: &UploadName) -> Result<(), RefsError> {
        let mut request = Request::builder()
            .method(Method::DELETE)
            .uri(name.s3_target())
            .body(Bytes::new())
            .map_err(ClientError::Invalid)?;
        *request.headers_mut() = caller.headers().await.map_err(RefsError::Identity)?;
        // With this header lakeFS takes a request for S3, whatever its Host; a bearer counts before any signature (pkg/gateway).
        let unread = HeaderValue::from_static("x");
        request.headers_mut().insert("x-amz-signature", unread);
        let answer = self.send(request, TIMEOUT).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED => {
                caller.refused();
                Err(RefsError::Unauthenticated)
            }
            status => Err(RefsError::Answered {
                status,
                message: code(answer.body()),
            }),
        }
    }
}

/// The code of an error of S3, as in `<Code>NoSuchUpload</Code>`.
fn code(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let code = body
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or_else(String::new, |(code, _)| code.chars().take(100).collect())
}

const TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_lakefs_as_they_are() {
        let name = UploadName {
            repository: "lake".into(),
            branch: "main".into(),
            path: "a b/ü&+.bin".into(),
            upload_id: "u/1+2".into(),
        };
        let expected =
            "/api/v1/repositories/lake/branches/main/staging/pmpu/u%252F1%252B2?path=a%20b%2F%C3%BC%26%2B%2Ebin";
        assert_eq!(name.target(), expected);
        assert_eq!(
            name.s3_target(),
            "/lake/main/a%20b/%C3%BC%26%2B%2Ebin?uploadId=u%2F1%2B2"
        );
        assert_eq!(code(b"<Error><Code>NoSuchUpload</Code></Error>"), "NoSuchUpload");
        assert_eq!(code(b"no"), "");
    }
}
