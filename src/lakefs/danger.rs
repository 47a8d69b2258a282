//! What can hurt a branch: the table from operation to dangers, and what each of them endangers. Pure; guard refuses by it, record writes
//! down what is about to be lost by it.
//!
//! The damage counts and not the URL: a branch that is deleted and made anew is a hard reset by another name. One more danger is a
//! variant, its name, and a row in [`Dangers::of`].

use http::Method;

use super::{Classified, Force, Operation, Role, Target, rest};

/// Where lakeFS finds its hooks (pkg/catalog/actions_source.go). A Lua hook there can change any branch of its repository from inside.
const ACTIONS: &str = "_lakefs_actions/";

macro_rules! dangers {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One way to hurt a branch.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Deserialize, serde::Serialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        #[repr(u8)]
        pub enum Danger { $($(#[$doc])* $name),* }

        impl Danger {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in rules and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

dangers! {
    /// Moves a branch to any commit; what only the branch held is lost.
    HardReset = "hard_reset";
    /// Deletes a branch; it can then be made anew from any commit.
    DeleteBranch = "delete_branch";
    /// Drops what is staged on a branch and not committed.
    ResetBranch = "reset_branch";
    /// Undoes a commit by a new one. lakeFS's own protection rules let it pass.
    Revert = "revert";
    /// Puts another branch's commit on top. lakeFS's own protection rules let it pass.
    CherryPick = "cherry_pick";
    /// Commits objects from outside onto a branch. lakeFS's own protection rules let it pass.
    Import = "import";
    /// A merge whose source wins all conflicts.
    MergeSourceWins = "merge_source_wins";
    /// Sets all refs of a repository from a dump.
    RestoreRefs = "restore_refs";
    /// Deletes a repository with all its branches.
    DeleteRepository = "delete_repository";
    /// Deletes a tag; it can then be made anew on another commit, which is how a tag moves.
    DeleteTag = "delete_tag";
    /// Changes or removes lakeFS's own branch protection rules.
    ProtectionRules = "protection_rules";
    /// Deletes objects of a branch, through the API or the S3 gateway.
    DeleteObjects = "delete_objects";
    /// A commit that takes its whole content from a given metarange.
    CommitMetarange = "commit_metarange";
    /// Writes a hook: it can change any branch of the repository from inside lakeFS.
    Actions = "actions";
    /// Deletes a user: open-source lakeFS has one, and is locked for good without.
    DeleteUser = "delete_user";
    /// `force` on any operation: it overrides a read-only repository.
    Force = "force";
    /// Sets rules by which lakeFS itself deletes branches or objects later (lakeFS Enterprise).
    Lifecycle = "lifecycle";
    /// A change that the gateway has no name for: it may do anything in its repository.
    UnknownMutation = "unknown_mutation";
}

/// A set of dangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dangers(u32);

impl Dangers {
    /// None.
    pub const NONE: Self = Self(0);
    /// All there are.
    pub const ALL: Self = Self((1 << Danger::ALL.len()) - 1);

    /// The set with one more.
    #[must_use]
    pub const fn with(self, danger: Danger) -> Self {
        Self(self.0 | 1 << danger as u8)
    }

    /// The set without one.
    #[must_use]
    pub const fn without(self, danger: Danger) -> Self {
        Self(self.0 & !(1 << danger as u8))
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it has this one.
    pub const fn has(self, danger: Danger) -> bool {
        self.0 & (1 << danger as u8) != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Them, the gravest first.
    pub fn iter(self) -> impl Iterator<Item = Danger> {
        Danger::ALL.iter().copied().filter(move |danger| self.has(*danger))
    }

    /// The table: what a request can do. Of what the gateway does not know, only the method tells whether it changes anything.
    pub fn of(classified: &Classified, method: &Method) -> Self {
        let mut dangers = Self::by_operation(classified.operation, method);
        // What the body decides is judged by now; if not, it may be so.
        if classified.force != Force::No {
            dangers = dangers.with(Danger::Force);
        }
        if classified.source_wins {
            dangers = dangers.with(Danger::MergeSourceWins);
        }
        if classified.source_metarange.is_some() {
            dangers = dangers.with(Danger::CommitMetarange);
        }
        if classified.operation.spec().mutates
            && classified
                .targets
                .iter()
                .any(|target| writes_a_hook(classified, target))
        {
            dangers = dangers.with(Danger::Actions);
        }
        dangers
    }

    fn by_operation(operation: Operation, method: &Method) -> Self {
        use Operation as O;
        let danger = match operation {
            O::HardResetBranch => Danger::HardReset,
            O::DeleteBranch => Danger::DeleteBranch,
            // The second, of old servers, gives the branch an empty staging area.
            O::ResetBranch | O::UpdateBranchToken => Danger::ResetBranch,
            O::RevertBranch => Danger::Revert,
            O::CherryPick => Danger::CherryPick,
            O::ImportStart => Danger::Import,
            O::RestoreRefs | O::RestoreSubmit => Danger::RestoreRefs,
            O::DeleteRepository => Danger::DeleteRepository,
            O::DeleteTag => Danger::DeleteTag,
            O::SetBranchProtectionRules
            | O::InternalCreateBranchProtectionRule
            | O::InternalDeleteBranchProtectionRule => Danger::ProtectionRules,
            O::DeleteObject | O::DeleteObjects | O::S3DeleteObject | O::S3DeleteObjects => Danger::DeleteObjects,
            // Drops a table, a view or a namespace.
            O::Iceberg if *method == Method::DELETE => Danger::DeleteObjects,
            O::DeleteUser => Danger::DeleteUser,
            O::SetBranchLifecyclePolicies
            | O::DeleteBranchLifecyclePolicies
            | O::SetObjectLifecycleRules
            | O::DeleteObjectLifecycleRules => Danger::Lifecycle,
            O::UnknownApi | O::S3Unknown if changes(method) => Danger::UnknownMutation,
            _ => return Self::NONE,
        };
        Self::NONE.with(danger)
    }
}

impl Danger {
    /// What of lakeFS it endangers in this request.
    pub fn places(self, classified: &Classified) -> impl Iterator<Item = Place<'_>> {
        let counts = move |target: &&Target| match self {
            Self::UnknownMutation => true,
            Self::Actions => target.role == Role::Subject && writes_a_hook(classified, target),
            _ => target.role == Role::Subject,
        };
        let named = classified.targets.iter().filter(counts);
        // What names nothing could hit anything; an unknown call that names no repository is about none.
        let anywhere = (self != Self::UnknownMutation && named.clone().next().is_none()).then_some(Place::default());
        named.map(move |target| self.place(classified, target)).chain(anywhere)
    }

    fn place<'a>(self, classified: &Classified, target: &'a Target) -> Place<'a> {
        let reference = target.reference.as_deref();
        let (branch, tag) = match self {
            // What is done to a repository is done to all its branches; a hook reaches them all.
            Self::UnknownMutation
            | Self::Actions
            | Self::RestoreRefs
            | Self::DeleteRepository
            | Self::ProtectionRules
            | Self::Lifecycle
            | Self::DeleteUser => (None, None),
            _ if names_a_tag(classified.operation) => (None, reference),
            _ => (reference, None),
        };
        Place {
            repository: Some(&target.repository),
            branch,
            tag,
            path: ObjectPath::of(classified.operation, target),
        }
    }
}

/// Whether the reference that an operation is about is a tag.
pub(super) fn names_a_tag(operation: Operation) -> bool {
    matches!(operation, Operation::DeleteTag | Operation::CreateTag)
}

/// A place in lakeFS: where it names no repository, it may be any; where it names neither branch nor tag, any branch of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The repository.
    pub repository: Option<&'a str>,
    /// The branch.
    pub branch: Option<&'a str>,
    /// The tag, where it is about one and not about a branch.
    pub tag: Option<&'a str>,
    /// The object, where it is about one.
    pub path: ObjectPath<'a>,
}

impl<'a> Place<'a> {
    /// Where a target is, as any operation sees it: a read's reference counts as the branch or tag that it begins with (`main~2` is
    /// `main`).
    pub fn of(operation: Operation, target: &'a Target) -> Self {
        let reference = target.reference.as_deref();
        let named = match target.role {
            Role::Subject if operation.spec().mutates => reference,
            _ => reference.map(base),
        };
        let (branch, tag) = if names_a_tag(operation) && target.role == Role::Subject {
            (None, named)
        } else {
            (named, None)
        };
        Self {
            repository: Some(&target.repository),
            branch,
            tag,
            path: ObjectPath::of(operation, target),
        }
    }
}

/// What a reference begins with, without lakeFS's modifiers (pkg/graveler/ref: `~n`, `^n`, `@`, `$`).
fn base(reference: &str) -> &str {
    reference.split(['~', '^', '@', '$']).next().unwrap_or_default()
}

/// Which objects a target is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ObjectPath<'a> {
    /// None: it is about a branch, a repository, or less.
    #[default]
    None,
    /// It could be any.
    Any,
    /// This one.
    Object(&'a str),
    /// All whose names begin so.
    Below(&'a str),
}

impl<'a> ObjectPath<'a> {
    fn of(operation: Operation, target: &'a Target) -> Self {
        use Operation as O;
        let path = target.path.as_deref();
        match operation {
            O::ListObjects | O::DiffBranch | O::DiffRefs | O::S3ListObjects => Self::Below(path.unwrap_or_default()),
            O::ImportStart => path.map_or(Self::Any, Self::Below),
            O::UnknownApi | O::S3Unknown | O::DeleteObjects | O::S3DeleteObjects | O::S3ListMultipartUploads => {
                path.map_or(Self::Any, Self::Object)
            }
            _ if rest::path_parameter(operation).is_some() => path.map_or(Self::Any, Self::Object),
            _ => path.map_or(Self::None, Self::Object),
        }
    }
}

/// Whether a mutation of this target can leave a hook behind. An import of a whole prefix can carry one wherever its destination is a
/// beginning of lakeFS's folder for them.
fn writes_a_hook(classified: &Classified, target: &Target) -> bool {
    if target.role != Role::Subject {
        return false;
    }
    match &target.path {
        Some(path) => {
            path.starts_with(ACTIONS)
                || (classified.operation == Operation::ImportStart && ACTIONS.starts_with(&**path))
        }
        // Its body could not be read.
        None => matches!(classified.operation, Operation::ImportStart),
    }
}

/// Whether a request with this method can change anything in lakeFS, whose reads are GET and HEAD without exception.
fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefs::classify;

    /// What `method target` with `body` is, as far as the table goes: its dangers and where they are.
    fn said(method: &str, target: &str, body: &str) -> String {
        let (head, ()) = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1/repositories/r{target}"))
            .body(())
            .unwrap()
            .into_parts();
        let mut classified = classify(&head, &[]).unwrap();
        classified.read_body(body.as_bytes());
        let dangers = Dangers::of(&classified, &head.method);
        let place = |place: Place<'_>| format!("{}/{}", place.branch.unwrap_or("*"), place.tag.unwrap_or("-"));
        dangers
            .iter()
            .map(|danger| {
                let places: Vec<_> = danger.places(&classified).map(place).collect();
                format!("{}@{}", danger.name(), places.join(","))
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_request_has_every_danger_that_it_has() {
        for (method, target, body, dangers) in [
            ("PUT", "/branches/b/hard_reset?ref=x", "", "hard_reset@b/-"),
            (
                "PUT",
                "/branches/b/hard_reset?ref=x&force=1",
                "",
                "hard_reset@b/- force@b/-",
            ),
            ("POST", "/branches/b/commits", r#"{"message":"m"}"#, ""),
            (
                "POST",
                "/branches/b/commits?source_metarange=m",
                r#"{"message":"m"}"#,
                "commit_metarange@b/-",
            ),
            (
                "POST",
                "/branches/b/commits/async?source_metarange=m",
                r#"{"message":"m"}"#,
                "commit_metarange@b/-",
            ),
            ("POST", "/refs/dev/merge/b", r#"{}"#, ""),
            (
                "POST",
                "/refs/dev/merge/b",
                r#"{"strategy":"source-wins"}"#,
                "merge_source_wins@b/-",
            ),
            (
                "POST",
                "/branches",
                r#"{"name":"n","source":"b","force":true}"#,
                "force@n/-",
            ),
            ("DELETE", "/tags/v1", "", "delete_tag@*/v1"),
            ("POST", "/tags", r#"{"id":"v1","ref":"b","force":true}"#, "force@*/v1"),
            ("DELETE", "", "", "delete_repository@*/-"),
            ("PUT", "/settings/branch_protection", "[]", "protection_rules@*/-"),
            (
                "POST",
                "/branches/dev/objects?path=_lakefs_actions/a.yaml",
                "",
                "actions@*/-",
            ),
            ("POST", "/branches/dev/objects?path=x/_lakefs_actions/a.yaml", "", ""),
            ("GET", "/refs/dev/objects?path=_lakefs_actions/a.yaml", "", ""),
            (
                "POST",
                "/branches/dev/import",
                r#"{"paths":[{"destination":"_lakefs_actions/a.yaml"},{"destination":"x/"}]}"#,
                "import@dev/-,dev/- actions@*/-",
            ),
            (
                "POST",
                "/branches/dev/import",
                r#"{"paths":[{"destination":""}]}"#,
                "import@dev/- actions@*/-",
            ),
            (
                "POST",
                "/branches/dev/import",
                r#"{"paths":[{"destination":"x/"}]}"#,
                "import@dev/-",
            ),
            ("POST", "/branches/b/no-such", "", "unknown_mutation@*/-"),
            ("GET", "/branches/b/no-such", "", ""),
        ] {
            assert_eq!(said(method, target, body), dangers, "{method} {target} {body}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_the_worst_that_it_could_be() {
        assert_eq!(
            said("POST", "/refs/dev/merge/b", "{"),
            "merge_source_wins@b/- force@b/-"
        );
        assert_eq!(
            said("POST", "/branches/dev/import", "{"),
            "import@dev/- actions@*/- force@dev/-"
        );
        assert_eq!(said("POST", "/branches", "{"), "force@*/-");
    }

    #[test]
    fn sets_hold_what_they_are_given() {
        assert_eq!(Dangers::ALL.iter().collect::<Vec<_>>(), Danger::ALL);
        assert!(Dangers::ALL.without(Danger::Force).has(Danger::HardReset));
        assert!(!Dangers::ALL.without(Danger::Force).has(Danger::Force));
        for danger in Danger::ALL {
            let named = serde_json::to_string(danger).unwrap();
            assert_eq!(named, format!("{:?}", danger.name()));
        }
    }
}
