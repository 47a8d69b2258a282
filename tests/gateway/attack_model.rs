//! What lakeFS would bind as dangerous, written from its sources' words and not from lakegate's: Go's URL and query, chi, oapi-codegen,
//! the S3 gateway's own router, and kin-openapi's rewriting before Go's decoder. Small and slow: it tries every template in turn.
//!
//! It errs to one side only: what it calls dangerous, lakeFS would do.

/// The protected repository and branch.
pub(super) const REPOSITORY: &str = "repo-1";
pub(super) const BRANCH: &str = "main_2";
pub(super) const S3_DOMAIN: &str = "s3.example.org";

const HOOKS: &[u8] = b"_lakefs_actions/";

/// What makes an operation dangerous, beside that it is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Nothing more, where it is about the protected branch.
    Branch,
    /// Nothing more, where it is about the protected repository.
    Repository,
    /// Nothing more, anywhere.
    Anywhere,
    /// A path under lakeFS's hooks in this query parameter, on any branch of the repository; or `force` on the branch.
    Hook(&'static str, ForceIn),
    /// `strategy` is `source-wins`, or `force`, into the branch.
    Merge,
    /// `source_metarange`, or `force`, on the branch.
    Commit,
    /// `force` in the body, anywhere in the repository.
    Forced,
    /// `force` in the body, where this field of the body names the branch.
    ForcedNamed,
    /// A destination in the body that is, or holds, the hooks' folder; or the protected branch.
    Import,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForceIn {
    Query,
    Body,
    Nothing,
}

/// Every dangerous operation of the API.
pub(super) const API: &[(&str, &str, When)] = &[
    ("PUT", "/branches/{b}/hard_reset", When::Branch),
    ("DELETE", "/branches/{b}", When::Branch),
    ("PUT", "/branches/{b}", When::Branch),
    ("POST", "/branches/{b}/revert", When::Branch),
    ("POST", "/branches/{b}/cherry-pick", When::Branch),
    ("POST", "/branches/{b}/import", When::Import),
    ("DELETE", "/branches/{b}/objects", When::Branch),
    ("POST", "/branches/{b}/objects/delete", When::Branch),
    ("POST", "/refs/{s}/merge/{b}", When::Merge),
    ("POST", "/branches/{b}/commits", When::Commit),
    ("POST", "/commits", When::Forced),
    ("POST", "/tags", When::Forced),
    ("POST", "/branches", When::ForcedNamed),
    ("DELETE", "/tags/{s}", When::Repository),
    ("PUT", "/refs/restore", When::Repository),
    ("POST", "/restore", When::Repository),
    ("DELETE", "", When::Repository),
    ("PUT", "/settings/branch_protection", When::Repository),
    ("POST", "/branch_protection", When::Repository),
    ("DELETE", "/branch_protection", When::Repository),
    ("POST", "/branches/{b}/objects", When::Hook("path", ForceIn::Query)),
    ("PUT", "/branches/{b}/objects", When::Hook("path", ForceIn::Body)),
    (
        "POST",
        "/branches/{b}/objects/copy",
        When::Hook("dest_path", ForceIn::Body),
    ),
    (
        "PUT",
        "/branches/{b}/staging/backing",
        When::Hook("path", ForceIn::Body),
    ),
    (
        "POST",
        "/branches/{b}/staging/pmpu",
        When::Hook("path", ForceIn::Nothing),
    ),
    (
        "PUT",
        "/branches/{b}/staging/pmpu/{s}",
        When::Hook("path", ForceIn::Nothing),
    ),
    (
        "PUT",
        "/branches/{b}/objects/stat/user_metadata",
        When::Hook("path", ForceIn::Nothing),
    ),
    // The one template that is not about a repository.
    ("DELETE", "/auth/users/{s}", When::Anywhere),
];

/// A JSON body, as it was made: each key with the name that its text stands for, and the text of its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) host: String,
    /// Whether it has a header `X-Amz-Signature` with a value.
    pub(super) marked: bool,
    pub(super) fields: Fields,
    /// The keys that a DeleteObjects names.
    pub(super) keys: Vec<String>,
}

