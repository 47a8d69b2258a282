//! What guard asks lakeFS before it decides: a repository's branch protection rules, and who is a user. Each call goes as a [`Caller`].

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::refs::{READ_TIMEOUT, RefsError, Results, at, said};
use super::{Caller, Client, ClientError, User};

/// How lakeFS words a path that it does not have (pkg/api/errors.go), and a repository that is not there. A 404 in other words is
/// somebody else's.
const NO_SUCH_CALL: &str = "invalid API endpoint";
const NO_SUCH_REPOSITORY: &str = "repository not found";

impl Client {
    /// The patterns of a repository's branch protection rules, as they are now: lakeFS reads them past the cache by which it checks its own
    /// (pkg/graveler/settings/manager.go: `GetLatest`). `None` where there is no such repository.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn protection_rules(&self, caller: &Caller, repository: &str) -> Result<Option<Vec<String>>, RefsError> {
        let now = format!("{}/settings/branch_protection", at(repository));
        let rules = match self.get::<Vec<Pattern>>(caller, &now).await {
            // Where older servers have them.
            Err(RefsError::Answered { status, message })
                if status == StatusCode::NOT_FOUND && message == NO_SUCH_CALL =>
            {
                let older = format!("{}/branch_protection", at(repository));
                self.get(caller, &older).await
            }
            rules => rules,
        };
        match rules {
            Ok(rules) => Ok(Some(rules.into_iter().map(|rule| rule.pattern).collect())),
            Err(RefsError::Answered { status, message })
                if status == StatusCode::NOT_FOUND && message.starts_with(NO_SUCH_REPOSITORY) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Who a caller is; `None` where lakeFS takes its credential for none.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn caller(&self, caller: &Caller) -> Result<Option<User>, RefsError> {
        let headers: HeaderMap = caller.headers().await.map_err(RefsError::Identity)?;
        match self.current_user(headers).await {
            Err(ClientError::Refused) => {
                caller.refused();
                Err(RefsError::Unauthenticated)
            }
            user => Ok(user?),
        }
    }

    /// The first users of lakeFS, by name.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn users(&self, caller: &Caller, most: u16) -> Result<Vec<String>, RefsError> {
        let found: Results<Id> = self.get(caller, &format!("/api/v1/auth/users?amount={most}")).await?;
        Ok(found.results.into_iter().map(|user| user.id).collect())
    }

    /// The repositories that a query (with its `?`, or empty) asks for, as lakeFS lists them.
    ///
    /// # Errors
    /// When lakeFS does not say.
    pub async fn repositories(&self, caller: &Caller, query: &str) -> Result<bytes::Bytes, RefsError> {
        let path = format!("/api/v1/repositories{query}");
        let answer = self.call(caller, Method::GET, &path, None, READ_TIMEOUT).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            _ => Err(said(caller, &answer)),
        }
    }

    async fn get<T: DeserializeOwned>(&self, caller: &Caller, path: &str) -> Result<T, RefsError> {
        let answer = self.call(caller, Method::GET, path, None, READ_TIMEOUT).await?;
        match answer.status() {
            StatusCode::OK => {
                serde_json::from_slice(answer.body()).map_err(|error| ClientError::Malformed(error).into())
            }
            _ => Err(said(caller, &answer)),
        }
    }
}

#[derive(Deserialize)]
struct Pattern {
    pattern: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}
