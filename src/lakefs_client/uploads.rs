//! What the gateway itself does with a presigned multipart upload at lakeFS: ends it, or finishes what a client has begun. Each call goes
//! as a [`Caller`], and needs the physical address with lakeFS's signature.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::refs::{at, segment};
use super::{Caller, Client, RefsError};
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
}

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
    }
}
