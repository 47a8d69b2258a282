//! Repositories, tags, protection rules: what is about a repository as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::Sandboxed;
use super::call::{Call, Query};
use super::reply::{Failure, Reply};
use super::store::{now, now_ns};
use super::world::{Branch, Commit, Repository, sha256_hex};

/// `pkg/validator/validate.go`: `^[a-z0-9][a-z0-9-]{2,62}$`.
pub(super) fn check_repository(name: &str) -> Result<(), Failure> {
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if letters && (3..=63).contains(&name.len()) && !name.starts_with('-') {
        return Ok(());
    }
    Err(Failure::bad(
        "argument repository: repository id: invalid value: validation error",
    ))
}

/// `^\w[-\w]*$`.
pub(super) fn check_branch(argument: &str, name: &str) -> Result<(), Failure> {
    if is_branch_name(name) {
        return Ok(());
    }
    Err(Failure::bad(format!(
        "argument {argument}: branch id: invalid value: validation error"
    )))
}

pub(super) fn is_branch_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(|byte| word(byte) || byte == b'-') && !name.is_empty() && !name.starts_with('-')
}

/// A reference needs only be without spaces.
pub(super) fn check_ref(argument: &str, expression: &str) -> Result<(), Failure> {
    if expression.is_empty() {
        return Err(Failure::internal(format!(
            "argument {argument}: required value: validation error"
        )));
    }
    if expression.contains(char::is_whitespace) {
        return Err(Failure::bad(format!(
            "argument {argument}: ref: invalid value: validation error"
        )));
    }
    Ok(())
}

/// One page of named items: `prefix`, `after`, `amount` (0 and less mean the default of 100).
pub(super) fn page(query: &Query, items: impl Iterator<Item = (String, Value)>) -> Reply {
    let amount = query
        .number("amount")
        .filter(|amount| *amount > 0)
        .map_or(100, |amount| usize::try_from(amount).unwrap_or(100));
    let (prefix, after) = (query.text("prefix"), query.text("after"));
    let mut wanted: Vec<(String, Value)> = items
        .filter(|(name, _)| name.starts_with(prefix) && (after.is_empty() || name.as_str() > after))
        .take(amount + 1)
        .collect();
    let more = wanted.len() > amount;
    wanted.truncate(amount);
    paged(more, wanted)
}

/// A page that is already cut; the next one begins after the last item's name.
pub(super) fn paged(more: bool, items: Vec<(String, Value)>) -> Reply {
    let next = items.last().filter(|_| more).map_or("", |(name, _)| name.as_str());
    let pagination = json!({ "has_more": more, "max_per_page": 1000, "next_offset": next, "results": items.len() });
    let results: Vec<Value> = items.into_iter().map(|(_, value)| value).collect();
    Reply::ok(&json!({ "pagination": pagination, "results": results }))
}

impl Sandboxed {
    pub(super) fn list_repositories(&self, call: &Call) -> Reply {
        let search = call.query.text("search");
        self.look(|state| {
            let all = state
                .repositories
                .values()
                .filter(|repository| repository.name.contains(search));
            page(
                &call.query,
                all.map(|repository| (repository.name.clone(), repository.json())),
            )
        })
    }

