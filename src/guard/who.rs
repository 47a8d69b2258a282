//! Whom a rule is about. Pure.
//!
//! A claimed name counts like a proved one: its credential goes up as it came, so lakeFS itself finds out who only says so. Groups are of
//! proved principals alone.

use std::net::IpAddr;

use ipnet::IpNet;

use super::pattern::Pattern;
use crate::exchange::Principal;

/// People, by name, group or key, and the networks they come from.
#[derive(Debug, Default)]
pub(super) struct Who {
    pub(super) users: Vec<Pattern>,
    pub(super) groups: Vec<Pattern>,
    pub(super) keys: Vec<Pattern>,
    addresses: Vec<IpNet>,
}

impl Who {
    pub(super) fn new(users: &[String], groups: &[String], keys: &[String], addresses: &[IpNet]) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Self {
            users: patterns(users),
            groups: patterns(groups),
            keys: patterns(keys),
            addresses: addresses.to_vec(),
        }
    }

    /// Whether a rule about them is about this one: named by any list of people, if there is one, and from one of the networks, if any are
    /// given.
    pub(super) fn is_about(&self, principal: Option<&Principal>, address: IpAddr) -> bool {
        (self.names_nobody() || self.names(principal)) && (self.addresses.is_empty() || self.holds(address))
    }

    /// Whether this one is among them: by any of the lists.
    pub(super) fn has(&self, principal: Option<&Principal>, address: IpAddr) -> bool {
        self.names(principal) || self.holds(address)
    }

    /// Whether it has no list of people.
    pub(super) fn names_nobody(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.keys.is_empty()
    }

    fn names(&self, principal: Option<&Principal>) -> bool {
        let Some(principal) = principal else { return false };
        let any = |patterns: &[Pattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.users, &principal.name)
            || principal.groups.iter().any(|group| any(&self.groups, group))
            || principal.key.as_deref().is_some_and(|key| any(&self.keys, key))
    }

    fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.addresses.iter().any(|network| network.contains(&address))
    }
}
