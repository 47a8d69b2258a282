//! What the gateway asks lakeFS of branches and tags, and how it sets them: for undo. Each call goes as a [`Caller`].

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Caller, Client, ClientError};
use crate::lakefs::reply::UNAUTHENTICATED;

/// Why lakeFS did not say or do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RefsError {
    /// lakeFS does not know the credential.
    #[error("lakeFS does not take the credential")]
    Unauthenticated,
    /// lakeFS said no.
    #[error("lakeFS answered {status}: {message}")]
    Answered {
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// There was no answer, or none that can be read.
    #[error("{}", causes(.0))]
    Call(#[from] ClientError),
    /// The gateway has no bearer.
    #[error("the gateway cannot log in to lakeFS: {0}")]
    Identity(String),
}

impl RefsError {
    /// lakeFS's status, if it gave one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn causes(error: &ClientError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

/// A branch or a tag, and the commit it stands at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ref {
    /// Its name.
    pub id: String,
    /// The full id of its commit.
    pub commit_id: String,
}

impl Client {
    /// A branch; `None` where there is none of that name, or no such repository.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn branch(&self, caller: &Caller, repository: &str, branch: &str) -> Result<Option<Ref>, RefsError> {
        let path = format!("{}/branches/{}", at(repository), segment(branch));
        self.find(caller, &path).await
    }

    /// A tag; `None` where there is none of that name, or no such repository.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn tag(&self, caller: &Caller, repository: &str, tag: &str) -> Result<Option<Ref>, RefsError> {
        self.find(caller, &format!("{}/tags/{}", at(repository), segment(tag)))
            .await
    }

    /// The first branches of a repository, at most 1000; `None` where there is no such repository.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn branches(&self, caller: &Caller, repository: &str, most: u16) -> Result<Option<Vec<Ref>>, RefsError> {
        let path = format!("{}/branches?amount={most}", at(repository));
        let found: Option<Results<Ref>> = self.find(caller, &path).await?;
        Ok(found.map(|found| found.results))
    }

    /// Whether anything is staged on a branch and not committed.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn has_uncommitted(&self, caller: &Caller, repository: &str, branch: &str) -> Result<bool, RefsError> {
        let path = format!("{}/branches/{}/diff?amount=1", at(repository), segment(branch));
        let found: Option<Results<serde_json::Value>> = self.find(caller, &path).await?;
        Ok(found.is_some_and(|found| !found.results.is_empty()))
    }

    /// For how many days at most garbage collection leaves what no branch or tag holds; `None` where it has no rules.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn retention_days(&self, caller: &Caller, repository: &str) -> Result<Option<u32>, RefsError> {
        let path = format!("{}/settings/gc_rules", at(repository));
        let rules: Option<GcRules> = self.find(caller, &path).await?;
        let least = |rules: GcRules| {
            let own = rules.branches.iter().map(|rule| rule.retention_days);
            own.chain([rules.default_retention_days]).min()
        };
        Ok(rules.and_then(least))
    }

    /// Makes a tag on a commit.
    ///
    /// # Errors
    /// When lakeFS does not make it: 409 where there is one of that name.
    pub async fn create_tag(
        &self,
        caller: &Caller,
        repository: &str,
        tag: &str,
        commit: &str,
    ) -> Result<(), RefsError> {
        let body = serde_json::json!({ "id": tag, "ref": commit });
        self.change(caller, Method::POST, &format!("{}/tags", at(repository)), Some(&body))
            .await
    }

    /// Deletes a tag; one that is not there is no error.
    ///
    /// # Errors
    /// When lakeFS does not delete it.
    pub async fn delete_tag(&self, caller: &Caller, repository: &str, tag: &str) -> Result<(), RefsError> {
        let path = format!("{}/tags/{}", at(repository), segment(tag));
        match self.change(caller, Method::DELETE, &path, None).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(()),
            done => done,
        }
    }

    /// Makes a branch on a commit.
    ///
    /// # Errors
    /// When lakeFS does not make it: 409 where there is one of that name.
    pub async fn create_branch(
        &self,
        caller: &Caller,
        repository: &str,
        branch: &str,
        commit: &str,
    ) -> Result<(), RefsError> {
        let body = serde_json::json!({ "name": branch, "source": commit });
        self.change(
            caller,
            Method::POST,
            &format!("{}/branches", at(repository)),
            Some(&body),
        )
        .await
    }

    /// Moves a branch to a commit.
    ///
    /// # Errors
    /// When lakeFS does not move it.
    pub async fn hard_reset(
        &self,
        caller: &Caller,
        repository: &str,
        branch: &str,
        commit: &str,
    ) -> Result<(), RefsError> {
        let (repository, branch, commit) = (at(repository), segment(branch), segment(commit));
        let path = format!("{repository}/branches/{branch}/hard_reset?ref={commit}");
        self.change(caller, Method::PUT, &path, None).await
    }

    async fn find<T: DeserializeOwned>(&self, caller: &Caller, path: &str) -> Result<Option<T>, RefsError> {
        let answer = self.call(caller, Method::GET, path, None, READ_TIMEOUT).await?;
        match answer.status() {
            StatusCode::OK => serde_json::from_slice(answer.body())
                .map(Some)
                .map_err(|error| ClientError::Malformed(error).into()),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(said(caller, &answer)),
        }
    }

    pub(super) async fn change(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<(), RefsError> {
        let answer = self.call(caller, method, path, body, CHANGE_TIMEOUT).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(said(caller, &answer)),
        }
    }

    pub(super) async fn call(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        limit: Duration,
    ) -> Result<Response<Bytes>, RefsError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())
            .map_err(ClientError::Invalid)?;
        *request.headers_mut() = caller.headers().await.map_err(RefsError::Identity)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json.clone());
        if body.is_some() {
            request.headers_mut().insert(header::CONTENT_TYPE, json);
        }
        Ok(self.send(request, limit).await?)
    }
}