    pub(super) fn create_repository(&self, call: &Call) -> Result<Reply, Failure> {
        const PATTERN: &str = "^[a-z0-9][a-z0-9-]{2,62}$";
        let (name, namespace) = (call.text("name"), call.text("storage_namespace"));
        if check_repository(name).is_err() {
            return Err(Failure::Invalid(format!(
                "request body has an error: doesn't match schema #/components/schemas/RepositoryCreation: Error at \"/name\": string doesn't match the regular expression \"{PATTERN}\"\nSchema:\n  {{\n    \"pattern\": \"{PATTERN}\",\n    \"type\": \"string\"\n  }}\n\nValue:\n  \"{name}\"\n"
            )));
        }
        let mut state = self.state();
        if state.repositories.contains_key(name) {
            return Err(Failure::conflict("error creating repository: not unique"));
        }
        if !namespace.starts_with("s3://") {
            return Err(Failure::bad("failed to match required regex ^s3://: invalid namespace"));
        }
        let (bare, read_only) = (call.query.flag("bare", false), call.flag("read_only"));
        let taken =
            |other: &Repository| other.storage_namespace.trim_end_matches('/') == namespace.trim_end_matches('/');
        if !bare && !read_only && state.repositories.values().any(taken) {
            return Err(Failure::bad(format!(
                "failed to create repository: found lakeFS objects in the storage (:{namespace}) key(_lakefs/dummy): storage namespace already in use"
            )));
        }
        let default_branch = Some(call.text("default_branch"))
            .filter(|name| !name.is_empty())
            .unwrap_or("main");
        let mut repository = Repository {
            name: name.to_owned(),
            created: now(),
            storage_namespace: namespace.to_owned(),
            default_branch: default_branch.to_owned(),
            read_only,
            branches: BTreeMap::new(),
            tags: BTreeMap::new(),
            commits: BTreeMap::new(),
            tokens: BTreeMap::new(),
            rules: Vec::new(),
        };
        let mut answer = repository.json();
        if bare {
            // lakeFS leaves `read_only` out of this answer.
            answer.as_object_mut().and_then(|answer| answer.remove("read_only"));
        } else {
            let first = Commit {
                message: "Repository created".to_owned(),
                created_ns: now_ns(),
                generation: 1,
                ..Commit::default()
            };
            let first = Arc::new(first.identify());
            repository
                .branches
                .insert(default_branch.to_owned(), Branch::at(first.id.clone(), false));
            repository.commits.insert(first.id.clone(), first);
        }
        state.repositories.insert(name.to_owned(), repository);
        Ok(Reply::json(StatusCode::CREATED, &answer))
    }

    pub(super) fn get_repository(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        self.repository(call.segment(0), |repository| Ok(Reply::ok(&repository.json())))
    }

    pub(super) async fn delete_repository(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let namespace = {
            let mut state = self.state();
            super::change::find(&state, call.segment(0))?.writable(call.query.flag("force", false))?;
            state
                .repositories
                .remove(call.segment(0))
                .map(|repository| repository.storage_namespace)
        };
        if let Some(namespace) = namespace {
            self.store.clear(&format!("{}/", namespace.trim_end_matches('/'))).await;
        }
        Ok(Reply::no_content())
    }

    pub(super) fn get_rules(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        self.repository(call.segment(0), |repository| {
            let rules: Vec<Value> = repository
                .rules
                .iter()
                .map(|pattern| json!({ "pattern": pattern }))
                .collect();
            Ok(Reply::ok(&Value::Array(rules)).with(header::ETAG, &checksum(&repository.rules)))
        })
    }

