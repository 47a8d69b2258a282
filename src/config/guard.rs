//! `guard`: who may do what, where and when.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::RuleMode;
use super::types::networks;
use super::when::WhenConfig;
use crate::lakefs::{Class, Danger, Dangers, Operation};

/// Who may do what, where and when.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// What becomes of a request that no rule speaks of. Without it: `deny` where a role or an `allow` rule is given, else `allow`.
    pub default: Option<GuardDefault>,
    /// Who has which role where. Roles grant; rules can still refuse.
    pub roles: Vec<RoleConfig>,
    /// The rules. A request is refused if any rule refuses it, whatever others allow.
    pub rules: Vec<RuleConfig>,
    /// Whether lakeFS's own branch protection rules count too, each as `preset: protect` over its pattern. Without it: `enforce` where the
    /// gateway has a user of its own to read them with (`auth.service`, or `auth.upstream` with one user), else `off`.
    pub lakefs_rules: Option<LakefsRules>,
}

/// What lakeFS's own branch protection rules are to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LakefsRules {
    /// They refuse, and what cannot be judged because they cannot be read is refused for now.
    Enforce,
    /// It is only said what they would refuse.
    Shadow,
    /// They are lakeFS's alone.
    Off,
}

impl GuardConfig {
    /// What becomes of a request that no rule speaks of.
    pub fn default_verdict(&self) -> GuardDefault {
        let grants = !self.roles.is_empty() || self.rules.iter().any(|rule| rule.effect == Effect::Allow);
        self.default.unwrap_or(if grants {
            GuardDefault::Deny
        } else {
            GuardDefault::Allow
        })
    }
}

/// What becomes of a request that no rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardDefault {
    /// It passes.
    Allow,
    /// It passes, and is logged and counted as what `deny` would refuse.
    Shadow,
    /// It is refused: what is not granted is forbidden.
    Deny,
}

/// A role given to people: what they may do where.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleConfig {
    /// What they may do.
    pub role: Role,
    /// Users, by name or pattern.
    #[serde(default)]
    pub users: Vec<String>,
    /// Groups, by name or pattern.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Access key ids, by name or pattern.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Networks that requests come from.
    #[serde(default, deserialize_with = "networks")]
    #[schemars(with = "Vec<super::types::Network>")]
    pub addresses: Vec<ipnet::IpNet>,
    /// In which repositories, in lakeFS's own glob syntax.
    #[serde(default = "everything")]
    pub repositories: Vec<String>,
    /// On which branches; without it on all, and on tags and commits too.
    #[serde(default)]
    pub branches: Option<Vec<String>>,
}

/// What a role may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read objects, refs and settings; list.
    Reader,
    /// Also write and delete objects, commit, make branches, open pull requests.
    Writer,
    /// Also merge, revert, cherry-pick, import, delete branches, make and delete tags.
    Releaser,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Releaser => "releaser",
            Self::Admin => "admin",
        }
    }
}

/// One rule: who, what, where, when, and what happens then. What is left out is everyone, everything, everywhere, always.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name: what a refused client and the log are told.
    pub name: String,

    /// Who: users, by name or pattern.
    #[serde(default)]
    pub users: Vec<String>,
    /// Who: groups, by name or pattern.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who: access key ids, by name or pattern.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Who: networks that requests come from. With users, groups or keys beside it both must hold.
    #[serde(default, deserialize_with = "networks")]
    #[schemars(with = "Vec<super::types::Network>")]
    pub addresses: Vec<ipnet::IpNet>,
    /// For whom it does not hold.
    #[serde(default)]
    pub except: Option<WhoConfig>,

    /// What: a named set. Where a rule says nothing of what, it is `protect`; with effect `allow` or `freeze` it is `everything`.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// What: dangers by name, beside the preset's or without one.
    #[serde(default)]
    pub dangers: Vec<Danger>,
    /// Dangers of the preset that this rule lets pass.
    #[serde(default)]
    pub allow: Vec<Danger>,
    /// Which hard resets the preset has.
    #[serde(default)]
    pub hard_reset: HardResetMember,
    /// What: operations, by lakeFS's own operation ids, and `s3:` with S3's names.
    #[serde(default)]
    pub operations: Vec<OperationId>,
    /// What: classes of operations.
    #[serde(default)]
    pub classes: Vec<Class>,

    /// Where: repositories, in lakeFS's own glob syntax (`*`, `?`, `[a-c]`, `{a,b}`).
    #[serde(default = "everything")]
    pub repositories: Vec<String>,
    /// Where: branches, in the same syntax. A preset needs them said.
    #[serde(default)]
    pub branches: Option<Vec<String>>,
    /// Where: tags, in the same syntax. Without it: all for a preset, else all unless `branches` is given.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Where: paths of objects, in the same syntax, in which `*` takes `/` too. The rule then speaks of objects only.
    #[serde(default)]
    pub paths: Option<Vec<String>>,

    /// When it holds; without it always.
    #[serde(default)]
    pub when: Option<WhenConfig>,

    /// What happens.
    #[serde(default)]
    pub effect: Effect,
    /// Whether it bites.
    #[serde(default)]
    pub mode: RuleMode,
}

