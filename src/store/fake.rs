//! For tests: a record, a disk that counts, one that is full.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use uuid::Uuid;

use super::file::Opener;
use super::{Approval, ApprovalState, Embedded, State, Store, StoreError, Timestamp, Upload};

/// A backend that counts what reaches the disk and can have a full one.
#[derive(Debug)]
pub(super) struct Disk<B> {
    pub(super) inner: B,
    pub(super) syncs: Arc<AtomicU64>,
    pub(super) full: Arc<AtomicBool>,
}

impl<B: StorageBackend> StorageBackend for Disk<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.inner.write(offset, data)
    }
}

impl Store {
    /// A store in memory, and the switch that fills its disk.
    pub(crate) fn with_a_disk() -> (Self, Arc<AtomicBool>) {
        let full = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&full);
        let opener = Opener::new("test".into(), move |builder, place| {
            let disk = Disk {
                inner: InMemoryBackend::new(),
                syncs: Arc::default(),
                full: Arc::clone(&switch),
            };
            builder
                .create_with_backend(disk)
                .map_err(|error| StoreError::of(place, error))
        });
        (Self::Memory(Embedded::open(opener).unwrap()), full)
    }
}

impl Upload {
    /// A new record.
    pub(crate) fn sample(repository: &str, state: State) -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: super::Kind::Pmpu,
            parts_uploaded: 0,
            bytes_uploaded: 0,
            repository: repository.into(),
            branch: "main".into(),
            path: "a/b".into(),
            upload_id: None,
            physical_address: None,
            principal: Some("alice".into()),
            auth_method: Some("basic".into()),
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: None,
            parts_asked: Some(3),
            parts_presigned: 0,
            parts_copied: 0,
            parts_done: None,
            bytes: None,
            checksum: None,
            state,
            created: Timestamp(1),
            updated: Timestamp(1),
            completed: None,
            status: None,
            request_id: None,
            upstream_request_id: None,
            error: None,
            sealed_address: None,
            reap: None,
            share: None,
            repeats: 0,
            told: None,
            orphan: None,
        }
    }
}

impl Approval {
    /// A new one.
    pub(crate) fn sample() -> Self {
        Self {
            id: Uuid::now_v7(),
            digest: "d".into(),
            principal: "alice".into(),
            proved: true,
            operation: "hardResetBranch".into(),
            request: "PUT /".into(),
            targets: Vec::new(),
            forced: false,
            body_read: true,
            commit: None,
            rules: Vec::new(),
            state: ApprovalState::Pending,
            request_id: Uuid::nil(),
            asked: Timestamp(1),
            until: Timestamp(9),
            by: None,
            decided: None,
            used_by: None,
        }
    }
}