    pub(super) fn set_rules(&self, call: &Call) -> Result<Reply, Failure> {
        let mut given = call.headers.get_all(header::IF_MATCH).iter();
        let wanted = given
            .next()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        match &wanted {
            Some(_) if given.count() > 0 => {
                let count = call.headers.get_all(header::IF_MATCH).iter().count();
                return Err(Failure::Unbound(format!(
                    "Expected one value for If-Match, got {count}"
                )));
            }
            Some(empty) if empty.is_empty() => {
                return Err(Failure::Unbound(
                    "Invalid format for parameter If-Match: parameter 'If-Match' is empty, can't bind its value"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        check_repository(call.segment(0))?;
        let mut rules: Vec<String> = Vec::new();
        for (index, rule) in call.json.as_array().into_iter().flatten().enumerate() {
            let pattern = rule
                .get("pattern")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            if pattern.is_empty() {
                return Err(empty_pattern("", &format!("/{index}")));
            }
            rules.push(pattern);
        }
        rules.sort();
        rules.dedup();
        self.change(call.segment(0), |repository| {
            repository.writable(false)?;
            if wanted.is_some_and(|wanted| wanted != checksum(&repository.rules)) {
                return Err(Failure::new(StatusCode::PRECONDITION_FAILED, "Precondition failed"));
            }
            repository.rules = rules;
            Ok(Reply::no_content())
        })
    }

    /// The older twin of `set_rules`: one pattern more, or one less.
    pub(super) fn change_rule(&self, call: &Call, add: bool) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let pattern = call.text("pattern");
        if pattern.is_empty() {
            return Err(empty_pattern(" #/components/schemas/BranchProtectionRule", ""));
        }
        self.change(call.segment(0), |repository| {
            let known = repository.rules.iter().position(|rule| rule == pattern);
            match (known, add) {
                (None, true) => {
                    repository.rules.push(pattern.to_owned());
                    repository.rules.sort();
                }
                (Some(at), false) => drop(repository.rules.remove(at)),
                (None, false) => return Ok(Reply::empty(StatusCode::NOT_FOUND)),
                (Some(_), true) => {}
            }
            Ok(Reply::no_content())
        })
    }

    pub(super) fn list_tags(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        self.repository(call.segment(0), |repository| {
            let tags = repository
                .tags
                .iter()
                .map(|(id, commit)| (id.clone(), named(id, commit)));
            Ok(page(&call.query, tags))
        })
    }

    pub(super) fn create_tag(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let (id, reference) = (call.text("id"), call.text("ref"));
        check_tag("tagID", id)?;
        self.change(call.segment(0), |repository| {
            let commit = repository.pointed(reference)?.id.clone();
            repository.writable(call.flag("force"))?;
            if repository.tags.contains_key(id) {
                return Err(Failure::conflict("tag already exists: not unique"));
            }
            repository.tags.insert(id.to_owned(), commit.clone());
            Ok(Reply::json(StatusCode::CREATED, &named(id, &commit)))
        })
    }

    pub(super) fn get_tag(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        check_tag("tagID", call.segment(1))?;
        self.repository(call.segment(0), |repository| {
            let commit = repository
                .tags
                .get(call.segment(1))
                .ok_or_else(|| Failure::missing("tag not found"))?;
            Ok(Reply::ok(&named(call.segment(1), commit)))
        })
    }

    pub(super) fn delete_tag(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        check_tag("tagID", call.segment(1))?;
        self.change(call.segment(0), |repository| {
            repository.writable(call.query.flag("force", false))?;
            repository
                .tags
                .remove(call.segment(1))
                .ok_or_else(|| Failure::missing("tag not found"))?;
            Ok(Reply::no_content())
        })
    }
}

/// `Ref` as lakeFS writes it.
pub(super) fn named(id: &str, commit: &str) -> Value {
    json!({ "commit_id": commit, "id": id })
}

/// The ETag of a set of rules: nothing where there are none.
fn checksum(rules: &[String]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    sha256_hex(rules.join("\n").as_bytes())
}

fn empty_pattern(schema: &str, at: &str) -> Failure {
    Failure::Invalid(format!(
        "request body has an error: doesn't match schema{schema}: Error at \"{at}/pattern\": minimum string length is 1"
    ))
}

/// `ValidateTagID` of pkg/graveler/validate.go: nearly git's rules.
fn check_tag(argument: &str, id: &str) -> Result<(), Failure> {
    if id.is_empty() {
        return Err(Failure::internal(format!(
            "argument {argument}: required value: validation error"
        )));
    }
    let parts = ["..", "/", "@{", "^", ":", "?", "*", "[", "\\"];
    let shape = id == "@" || id.ends_with('.') || id.ends_with(".lock") || id.contains(|c: char| c <= ' ');
    if shape || parts.iter().any(|part| id.contains(part)) {
        return Err(Failure::bad(format!(
            "argument {argument}: tag id: invalid value: validation error"
        )));
    }
    Ok(())
}
