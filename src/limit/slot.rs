//! Slots: how much is on its way to lakeFS at a time, all principals together.
//!
//! A slot for a request is given back when lakeFS's answer begins: its work is done by then, and a client that reads slowly must not
//! hold it. A stream counts in a number of its own and is given back with the answer's last byte, because moving bytes is its work.

use std::sync::Arc;

use super::door::Door;
use crate::config::UpstreamLimit;
use crate::lakefs::Operation;

/// What a request takes of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// One of `upstream.in_flight`.
    Request,
    /// One of `upstream.streams`.
    Stream,
    /// None: a health check must be answered even by a gateway that is full.
    None,
}

impl Slot {
    /// `complete` tells whether the request's body is all here already: one that is still coming takes as long as its client likes.
    pub(super) fn of(operation: Operation, complete: bool) -> Self {
        match operation {
            Operation::Health | Operation::HealthCheck => Self::None,
            Operation::GetObject | Operation::GetObjectsArchive | Operation::S3GetObject => Self::Stream,
            _ if complete => Self::Request,
            _ => Self::Stream,
        }
    }

    /// Its name in `explain`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Stream => "stream",
            Self::None => "none",
        }
    }
}

/// The slots of the upstream.
#[derive(Debug)]
pub(super) struct Slots {
    requests: Arc<Door>,
    streams: Arc<Door>,
}

impl Slots {
    pub(super) fn new(limit: &UpstreamLimit) -> Self {
        Self {
            requests: Door::new(limit.in_flight),
            streams: Door::new(limit.streams),
        }
    }

    pub(super) fn resize(&self, limit: &UpstreamLimit) {
        self.requests.resize(limit.in_flight);
        self.streams.resize(limit.streams);
    }

    pub(super) fn door(&self, slot: Slot) -> Option<&Arc<Door>> {
        match slot {
            Slot::Request => Some(&self.requests),
            Slot::Stream => Some(&self.streams),
            Slot::None => None,
        }
    }
}
