//! Rules, compiled once a configuration: what each speaks of, and which of them stand over a place. Pure.
//!
//! Patterns have lakeFS's own semantics (`lakefs::glob`); one that cannot be read matches everything, so that a mistake never opens (and
//! in what opens it matches nothing).

use super::decide::{Asked, Cause};
use super::index::Index;
use super::operations::Operations;
use super::pattern::{Pattern, literal_beginning};
use super::theirs;
use super::when::When;
use super::who::Who;
use crate::config::{Effect, GuardConfig, GuardDefault, HardResetMember, Preset, RoleConfig, RuleConfig, RuleMode};
use crate::lakefs::glob::Glob;
use crate::lakefs::{Danger, Dangers, Force, ObjectPath, Operation, Place};

/// How much of a pattern of lakeFS's names its rule.
const NAME_MAX: usize = 100;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    name: String,
    /// Whether it is one of lakeFS's own.
    theirs: bool,
    effect: Effect,
    shadow: bool,
    pub(super) who: Who,
    except: Option<Who>,
    when: Option<When>,
    dangers: Dangers,
    hard_reset: HardResetMember,
    operations: Operations,
    pub(super) repositories: Vec<Pattern>,
    branches: Vec<Pattern>,
    tags: Vec<Pattern>,
    paths: Option<Vec<Path>>,
}

/// A pattern of paths.
#[derive(Debug)]
struct Path {
    pattern: Pattern,
    beginning: Box<str>,
}

impl Rule {
    fn new(config: &RuleConfig) -> Self {
        Self {
            name: config.name.clone(),
            theirs: false,
            effect: config.effect,
            shadow: config.mode == RuleMode::Shadow,
            who: Who::new(&config.users, &config.groups, &config.keys, &config.addresses),
            except: config
                .except
                .as_ref()
                .map(|who| Who::new(&who.users, &who.groups, &who.keys, &who.addresses)),
            when: config.when.as_ref().map(When::new),
            dangers: config.dangers(),
            hard_reset: config.hard_reset,
            operations: Operation::ALL
                .iter()
                .copied()
                .filter(|operation| config.names(*operation))
                .collect(),
            repositories: patterns(&config.repositories, config.effect),
            branches: patterns(config.branches(), config.effect),
            tags: patterns(config.tags(), config.effect),
            paths: config
                .paths
                .as_ref()
                .map(|paths| paths.iter().map(|path| Path::new(path, config.effect)).collect()),
        }
    }

