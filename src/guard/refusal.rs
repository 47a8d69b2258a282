//! One rule's no: what was refused, why, and what can be done, in words for the client.

use std::fmt;
use std::time::Duration;

use http::Method;

use super::decide::{Asked, Cause};
use super::rule::Rule;
use crate::config::Effect;
use crate::lakefs::{Danger, Force, ObjectPath, Operation, Place};

/// One rule's no, or what it asks for first.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The rule; without one it is `guard.default`.
    pub rule: Option<&'a Rule>,
    /// What of the request it speaks of.
    pub cause: Cause,
    /// Where.
    pub place: Place<'a>,
    forced: bool,
    method: &'a Method,
    until: Option<jiff::Timestamp>,
    now: jiff::Timestamp,
    number: usize,
}

impl<'a> Refusal<'a> {
    pub(super) fn by(number: usize, rule: &'a Rule, cause: Cause, place: Place<'a>, asked: &Asked<'a>) -> Self {
        Self {
            rule: Some(rule),
            cause,
            place,
            forced: asked.classified.force != Force::No,
            method: asked.method,
            until: (rule.effect() == Effect::Freeze).then(|| rule.end(asked.now)).flatten(),
            now: asked.now,
            number,
        }
    }

    /// Nothing grants it.
    pub(super) fn by_default(place: Place<'a>, asked: &Asked<'a>) -> Self {
        Self {
            rule: None,
            cause: Cause::Operation(asked.classified.operation),
            place,
            forced: false,
            method: asked.method,
            until: None,
            now: asked.now,
            number: usize::MAX,
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Whether it will pass.
    pub(super) fn is_for_now(&self) -> bool {
        self.rule.is_some_and(|rule| rule.effect() == Effect::Freeze)
    }

    /// The rule's name, or the key of the configuration that stands for one.
    pub fn by_name(&self) -> &'a str {
        self.rule.map_or("guard.default", Rule::name)
    }

    /// What of the request it speaks of, by name: a danger or an operation.
    pub fn member(&self) -> &'static str {
        match self.cause {
            Cause::Danger(danger) => danger.name(),
            Cause::Operation(operation) => operation.spec().id,
        }
    }

    /// How long it will stand, for what is refused only for now.
    pub fn retry_after(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(86_400);
        let left = self.until.map(|until| until.duration_since(self.now));
        left.and_then(|left| Duration::try_from(left).ok())
            .map_or(LONGEST, |left| left.min(LONGEST))
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = What(self);
        let Some(rule) = self.rule else {
            return write!(
                f,
                "{what} is granted to you by no role and no rule: ask whoever owns the gateway's rules"
            );
        };
        let name = rule.name();
        match (rule.effect(), self.until) {
            (Effect::Freeze, Some(until)) => {
                write!(f, "{what} is frozen by rule `{name}` until {until:.0}: try again then")
            }
            (Effect::Freeze, None) => write!(f, "{what} is frozen by rule `{name}`: try again later"),
            (Effect::RequireConfirmation, _) => write!(f, "{what} needs a confirmation by rule `{name}`"),
            (Effect::RequireApproval, _) => write!(f, "{what} needs a second person's approval by rule `{name}`"),
            (Effect::Deny | Effect::Allow, _) => {
                write!(f, "{what} is refused by rule `{name}`: ")?;
                if let Some(instead) = self.instead() {
                    write!(f, "{instead}, or ")?;
                }
                f.write_str(match rule.is_theirs() {
                    false => "ask whoever owns the gateway's rules",
                    true => "ask whoever sets the repository's branch protection rules in lakeFS",
                })
            }
        }
    }
}

