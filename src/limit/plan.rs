//! What applies to a request: whose share it uses and of which class, the branch it takes a turn on, its slot. Pure.
//!
//! The layer and `lakegate explain` both ask here.

use std::sync::Arc;

use super::bucket::Rate;
use super::order::Kind;
use super::priority::{Priority, goes_on_with_upload};
use super::slot::Slot;
use super::turn;
use crate::config::{BranchTurns, LimitConfig};
use crate::exchange::Context;
use crate::lakefs::{Class, Classified, Operation, Role};

/// The most branches that one request takes turns on: a bulk delete may name a thousand.
const BRANCHES_MAX: usize = 8;

/// The turns that a request takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns<'a> {
    /// What they are for.
    pub kind: Kind,
    /// Repositories and branches, in the order in which they are taken.
    pub on: Vec<(&'a str, &'a str)>,
    /// Whether the request goes without them, and its body's last bytes wait for them.
    pub at_the_end: bool,
}

/// What applies to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// What it asks of lakeFS.
    pub operation: Operation,
    /// The class whose rate it uses.
    pub class: Class,
    /// The rate of its principal in that class.
    pub rate: Rate,
    /// How many requests of its principal may be on their way.
    pub in_flight: usize,
    /// The turns it takes, if any.
    pub turns: Option<Turns<'a>>,
    /// What it takes of the upstream.
    pub slot: Slot,
    /// How soon it goes among others when the upstream is full.
    pub priority: Priority,
    /// Its principal's part of a full upstream, beside others with theirs.
    pub weight: u32,
    /// Whether it takes a slot at once, full or not, and goes without a turn that does not come in time: a refusal would throw away the
    /// upload that it goes on with.
    pub always: bool,
    /// Whether it goes on when its client leaves: lakeFS would cancel half-done work whose every byte it has.
    pub outlives_client: bool,
}

impl<'a> Plan<'a> {
    /// `complete` tells whether the request's body is all here.
    pub fn of(classified: &'a Classified, complete: bool, config: &LimitConfig) -> Self {
        let spec = classified.operation.spec();
        let turns = turns(classified, complete, config.branch);
        // Who has a turn holds a request slot, never a stream's: see `tail`.
        let before_it_goes = turns.as_ref().is_some_and(|turns| !turns.at_the_end);
        Self {
            operation: classified.operation,
            class: spec.class,
            rate: Rate::of(&config.principal),
            in_flight: config.principal.in_flight,
            turns,
            slot: Slot::of(classified.operation, complete || before_it_goes),
            priority: Priority::of(classified.operation),
            weight: 1,
            always: goes_on_with_upload(classified.operation),
            outlives_client: spec.mutates && complete,
        }
    }
}

fn turns(classified: &Classified, complete: bool, config: BranchTurns) -> Option<Turns<'_>> {
    let kind = turn::kind(classified.operation)?;
    let wanted = match config {
        BranchTurns::Serialize => true,
        BranchTurns::Movers => kind == Kind::Moves,
        BranchTurns::Off => false,
    };
    let mut on: Vec<_> = match kind {
        _ if !wanted => return None,
        Kind::Moves => classified.branch().into_iter().collect(),
        Kind::Writes(_) => {
            let subjects = classified.targets.iter().filter(|target| target.role == Role::Subject);
            subjects
                .filter_map(|target| Some((&*target.repository, target.reference.as_deref()?)))
                .collect()
        }
    };
    on.sort_unstable();
    on.dedup();
    on.truncate(BRANCHES_MAX);
    (!on.is_empty()).then_some(Turns {
        kind,
        on,
        at_the_end: !complete && kind != Kind::Moves,
    })
}

/// What a request's share is kept by: its principal's key, or its client's address (of IPv6 the network) where auth named nobody.
pub(super) fn key(context: &Context) -> Arc<str> {
    if let Some(principal) = context.principal() {
        return Arc::clone(&principal.limit_key);
    }
    match context.client().address {
        std::net::IpAddr::V4(address) => address.to_string().into(),
        std::net::IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64").into()
        }
    }
}
