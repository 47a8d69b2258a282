//! Rules, compiled once a configuration: which of them stand over a repository and a branch. Pure.
//!
//! Patterns have lakeFS's own semantics (`lakefs::glob`); one that cannot be read matches everything, so that a mistake never opens.

use crate::config::{GuardConfig, HardResetMember, Preset, RuleConfig, RuleMode};
use crate::lakefs::Force;

use super::index::Index;
use super::member::{Member, Place};
use super::pattern::Pattern;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    name: String,
    shadow: bool,
    hard_reset: HardResetMember,
    repositories: Vec<Pattern>,
    branches: Vec<Pattern>,
}

impl Rule {
    fn new(config: &RuleConfig) -> Self {
        // The only preset there is: a second one must be told apart here.
        let Preset::Protect = config.preset;
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Self {
            name: config.name.clone(),
            shadow: config.mode == RuleMode::Shadow,
            hard_reset: config.hard_reset,
            repositories: patterns(&config.repositories),
            branches: patterns(&config.branches),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it only says what it would refuse.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Whether it stands over a place.
    pub(super) fn stands_over(&self, place: Place<'_>) -> bool {
        let any = |patterns: &[Pattern], name: Option<&str>| {
            patterns
                .iter()
                .any(|pattern| name.is_none_or(|name| pattern.matches(name)))
        };
        any(&self.repositories, place.repository) && any(&self.branches, place.branch)
    }

    /// Whether it refuses this where it stands.
    pub(super) fn refuses(&self, member: Member, force: Force) -> bool {
        match member {
            // What the body decides is judged by now; if not, it may be forced.
            Member::HardReset => self.hard_reset == HardResetMember::Any || force != Force::No,
            Member::UnknownMutation => true,
        }
    }
}

/// All rules of a configuration.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// Repository pattern, then branch pattern, to the rules that hold the pair.
    index: Index<Index<Vec<usize>>>,
}

impl Rules {
    /// Compiles them.
    pub fn new(config: &GuardConfig) -> Self {
        let mut index: Index<Index<Vec<usize>>> = Index::default();
        for (at, rule) in config.rules.iter().enumerate() {
            for repository in &rule.repositories {
                for branch in &rule.branches {
                    index.entry(repository).entry(branch).push(at);
                }
            }
        }
        Self {
            rules: config.rules.iter().map(Rule::new).collect(),
            index,
        }
    }

    /// Them, in the configuration's order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Shows `each` the rules that stand over a place, with their numbers in the configuration. A rule may come more than once.
    pub(super) fn standing_over<'a>(&'a self, place: Place<'_>, mut each: impl FnMut(usize, &'a Rule)) {
        let mut show = |numbers: &Vec<usize>| {
            for &number in numbers {
                if let Some(rule) = self.rules.get(number) {
                    each(number, rule);
                }
            }
        };
        let in_repository = |branches: &Index<Vec<usize>>| match place.branch {
            Some(branch) => branches.matching(branch, &mut show),
            None => branches.all(&mut show),
        };
        match place.repository {
            Some(repository) => self.index.matching(repository, in_repository),
            None => self.index.all(in_repository),
        }
    }
}