pub(super) fn unescape(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        if text[at] == b'%' {
            let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
            out.push(u8::try_from(digit(at + 1)? * 16 + digit(at + 2)?).ok()?);
            at += 3;
        } else {
            out.push(if plus && text[at] == b'+' { b' ' } else { text[at] });
            at += 1;
        }
    }
    Some(out)
}

fn escape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(byte);
        } else {
            out.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    out
}

/// `url.ParseQuery`.
fn parameters(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (false, false, Some(name), Some(value)) = (
            pair.is_empty(),
            pair.contains(';'),
            unescape(name.as_bytes(), true),
            unescape(value.as_bytes(), true),
        ) {
            pairs.push((name, value));
        }
    }
    pairs
}

/// The value of a parameter that is there once: several are a 400.
fn once(query: &str, name: &str) -> Option<Vec<u8>> {
    let mut values: Vec<_> = parameters(query)
        .into_iter()
        .filter(|(n, _)| n == name.as_bytes())
        .collect();
    (values.len() == 1).then(|| values.remove(0).1)
}

fn is_true(value: &[u8]) -> bool {
    [&b"1"[..], b"t", b"T", b"true", b"True", b"TRUE"].contains(&value)
}

/// Go's simple folding, as far as ASCII names go.
fn folded(key: &str) -> String {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

impl Fields {
    /// What Go's decoder could be left with for a field: from the body as it came, and as kin-openapi writes it anew (the last of each name,
    /// sorted, with the default where the very name is missing).
    fn readings(&self, name: &str, default: &str) -> [Option<String>; 2] {
        let last = |pairs: &mut dyn Iterator<Item = (&String, &String)>| {
            pairs
                .filter(|(key, _)| folded(key) == name)
                .last()
                .map(|(_, value)| value.clone())
        };
        let mut rewritten: std::collections::BTreeMap<&String, &String> = std::collections::BTreeMap::new();
        let (own, default) = (name.to_owned(), default.to_owned());
        rewritten.insert(&own, &default);
        rewritten.extend(self.0.iter().map(|(key, value)| (key, value)));
        [
            last(&mut self.0.iter().map(|(key, value)| (key, value))),
            last(&mut rewritten.into_iter()),
        ]
    }

    fn is(&self, name: &str, default: &str, wanted: &str) -> bool {
        self.readings(name, default)
            .iter()
            .flatten()
            .any(|value| value == wanted)
    }

    fn forced(&self) -> bool {
        self.is("force", "false", "true")
    }
}

impl Attempt {
    fn is_s3(&self) -> bool {
        let name = self.host.split(':').next().unwrap_or_default();
        let below = name.strip_suffix(S3_DOMAIN).and_then(|label| label.strip_suffix('.'));
        let signed = ["X-Amz-Credential", "AWSAccessKeyId"];
        // (`Get`: the first of several.)
        let first = |name: &str| parameters(&self.query).into_iter().find(|(n, _)| n == name.as_bytes());
        name == S3_DOMAIN
            || below.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            || self.marked
            || signed
                .iter()
                .any(|name| first(name).is_some_and(|(_, value)| !value.is_empty()))
    }

    /// Whether lakeFS would do what a rule over [`BRANCH`] refuses.
    pub(super) fn does_damage(&self) -> bool {
        if unescape(self.path.as_bytes(), false).is_none() || !self.path.starts_with('/') {
            return false;
        }
        if self.is_s3() { self.by_s3() } else { self.by_api() }
    }

    fn by_s3(&self) -> bool {
        let decoded = unescape(self.path.as_bytes(), false).unwrap_or_default();
        let text = String::from_utf8_lossy(&decoded).into_owned();
        let mut whole = text.strip_prefix('/').unwrap_or(&text).to_owned();
        let name = self.host.split(':').next().unwrap_or_default();
        if let Some(label) = name.strip_suffix(S3_DOMAIN).and_then(|label| label.strip_suffix('.')) {
            whole = format!("{label}/{whole}");
        }
        let parts: Vec<&str> = whole.splitn(3, '/').collect();
        let has = |name: &str| parameters(&self.query).iter().any(|(n, _)| n == name.as_bytes());
        match (self.method.as_str(), &*parts) {
            (_, [repository, ..]) if *repository != REPOSITORY => false,
            ("DELETE", [_, branch, path]) => *branch == BRANCH && !path.is_empty() && !has("uploadId"),
            ("PUT" | "POST", [_, branch, path]) => !branch.is_empty() && path.as_bytes().starts_with(HOOKS),
            ("POST", [_] | [_, ""]) => {
                let under = |key: &String| {
                    let key = key.strip_prefix('/').unwrap_or(key);
                    key.strip_prefix(BRANCH)
                        .is_some_and(|below| below.starts_with('/') && below.len() > 1)
                };
                has("delete") && self.keys.iter().any(under)
            }
            _ => false,
        }
    }

    fn by_api(&self) -> bool {
        let raw = self.path.as_bytes();
        let decoded = unescape(raw, false).unwrap_or_default();
        let routed = if escape(&decoded) == raw { decoded } else { raw.to_vec() };
        let segments: Vec<&[u8]> = routed.split(|byte| *byte == b'/').collect();
        API.iter().any(|(method, template, when)| {
            let whole = match when {
                When::Anywhere => format!("/api/v1{template}"),
                _ => format!("/api/v1/repositories/{{r}}{template}"),
            };
            *method == self.method
                && bind(&whole, &segments)
                    .is_some_and(|(repository, branch)| self.is_dangerous(*when, &repository, &branch))
        })
    }

    fn is_dangerous(&self, when: When, repository: &[u8], branch: &[u8]) -> bool {
        let there = repository == REPOSITORY.as_bytes();
        let here = there && branch == BRANCH.as_bytes();
        let forced_by_query = || once(&self.query, "force").is_some_and(|value| is_true(&value));
        match when {
            When::Anywhere => true,
            When::Repository => there,
            When::Branch => here,
            When::Hook(parameter, force) => {
                let hook = once(&self.query, parameter).is_some_and(|path| path.starts_with(HOOKS));
                let forced = match force {
                    ForceIn::Query => forced_by_query(),
                    ForceIn::Body => self.fields.forced(),
                    ForceIn::Nothing => false,
                };
                (there && hook) || (here && forced)
            }
            When::Merge => here && (self.fields.forced() || self.fields.is("strategy", "\"\"", "\"source-wins\"")),
            When::Commit => here && (once(&self.query, "source_metarange").is_some() || self.fields.forced()),
            When::Forced => there && self.fields.forced(),
            When::ForcedNamed => {
                let named = self
                    .fields
                    .readings("name", "\"\"")
                    .iter()
                    .flatten()
                    .any(|name| *name == format!("\"{BRANCH}\""));
                there && named && self.fields.forced()
            }
            When::Import => {
                let holds = |destination: &str| {
                    destination.as_bytes().starts_with(HOOKS) || HOOKS.starts_with(destination.as_bytes())
                };
                let to = self.fields.readings("paths", "[]");
                let hook = to.iter().flatten().any(|paths| {
                    let destination = paths
                        .split("\"destination\":\"")
                        .nth(1)
                        .and_then(|rest| rest.split('"').next());
                    destination.is_some_and(holds)
                });
                here || (there && hook)
            }
        }
    }
}

/// What a template's parameters bind: chi takes any segment that is not empty, oapi-codegen decodes it once more, and lakeFS's own patterns
/// have the last word.
fn bind(template: &str, segments: &[&[u8]]) -> Option<(Vec<u8>, Vec<u8>)> {
    let template: Vec<&str> = template.split('/').collect();
    if template.len() != segments.len() {
        return None;
    }
    let (mut repository, mut branch) = (Vec::new(), Vec::new());
    for (name, segment) in template.iter().zip(segments) {
        match *name {
            _ if name.starts_with('{') && segment.is_empty() => return None,
            "{r}" => repository = unescape(segment, true)?,
            "{b}" => branch = unescape(segment, true)?,
            "{s}" => drop(unescape(segment, true)?),
            constant if constant.as_bytes() != *segment => return None,
            _ => {}
        }
    }
    Some((repository, branch))
}
