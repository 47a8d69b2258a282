//! What applies to a request: whose share it uses and of which class, the branch it takes a turn on, its slot. Pure.
//!
//! The layer and `lakegate explain` both ask here.

use std::sync::Arc;

use super::bucket::Rate;
use super::priority::{Priority, goes_on_with_upload};
use super::slot::Slot;
use super::turn::moves_branch;
use crate::config::{BranchTurns, LimitConfig};
use crate::exchange::Context;
use crate::lakefs::{Class, Classified};

/// What applies to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<'a> {
    /// The class whose rate it uses.
    pub class: Class,
    /// The rate of its principal in that class.
    pub rate: Rate,
    /// How many requests of its principal may be on their way.
    pub in_flight: usize,
    /// Repository and branch that it takes a turn on.
    pub turn: Option<(&'a str, &'a str)>,
    /// What it takes of the upstream.
    pub slot: Slot,
    /// How soon it goes among others when the upstream is full.
    pub priority: Priority,
    /// Its principal's part of a full upstream, beside others with theirs.
    pub weight: u32,
    /// Whether it takes a slot at once, full or not: a refusal would throw away the upload that it goes on with.
    pub always: bool,
    /// Whether it goes on when its client leaves: lakeFS would cancel half-done work whose every byte it has.
    pub outlives_client: bool,
}

impl<'a> Plan<'a> {
    /// `complete` tells whether the request's body is all here.
    pub fn of(classified: &'a Classified, complete: bool, config: &LimitConfig) -> Self {
        let spec = classified.operation.spec();
        let in_turn = config.branch == BranchTurns::Serialize && moves_branch(classified.operation);
        Self {
            class: spec.class,
            rate: Rate::of(&config.principal),
            in_flight: config.principal.in_flight,
            turn: classified.branch().filter(|_| in_turn),
            slot: Slot::of(classified.operation, complete),
            priority: Priority::of(classified.operation),
            weight: 1,
            always: goes_on_with_upload(classified.operation),
            outlives_client: spec.mutates && complete,
        }
    }
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