impl Refusal<'_> {
    /// What the client can do instead.
    fn instead(&self) -> Option<&'static str> {
        let Cause::Danger(danger) = self.cause else { return None };
        Some(match danger {
            Danger::HardReset => "revert the commits instead",
            Danger::DeleteBranch => "delete a branch of your own",
            Danger::ResetBranch => "commit what is staged, or delete your own objects one by one",
            Danger::Revert | Danger::CherryPick => "do it on a branch of your own and merge that",
            Danger::Import => "import into a branch of your own and merge that",
            Danger::MergeSourceWins => "merge without `source-wins`, and resolve conflicts on the source branch",
            Danger::RestoreRefs => "restore into a new bare repository",
            Danger::DeleteTag => "make a new tag",
            Danger::DeleteObjects => "delete them on a branch of your own and merge that",
            Danger::CommitMetarange => "commit what is staged",
            Danger::Force => "leave `force` out",
            Danger::UnknownMutation => "use an operation of lakeFS's documented API",
            Danger::DeleteRepository
            | Danger::ProtectionRules
            | Danger::Actions
            | Danger::DeleteUser
            | Danger::Lifecycle => return None,
        })
    }
}

/// What was asked, as the subject of a sentence.
struct What<'a>(&'a Refusal<'a>);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(refusal) = self;
        let Place {
            repository,
            branch,
            tag,
            path,
        } = refusal.place;
        let repository = repository.unwrap_or("(unnamed)");
        let branch = branch.or(tag).unwrap_or("(unnamed)");
        let danger = match refusal.cause {
            Cause::Danger(danger) => danger,
            Cause::Operation(operation) => return operation_on(f, operation, refusal.place),
        };
        match danger {
            Danger::HardReset if refusal.forced => write!(f, "hard reset with force of protected branch `{branch}`"),
            Danger::HardReset => write!(f, "hard reset of protected branch `{branch}`"),
            Danger::DeleteBranch => write!(f, "deletion of protected branch `{branch}`"),
            Danger::ResetBranch => write!(f, "reset of what is staged on protected branch `{branch}`"),
            Danger::Revert => write!(f, "a revert on protected branch `{branch}`"),
            Danger::CherryPick => write!(f, "a cherry-pick onto protected branch `{branch}`"),
            Danger::Import => write!(f, "an import into protected branch `{branch}`"),
            Danger::MergeSourceWins => write!(f, "a merge into protected branch `{branch}` whose source wins"),
            Danger::RestoreRefs => write!(f, "a restore of the refs of repository `{repository}`"),
            Danger::DeleteRepository => write!(f, "deletion of repository `{repository}`"),
            Danger::DeleteTag => write!(f, "deletion of protected tag `{branch}`"),
            Danger::ProtectionRules => write!(f, "a change of lakeFS's protection rules of repository `{repository}`"),
            Danger::DeleteObjects => match path {
                ObjectPath::Object(path) => write!(f, "deletion of `{path}` on protected branch `{branch}`"),
                _ => write!(f, "deletion of objects on protected branch `{branch}`"),
            },
            Danger::CommitMetarange => write!(f, "a commit of a given metarange to protected branch `{branch}`"),
            Danger::Actions => write!(
                f,
                "a change below `_lakefs_actions/`, whose hooks reach every branch of repository `{repository}`,"
            ),
            Danger::DeleteUser => {
                f.write_str("deletion of a user who is, or may be, lakeFS's only one or the gateway's own")
            }
            Danger::Force => write!(f, "`force`, on `{branch}` of repository `{repository}`,"),
            Danger::Lifecycle => write!(f, "a change of the lifecycle rules of repository `{repository}`"),
            Danger::UnknownMutation => write!(
                f,
                "{} of an operation that the gateway does not know, in repository `{repository}`,",
                refusal.method
            ),
        }
    }
}

fn operation_on(f: &mut fmt::Formatter<'_>, operation: Operation, place: Place<'_>) -> fmt::Result {
    write!(f, "`{}`", operation.spec().id)?;
    let object = match place.path {
        ObjectPath::Object(path) => Some(path),
        ObjectPath::None | ObjectPath::Any | ObjectPath::Below(_) => None,
    };
    for (what, name) in [
        ("of", object),
        ("on branch", place.branch),
        ("of tag", place.tag),
        ("in repository", place.repository),
    ] {
        if let Some(name) = name {
            write!(f, " {what} `{name}`")?;
        }
    }
    Ok(())
}