impl RuleConfig {
    /// The preset that counts.
    pub fn preset(&self) -> Option<Preset> {
        let unsaid = self.dangers.is_empty() && self.operations.is_empty() && self.classes.is_empty();
        self.preset.or(match self.effect {
            _ if !unsaid => None,
            Effect::Allow | Effect::Freeze => Some(Preset::Everything),
            Effect::Deny | Effect::RequireConfirmation | Effect::RequireApproval => Some(Preset::Protect),
        })
    }

    /// The dangers it speaks of.
    pub fn dangers(&self) -> Dangers {
        let preset = match self.preset() {
            Some(Preset::Protect) => Dangers::ALL,
            Some(Preset::Everything) | None => Dangers::NONE,
        };
        let named = self.dangers.iter().fold(preset, |set, danger| set.with(*danger));
        self.allow.iter().fold(named, |set, danger| set.without(*danger))
    }

    /// Whether it speaks of an operation by name, class or preset.
    pub fn names(&self, operation: Operation) -> bool {
        let spec = operation.spec();
        let preset = self.preset() == Some(Preset::Everything) && (self.effect != Effect::Freeze || spec.mutates);
        preset || self.classes.contains(&spec.class) || self.operations.contains(&OperationId(operation))
    }

    /// Where it stands over branches.
    pub fn branches(&self) -> &[String] {
        self.branches.as_deref().unwrap_or(everything_ref())
    }

    /// Where it stands over tags: unsaid, all of them for what speaks of dangers or of every branch, else none.
    pub fn tags(&self) -> &[String] {
        match &self.tags {
            Some(tags) => tags,
            None if self.branches.is_some() && self.dangers().is_empty() => &[],
            None => everything_ref(),
        }
    }
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            users: Vec::new(),
            groups: Vec::new(),
            keys: Vec::new(),
            addresses: Vec::new(),
            except: None,
            preset: None,
            dangers: Vec::new(),
            allow: Vec::new(),
            hard_reset: HardResetMember::default(),
            operations: Vec::new(),
            classes: Vec::new(),
            repositories: everything(),
            branches: None,
            tags: None,
            paths: None,
            when: None,
            effect: Effect::default(),
            mode: RuleMode::default(),
        }
    }
}

/// People: those whom any of its lists names.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WhoConfig {
    /// Users, by name or pattern.
    pub users: Vec<String>,
    /// Groups, by name or pattern.
    pub groups: Vec<String>,
    /// Access key ids, by name or pattern.
    pub keys: Vec<String>,
    /// Networks that requests come from.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "Vec<super::types::Network>")]
    pub addresses: Vec<ipnet::IpNet>,
}

/// What happens to a request that a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is refused.
    #[default]
    Deny,
    /// It passes, where `guard.default` would refuse it. It opens nothing that another rule refuses.
    Allow,
    /// It passes with a header that names the commit about to be lost.
    RequireConfirmation,
    /// It passes once a second person has approved it.
    RequireApproval,
    /// It is refused for now: the client is told when to come back.
    Freeze,
}

/// A named set of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Everything that can hurt a branch, whatever way it takes.
    Protect,
    /// Every operation, reads too.
    Everything,
}

/// Which hard resets are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HardResetMember {
    /// All of them: without `force` they lose what the branch held just as well.
    #[default]
    Any,
    /// Those with `force`.
    Forced,
}

/// One operation, by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationId(pub Operation);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.spec().id)
    }
}

impl FromStr for OperationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ids = || Operation::ALL.iter().map(|operation| (operation.spec().id, *operation));
        if let Some((_, operation)) = ids().find(|(id, _)| *id == text) {
            return Ok(Self(operation));
        }
        let likeness = |id: &str| strsim::jaro_winkler(&id.to_lowercase(), &text.to_lowercase());
        let near = ids().max_by(|(a, _), (b, _)| likeness(a).total_cmp(&likeness(b)));
        Err(match near {
            Some((near, _)) => format!("`{text}` is no operation of lakeFS: did you mean `{near}`?"),
            None => format!("`{text}` is no operation of lakeFS"),
        })
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for OperationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for OperationId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OperationId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An operation id of lakeFS's API, or `s3:` with S3's name", "examples": ["mergeIntoBranch", "s3:DeleteObject"] })
    }
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

fn everything_ref() -> &'static [String] {
    static EVERYTHING: std::sync::LazyLock<[String; 1]> = std::sync::LazyLock::new(|| ["*".into()]);
    &*EVERYTHING
}