    /// What a role grants, as a rule that allows.
    fn of_role(config: &RoleConfig) -> Self {
        let rule = RuleConfig {
            name: format!("role {}", config.role.name()),
            users: config.users.clone(),
            groups: config.groups.clone(),
            keys: config.keys.clone(),
            addresses: config.addresses.clone(),
            repositories: config.repositories.clone(),
            branches: config.branches.clone(),
            effect: Effect::Allow,
            ..RuleConfig::default()
        };
        Self {
            operations: Operations::of(config.role),
            ..Self::new(&rule)
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is lakeFS's own, and no one's at the gateway.
    pub fn is_theirs(&self) -> bool {
        self.theirs
    }

    /// What happens where it speaks.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it only says what it would do.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Until when it holds, if that is known.
    pub(super) fn end(&self, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
        self.when.as_ref()?.end(now)
    }

    /// Whether it is about whoever asks.
    pub(super) fn is_about(&self, asked: &Asked<'_>) -> bool {
        self.who.is_about(asked.principal, asked.address)
            && !self
                .except
                .as_ref()
                .is_some_and(|except| except.has(asked.principal, asked.address))
    }

    /// Whether it holds now.
    pub(super) fn holds(&self, asked: &Asked<'_>) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(asked.now))
    }

    /// Whether it speaks of this.
    pub(super) fn is_of(&self, cause: Cause, force: Force) -> bool {
        match cause {
            // What the body decides is judged by now; if not, it may be forced.
            Cause::Danger(Danger::HardReset) => {
                self.dangers.has(Danger::HardReset) && (self.hard_reset == HardResetMember::Any || force != Force::No)
            }
            Cause::Danger(danger) => self.dangers.has(danger),
            Cause::Operation(operation) => self.operations.has(operation),
        }
    }

    /// Whether it could stand over a place, of which what is not named may be anything.
    pub(super) fn stands_over(&self, place: Place<'_>) -> bool {
        let named = match (place.branch, place.tag) {
            (None, Some(tag)) => any(&self.tags, Some(tag)),
            (branch, None) => any(&self.branches, branch),
            (Some(branch), Some(tag)) => any(&self.branches, Some(branch)) || any(&self.tags, Some(tag)),
        };
        named && any(&self.repositories, place.repository) && self.stands_over_path(place.path)
    }

    pub(super) fn stands_over_path(&self, path: ObjectPath<'_>) -> bool {
        let Some(paths) = &self.paths else { return true };
        match path {
            ObjectPath::None => false,
            ObjectPath::Any => true,
            ObjectPath::Object(path) => paths.iter().any(|own| own.pattern.matches(path)),
            ObjectPath::Below(prefix) => paths
                .iter()
                .any(|own| own.beginning.starts_with(prefix) || prefix.starts_with(&*own.beginning)),
        }
    }

    /// Whether it surely stands over a place: what is not named must be all of it. A reference that is read may be a tag.
    pub(super) fn grants(&self, place: Place<'_>, mutates: bool) -> bool {
        let all = |patterns: &[Pattern]| patterns.iter().any(|pattern| matches!(pattern, Pattern::Everything));
        let named = match (place.branch, place.tag) {
            (None, Some(tag)) => any(&self.tags, Some(tag)),
            (Some(branch), _) => any(&self.branches, Some(branch)) || (!mutates && any(&self.tags, Some(branch))),
            (None, None) => !mutates || all(&self.branches),
        };
        let repository = match place.repository {
            Some(repository) => any(&self.repositories, Some(repository)),
            None => !mutates || all(&self.repositories),
        };
        named && repository && self.grants_path(place.path)
    }

    fn grants_path(&self, path: ObjectPath<'_>) -> bool {
        let Some(paths) = &self.paths else { return true };
        paths.iter().any(|own| match (path, &own.pattern) {
            (_, Pattern::Everything) => true,
            (ObjectPath::Object(path), pattern) => pattern.matches(path),
            (ObjectPath::Below(prefix), Pattern::Beginning(beginning)) => prefix.starts_with(&**beginning),
            _ => false,
        })
    }
}

impl Path {
    fn new(text: &str, effect: Effect) -> Self {
        Self {
            pattern: pattern(text, effect),
            beginning: literal_beginning(text).into(),
        }
    }
}

fn patterns(texts: &[String], effect: Effect) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text, effect)).collect()
}

/// A pattern that cannot be read matches everything in what refuses, and nothing in what opens.
fn pattern(text: &str, effect: Effect) -> Pattern {
    if effect == Effect::Allow && Glob::new(text).is_err() {
        return Pattern::Nothing;
    }
    Pattern::new(text)
}

fn any(patterns: &[Pattern], name: Option<&str>) -> bool {
    patterns
        .iter()
        .any(|pattern| name.is_none_or(|name| pattern.matches(name)))
}

/// All rules of a configuration.
#[derive(Debug)]
pub struct Rules {
    default: GuardDefault,
    /// Those of the configuration in its order, then the roles.
    rules: Vec<Rule>,
    /// Repository pattern, then branch or tag pattern, to the rules that refuse or require there.
    index: Index<References>,
    /// What any rule that refuses or requires speaks of.
    dangers: Dangers,
    operations: Operations,
    grants: Grants,
}

#[derive(Debug, Default)]
struct References {
    branches: Index<Vec<usize>>,
    tags: Index<Vec<usize>>,
}

/// The rules that allow, by whom they are about: one person has few.
#[derive(Debug, Default)]
struct Grants {
    users: Index<Vec<usize>>,
    groups: Index<Vec<usize>>,
    keys: Index<Vec<usize>>,
    everybody: Vec<usize>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&GuardConfig::default())
    }
}

impl Rules {
    /// Compiles them.
    pub fn new(config: &GuardConfig) -> Self {
        let rules = config.rules.iter().map(Rule::new);
        let mut compiled = Self {
            default: config.default_verdict(),
            rules: rules.chain(config.roles.iter().map(Rule::of_role)).collect(),
            index: Index::default(),
            dangers: Dangers::NONE,
            operations: Operations::default(),
            grants: Grants::default(),
        };
        for (at, rule) in config.rules.iter().enumerate() {
            if rule.effect == Effect::Allow {
                // One in shadow opens nothing.
                if rule.mode == RuleMode::Enforce {
                    compiled.grants.add(at, &rule.users, &rule.groups, &rule.keys);
                }
            } else {
                compiled.index_by_place(at, rule);
            }
        }
        for (at, role) in config.roles.iter().enumerate() {
            compiled
                .grants
                .add(config.rules.len() + at, &role.users, &role.groups, &role.keys);
        }
        compiled
    }

