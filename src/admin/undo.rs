//! The routes of the command socket for `lakegate undo` and `lakegate approve`.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use super::answer::{self, Answer};
use super::commands::{Commands, PAGE, PAGE_MAX, decoded};
use crate::record::{Apply, Operator, Refusal};
use crate::store::{Approval, Undo};

/// How long an undo waits for the turn on its branch.
const TURN: Duration = Duration::from_secs(60);

/// What `/undo` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoPage {
    /// The newest that pass.
    pub records: Vec<Undo>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// What `/approvals` tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalPage {
    /// The newest first.
    pub approvals: Vec<Approval>,
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked {
    repository: Option<String>,
    branch: Option<String>,
    limit: Option<usize>,
    name: Option<String>,
    force: bool,
    dry_run: bool,
    deny: bool,
}

impl Asked {
    fn of(query: &str) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value);
            match name {
                "repository" => asked.repository = Some(value),
                "branch" => asked.branch = Some(value),
                "as" => asked.name = Some(value),
                "force" => asked.force = true,
                "dry_run" => asked.dry_run = true,
                "deny" => asked.deny = true,
                "limit" => {
                    let limit = value
                        .parse()
                        .map_err(|_| wrong(format!("limit `{value}` is not a number")))?;
                    asked.limit = Some(limit);
                }
                other => return Err(wrong(format!("`{other}` is not asked here"))),
            }
        }
        Ok(asked)
    }
}

impl Commands {
    /// Answers what begins with `/undo` or `/approvals`.
    pub(super) async fn undo(
        &self,
        method: &Method,
        segments: &[&str],
        query: &str,
        by: Operator,
    ) -> Result<Answer, Refusal> {
        let asked = Asked::of(query)?;
        let by = Operator {
            name: asked.name.clone(),
            ..by
        };
        match (method, segments) {
            (&Method::GET, ["undo"]) => self.undo_list(asked).await,
            (&Method::GET, ["undo", id]) => Ok(answer::json(StatusCode::OK, &self.record.show(uuid(id)?).await?)),
            (&Method::POST, ["undo", id, "apply"]) => self.apply(uuid(id)?, &asked, by).await,
            (&Method::GET, ["approvals"]) => {
                let approvals = self.record.approvals().await?;
                Ok(answer::json(StatusCode::OK, &ApprovalPage { approvals }))
            }
            (&Method::POST, ["approvals", id]) => {
                let decided = self.record.decide(uuid(id)?, !asked.deny, by).await?;
                Ok(answer::json(StatusCode::OK, &decided))
            }
            (_, ["undo", _, "apply"] | ["approvals", _]) => Ok(answer::not_allowed("POST")),
            (_, ["undo"] | ["undo", _] | ["approvals"]) => Ok(answer::not_allowed("GET")),
            _ => Ok(answer::not_found()),
        }
    }

    async fn undo_list(&self, asked: Asked) -> Result<Answer, Refusal> {
        let limit = asked.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let Asked { repository, branch, .. } = asked;
        let pass = move |undo: &Undo| {
            repository.as_ref().is_none_or(|name| *name == undo.repository)
                && branch.as_ref().is_none_or(|name| Some(name) == undo.branch.as_ref())
        };
        let mut records = self.record.records(limit + 1, pass).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        Ok(answer::json(StatusCode::OK, &UndoPage { records, more }))
    }

    async fn apply(&self, id: Uuid, asked: &Asked, by: Operator) -> Result<Answer, Refusal> {
        let undo = self.record.record(id).await?;
        let turn = match undo.branch.as_deref().filter(|_| !asked.dry_run) {
            Some(branch) => {
                let turn = timeout(TURN, self.limit.turn(&undo.repository, branch)).await;
                let busy = "others hold the branch's turn: try again";
                Some(turn.map_err(|_| Refusal(StatusCode::SERVICE_UNAVAILABLE, busy.into()))?)
            }
            None => None,
        };
        let how = Apply {
            force: asked.force,
            dry_run: asked.dry_run,
            by,
        };
        let record = Arc::clone(&self.record);
        // Whoever asked may leave; half an undo is worse than a whole one.
        let applying = tokio::spawn(async move {
            let _turn = turn;
            record.apply(id, how).await
        });
        let failed = |_| {
            Refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the undo failed; the log says how".into(),
            )
        };
        let applied = applying.await.map_err(failed)??;
        Ok(answer::json(StatusCode::OK, &applied))
    }
}

fn uuid(text: &str) -> Result<Uuid, Refusal> {
    Uuid::parse_str(text).map_err(|_| wrong(format!("`{text}` is no id: see the list")))
}

fn wrong(message: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message)
}