pub(super) fn said(caller: &Caller, answer: &Response<Bytes>) -> RefsError {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = serde_json::from_slice(answer.body()).map_or_else(|_| String::new(), |said: Message| said.message);
    // Its other 401s are for want of permission.
    if answer.status() == StatusCode::UNAUTHORIZED && (message == UNAUTHENTICATED || message.is_empty()) {
        caller.refused();
        return RefsError::Unauthenticated;
    }
    RefsError::Answered {
        status: answer.status(),
        message: message.chars().take(500).collect(),
    }
}

#[derive(Deserialize)]
pub(super) struct Results<T> {
    pub(super) results: Vec<T>,
}

#[derive(Deserialize)]
struct GcRules {
    default_retention_days: u32,
    #[serde(default)]
    branches: Vec<GcRule>,
}

#[derive(Deserialize)]
struct GcRule {
    retention_days: u32,
}

pub(super) fn at(repository: &str) -> String {
    format!("/api/v1/repositories/{}", segment(repository))
}

/// A name as a segment of a path that lakeFS decodes twice. Repositories and branches need none of it; tags may.
pub(super) fn segment(name: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let once = utf8_percent_encode(name, PLAIN).to_string();
    utf8_percent_encode(&once, PLAIN).to_string()
}

pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(10);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_reach_lakefs_as_they_are() {
        for (name, written) in [
            ("main", "main"),
            ("feature-1_x", "feature-1_x"),
            ("v1.0~rc", "v1.0~rc"),
            ("50%", "50%2525"),
            ("a+b", "a%252Bb"),
            ("é", "%25C3%25A9"),
        ] {
            assert_eq!(segment(name), written);
            let decode = |text: &str| {
                percent_encoding::percent_decode_str(text)
                    .decode_utf8()
                    .unwrap()
                    .into_owned()
            };
            assert_eq!(decode(&decode(written)), name);
        }
    }
}