    /// lakeFS's own rules of a repository, by their patterns: each is `preset: protect` over its pattern, but for what `theirs` leaves out. One
    /// that cannot be read stands over every branch: lakeFS itself then fails every check in the repository.
    pub(super) fn of_lakefs(repository: &str, patterns: &[String]) -> Self {
        let left_out = Danger::ALL.iter().filter(|danger| !theirs::DANGERS.has(**danger));
        // It goes into headers and logs, and a pattern may be anything, of any length.
        let name = |pattern: &str| {
            pattern
                .chars()
                .filter(|c| !c.is_control())
                .take(NAME_MAX)
                .collect::<String>()
        };
        let rule = |pattern: &String| RuleConfig {
            name: format!("lakefs:{}", name(pattern)),
            preset: Some(Preset::Protect),
            allow: left_out.clone().copied().collect(),
            repositories: vec![repository.to_owned()],
            branches: Some(vec![pattern.clone()]),
            tags: Some(Vec::new()),
            ..RuleConfig::default()
        };
        let mut rules = Self::new(&GuardConfig {
            rules: patterns.iter().map(rule).collect(),
            ..GuardConfig::default()
        });
        for rule in &mut rules.rules {
            rule.theirs = true;
        }
        rules
    }

    fn index_by_place(&mut self, at: usize, config: &RuleConfig) {
        let Some(rule) = self.rules.get(at) else { return };
        self.dangers = self.dangers.or(rule.dangers);
        self.operations.merge(&rule.operations);
        for repository in &config.repositories {
            let references = self.index.entry(repository);
            for branch in config.branches() {
                references.branches.entry(branch).push(at);
            }
            for tag in config.tags() {
                references.tags.entry(tag).push(at);
            }
        }
    }

    /// Them, in the configuration's order, then the roles.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// What becomes of a request that no rule speaks of.
    pub fn default_verdict(&self) -> GuardDefault {
        self.default
    }

    /// The dangers of which any rule speaks that refuses or requires.
    pub(super) fn dangers(&self) -> Dangers {
        self.dangers
    }

    /// The operations of which any rule speaks that refuses or requires.
    pub(super) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// Whether any repository could be hidden from anybody.
    pub(super) fn may_hide_repositories(&self) -> bool {
        self.default == GuardDefault::Deny || self.operations.has(Operation::GetRepository)
    }

    /// Shows `each` the rules that refuse or require over a place, with their numbers in the configuration. A rule may come more than
    /// once, and its paths are still to be looked at.
    pub(super) fn standing_over<'a>(&'a self, place: Place<'_>, mut each: impl FnMut(usize, &'a Rule)) {
        let mut show = |numbers: &Vec<usize>| {
            for &number in numbers {
                if let Some(rule) = self.rules.get(number) {
                    each(number, rule);
                }
            }
        };
        let in_repository = |references: &References| {
            if let Some(tag) = place.tag {
                references.tags.matching(tag, &mut show);
            }
            match place.branch {
                Some(branch) => references.branches.matching(branch, &mut show),
                None if place.tag.is_none() => references.branches.all(&mut show),
                None => {}
            }
        };
        match place.repository {
            Some(repository) => self.index.matching(repository, in_repository),
            None => self.index.all(in_repository),
        }
    }

    /// Whether any rule that allows is about whoever asks, and says yes to `granted`.
    pub(super) fn any_grant<'a>(&'a self, asked: &Asked<'_>, mut granted: impl FnMut(&'a Rule) -> bool) -> bool {
        let mut found = false;
        let mut look = |numbers: &Vec<usize>| {
            for &number in numbers {
                found = found
                    || self
                        .rules
                        .get(number)
                        .is_some_and(|rule| rule.is_about(asked) && rule.holds(asked) && granted(rule));
            }
        };
        look(&self.grants.everybody);
        if let Some(principal) = asked.principal {
            self.grants.users.matching(&principal.name, &mut look);
            for group in principal.groups.iter() {
                self.grants.groups.matching(group, &mut look);
            }
            if let Some(key) = &principal.key {
                self.grants.keys.matching(key, &mut look);
            }
        }
        found
    }
}

impl Grants {
    fn add(&mut self, at: usize, users: &[String], groups: &[String], keys: &[String]) {
        let lists = [
            (&mut self.users, users),
            (&mut self.groups, groups),
            (&mut self.keys, keys),
        ];
        for (index, names) in lists {
            for name in names {
                index.entry(name).push(at);
            }
        }
        if users.is_empty() && groups.is_empty() && keys.is_empty() {
            self.everybody.push(at);
        }
    }
}
