//! Who read how much, summed up by the hour: counted where requests end, on whichever thread, and taken from there by `rollup`.
//!
//! Counting is a lock that nobody else wants and a look into a map; it makes something only where somebody reads something new.

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::exchange::Context;
use crate::lakefs::{Classified, Operation, Protocol, Role};
use crate::observe::Finished;

use super::entry;

/// Maps of their own for so many threads; more share.
const SHARDS: usize = 64;
/// The most sums that wait in one of them.
const SHARD_MAX: usize = 4096;
const HOUR_MS: u64 = 3_600_000;

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Of what there is one sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    /// Hours since 1970.
    pub(super) hour: u64,
    pub(super) principal: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) repository: Box<str>,
    pub(super) reference: Box<str>,
    pub(super) operation: Operation,
    /// Whether what was read passes by the gateway: the answer gave an address.
    pub(super) granted: bool,
}

/// A [`Reader`], borrowed.
#[derive(Hash, PartialEq, Eq)]
struct Asking<'a> {
    hour: u64,
    principal: &'a str,
    key: Option<&'a str>,
    repository: &'a str,
    reference: &'a str,
    operation: Operation,
    granted: bool,
}

/// What both have in common: a look into the map makes nothing.
trait Named {
    fn named(&self) -> Asking<'_>;
}

impl Named for Reader {
    fn named(&self) -> Asking<'_> {
        Asking {
            hour: self.hour,
            principal: &self.principal,
            key: self.key.as_deref(),
            repository: &self.repository,
            reference: &self.reference,
            operation: self.operation,
            granted: self.granted,
        }
    }
}

impl Named for Asking<'_> {
    fn named(&self) -> Asking<'_> {
        Asking { ..*self }
    }
}

impl Hash for Reader {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.named().hash(state);
    }
}

impl Hash for dyn Named + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.named().hash(state);
    }
}

impl PartialEq for dyn Named + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.named() == other.named()
    }
}

impl Eq for dyn Named + '_ {}

impl<'a> Borrow<dyn Named + 'a> for Reader {
    fn borrow(&self) -> &(dyn Named + 'a) {
        self
    }
}

pub(super) type Sums = HashMap<Reader, Amount>;

/// The sums that wait to be taken.
#[derive(Debug)]
pub(super) struct Reads {
    shards: Vec<Mutex<Sums>>,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts a request that has ended, if it read something.
    pub(super) fn count(&self, request: &Finished<'_>) {
        let (Some(classified), Some(principal)) = (request.context.classified(), request.context.principal()) else {
            return;
        };
        let Some(granted) = reads(request.context, classified) else {
            return;
        };
        let subject = classified.targets.iter().find(|target| target.role == Role::Subject);
        let Some(subject) = subject else { return };
        let asking = Asking {
            hour: entry::time(request.context).0 / HOUR_MS,
            principal: &principal.name,
            key: principal.key.as_deref(),
            repository: &subject.repository,
            reference: subject.reference.as_deref().unwrap_or_default(),
            operation: classified.operation,
            granted,
        };
        let amount = Amount {
            count: 1,
            bytes: request.sent_bytes,
        };
        let Some(shard) = self.shards.get(shard()) else { return };
        let mut sums = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = sums.get_mut(&asking as &dyn Named) {
            return sum.add(amount);
        }
        let full = sums.len() >= SHARD_MAX;
        let reader = Reader {
            hour: asking.hour,
            principal: Arc::clone(&principal.name),
            key: principal.key.clone(),
            repository: asking.repository.into(),
            reference: asking.reference.into(),
            operation: asking.operation,
            granted,
        };
        let reader = if full { reader.other() } else { reader };
        sums.entry(reader).or_default().add(amount);
    }

    /// All sums, which begin anew.
    pub(super) fn take(&self) -> Sums {
        let mut all = Sums::new();
        for shard in &self.shards {
            let sums = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (reader, amount) in sums {
                all.entry(reader).or_default().add(amount);
            }
        }
        all
    }
}

/// What too many different ones are counted under.
pub(super) const OTHER: &str = "(other)";

impl Reader {
    /// The one that stands for all that do not fit: of the same hour, operation and kind.
    pub(super) fn other(self) -> Self {
        Self {
            principal: OTHER.into(),
            key: None,
            repository: OTHER.into(),
            reference: OTHER.into(),
            ..self
        }
    }
}

/// Whether lakeFS let something be read, and if so, whether past the gateway.
fn reads(context: &Context, classified: &Classified) -> Option<bool> {
    use Operation as O;
    let status = context.facts().upstream_status.filter(|status| *status < 400)?;
    let grants = match classified.operation {
        O::GetPhysicalAddress
        | O::CreatePresignMultipartUpload
        | O::UploadPart
        | O::PresignMultipartCreateRequest
        | O::PresignMultipartPrepareRequest
        | O::PresignMultipartCopyPartRequest => true,
        _ if classified.operation.spec().mutates || classified.protocol == Protocol::Web => return None,
        O::GetObject | O::GetMetadataObject => classified.presign || (300..400).contains(&status) && status != 304,
        _ => classified.presign,
    };
    Some(grants)
}

/// This thread's number among the shards.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            mine.set(Some(number));
            number
        })
    })
}
