//! The routes of the command socket by which uploads are ended.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::commands::{Commands, broken, shown};
use crate::record::Refusal;
use crate::uploads::{ReapError, Reaped};

/// What `/uploads/reap` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReapPage {
    /// What was done with each upload that was due, or would be.
    pub reaped: Vec<Reaped>,
}

impl Commands {
    /// Ends what is abandoned; with `dry_run` it only says what that is.
    pub(super) async fn reap(&self, query: &str) -> Result<Answer, Refusal> {
        let dry = match query {
            "" => false,
            "dry_run" => true,
            other => {
                let message = format!("`{other}` is not asked here");
                return Err(Refusal(StatusCode::BAD_REQUEST, message));
            }
        };
        let ledger = Arc::clone(&self.ledger);
        // Whoever asked may leave; what lakeFS has done is written down.
        let reaping = tokio::spawn(async move { ledger.reap_now(dry).await });
        let failed = |_| {
            let message = "the look failed; the log says how";
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, message.into())
        };
        let reaped = reaping.await.map_err(failed)?.map_err(|error| match error {
            ReapError::NoUser => Refusal(StatusCode::CONFLICT, error.to_string()),
            ReapError::Store(error) => broken(error),
        })?;
        let reaped = reaped.into_iter().map(|reaped| Reaped {
            upload: shown(reaped.upload),
            ..reaped
        });
        let page = ReapPage {
            reaped: reaped.collect(),
        };
        Ok(answer::json(StatusCode::OK, &page))
    }
}
