//! The object store behind the sandbox: bytes in memory or in files, multipart uploads, with SeaweedFS's manners. Presigned addresses
//! are in `presign.rs`; what lakeFS says about all this is in `objects.rs` and `uploads.rs`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::reply::{Failure, Reply};
use super::world::to_hex;

/// S3's least size of a part that is not the last.
const MIN_PART: u64 = 5 << 20;
/// Uploads that are remembered, ended ones too.
const MAX_UPLOADS: usize = 100_000;

/// Where bytes are kept.
#[derive(Debug)]
pub(super) struct Store {
    dir: Option<PathBuf>,
    pub(super) key: hmac::Key,
    limit: u64,
    index: Mutex<Index>,
    memory: Mutex<HashMap<String, Bytes>>,
}

/// What the store knows of its bytes; part of the snapshot on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// Objects by full address.
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    bytes: u64,
}

/// A stored object or part: where its bytes are, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Object {
    chunks: Vec<(String, u64)>,
    pub(super) size: u64,
    /// MD5 in hex; of the parts' MD5s, with `-N` behind it, for an object of N parts.
    pub(super) etag: String,
    pub(super) mtime: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    address: String,
    parts: BTreeMap<u32, Object>,
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Ended {
    Completed(Object),
    Aborted,
}

/// An error in S3's words.
#[derive(Debug)]
pub(super) struct S3Error {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
}

const NO_SUCH_UPLOAD: S3Error = S3Error::new(
    StatusCode::NOT_FOUND,
    "NoSuchUpload",
    "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
);
pub(super) const NO_SUCH_KEY: S3Error =
    S3Error::new(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
const INVALID_PART: S3Error = S3Error::new(
    StatusCode::BAD_REQUEST,
    "InvalidPart",
    "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
);
const INVALID_PART_ORDER: S3Error = S3Error::new(
    StatusCode::BAD_REQUEST,
    "InvalidPartOrder",
    "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
);
const TOO_SMALL: S3Error = S3Error::new(
    StatusCode::BAD_REQUEST,
    "EntityTooSmall",
    "Your proposed upload is smaller than the minimum allowed object size.",
);
const FULL: S3Error = S3Error::new(
    StatusCode::INSUFFICIENT_STORAGE,
    "SandboxFull",
    "The sandbox keeps no more bytes: delete repositories, or start it with a larger limit.",
);
const BROKEN: S3Error = S3Error::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "InternalError",
    "The sandbox could not read or write its data folder.",
);

impl S3Error {
    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// As lakeFS passes it on: the AWS library's wording.
    pub(super) fn during(&self, operation: &str) -> Failure {
        let id = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
        let id = id.get(..24).unwrap_or_default();
        let kind = if operation.starts_with("Abort") {
            ""
        } else {
            "api error "
        };
        Failure::internal(format!(
            "operation error S3: {operation}, https response error StatusCode: {}, RequestID: {id}, HostID: , {kind}{}: {}",
            self.status.as_u16(),
            self.code,
            self.message
        ))
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::xml(self.status, self.code, self.message)
    }
}

impl Store {
    pub(super) fn open(dir: Option<PathBuf>, secret: &str, limit: u64, index: Index) -> std::io::Result<Self> {
        let dir = dir.map(|dir| dir.join("objects"));
        if let Some(dir) = &dir {
            std::fs::create_dir_all(dir)?;
        }
        Ok(Self {
            dir,
            key: hmac::Key::new(hmac::HMAC_SHA256, format!("store:{secret}").as_bytes()),
            limit,
            index: Mutex::new(index),
            memory: Mutex::default(),
        })
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Bytes>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps bytes under an address.
    pub(super) async fn put(&self, address: &str, bytes: Bytes) -> Result<Object, S3Error> {
        let object = self.keep(bytes).await?;
        let replaced = self.index().objects.insert(address.to_owned(), object.clone());
        self.forget(replaced).await;
        Ok(object)
    }

    pub(super) fn object(&self, address: &str) -> Option<Object> {
        self.index().objects.get(address).cloned()
    }

    /// The bytes from `start` up to `end` of an object.
    pub(super) async fn read(&self, object: &Object, start: u64, end: u64) -> Result<Vec<Bytes>, S3Error> {
        let (mut found, mut at) = (Vec::new(), 0);
        for (chunk, size) in &object.chunks {
            let (first, last) = (start.clamp(at, at + size) - at, end.clamp(at, at + size) - at);
            at += size;
            if first >= last {
                continue;
            }
            let bytes = match &self.dir {
                Some(dir) => tokio::fs::read(dir.join(chunk)).await.map_err(|_| BROKEN)?.into(),
                None => self.memory().get(chunk).cloned().ok_or(BROKEN)?,
            };
            let (first, last) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
            if last > bytes.len() {
                return Err(BROKEN);
            }
            found.push(bytes.slice(first..last));
        }
        Ok(found)
    }

    /// Forgets all objects whose address begins with `prefix`, and uploads to there.
    pub(super) async fn clear(&self, prefix: &str) {
        let mut gone = Vec::new();
        {
            let mut index = self.index();
            let below: Vec<String> = index
                .objects
                .keys()
                .filter(|key| key.starts_with(prefix))
                .cloned()
                .collect();
            gone.extend(below.iter().filter_map(|address| index.objects.remove(address)));
            index.uploads.retain(|_, upload| !upload.address.starts_with(prefix));
        }
        self.forget(gone).await;
    }

    pub(super) fn create_upload(&self, address: &str) -> Result<String, S3Error> {
        let mut index = self.index();
        if index.uploads.len() >= MAX_UPLOADS {
            return Err(FULL);
        }
        // As SeaweedFS makes them: a hash of the key, and a random tail.
        let hash = to_hex(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, address.as_bytes()).as_ref());
        let id = format!("{hash}_{}", uuid::Uuid::new_v4().simple());
        let upload = Upload {
            address: address.to_owned(),
            parts: BTreeMap::new(),
            ended: None,
        };
        index.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// Keeps a part; answers its ETag without quotes.
    pub(super) async fn put_part(
        &self,
        address: &str,
        upload: &str,
        number: u32,
        bytes: Bytes,
    ) -> Result<String, S3Error> {
        self.index().open(upload, address)?;
        let part = self.keep(bytes).await?;
        let (etag, replaced) = {
            let mut index = self.index();
            match index.open(upload, address) {
                Ok(open) => (Ok(part.etag.clone()), open.parts.insert(number, part)),
                Err(error) => (Err(error), Some(part)),
            }
        };
        self.forget(replaced).await;
        etag
    }

    /// Puts the named parts together. Repeated, it answers the same again, as SeaweedFS does.
    pub(super) async fn complete(
        &self,
        address: &str,
        upload: &str,
        wanted: &[(u32, String)],
        now: i64,
    ) -> Result<Object, S3Error> {
        let (object, unused) = {
            let mut index = self.index();
            let upload = index.uploads.get_mut(upload).filter(|upload| upload.address == address);
            let upload = upload.ok_or(NO_SUCH_UPLOAD)?;
            match &upload.ended {
                Some(Ended::Completed(object)) => return Ok(object.clone()),
                Some(Ended::Aborted) => return Err(NO_SUCH_UPLOAD),
                None => {}
            }
            let object = assemble(&upload.parts, wanted, now)?;
            upload.ended = Some(Ended::Completed(object.clone()));
            let mut unused = std::mem::take(&mut upload.parts);
            unused.retain(|number, _| !wanted.iter().any(|(wanted, _)| wanted == number));
            index.objects.insert(address.to_owned(), object.clone());
            (object, unused)
        };
        self.forget(unused.into_values()).await;
        Ok(object)
    }

    /// Drops the parts. Repeated, or after a complete, it does nothing and says so to nobody, as SeaweedFS does.
    pub(super) async fn abort(&self, address: &str, upload: &str) -> Result<(), S3Error> {
        let parts = {
            let mut index = self.index();
            let upload = index.uploads.get_mut(upload).filter(|upload| upload.address == address);
            let upload = upload.ok_or(NO_SUCH_UPLOAD)?;
            if upload.ended.is_some() {
                return Ok(());
            }
            upload.ended = Some(Ended::Aborted);
            std::mem::take(&mut upload.parts)
        };
        self.forget(parts.into_values()).await;
        Ok(())
    }

    async fn keep(&self, bytes: Bytes) -> Result<Object, S3Error> {
        let (chunk, size) = (uuid::Uuid::new_v4().simple().to_string(), bytes.len() as u64);
        {
            let mut index = self.index();
            if index.bytes + size > self.limit {
                return Err(FULL);
            }
            index.bytes += size;
        }
        let hashed = bytes.clone();
        let etag = tokio::task::spawn_blocking(move || format!("{:x}", md5::compute(&hashed))).await;
        let etag = etag.map_err(|_| BROKEN)?;
        match &self.dir {
            Some(dir) => tokio::fs::write(dir.join(&chunk), &bytes).await.map_err(|_| BROKEN)?,
            None => drop(self.memory().insert(chunk.clone(), bytes)),
        }
        Ok(Object {
            chunks: vec![(chunk, size)],
            size,
            etag,
            mtime: now(),
        })
    }

    async fn forget(&self, objects: impl IntoIterator<Item = Object>) {
        for (chunk, size) in objects.into_iter().flat_map(|object| object.chunks) {
            {
                let mut index = self.index();
                index.bytes = index.bytes.saturating_sub(size);
            }
            match &self.dir {
                // What cannot be removed only takes space.
                Some(dir) => drop(tokio::fs::remove_file(dir.join(chunk)).await),
                None => drop(self.memory().remove(&chunk)),
            }
        }
    }
}

impl Index {
    fn open(&mut self, upload: &str, address: &str) -> Result<&mut Upload, S3Error> {
        let upload = self.uploads.get_mut(upload);
        upload
            .filter(|upload| upload.address == address && upload.ended.is_none())
            .ok_or(NO_SUCH_UPLOAD)
    }
}

fn assemble(parts: &BTreeMap<u32, Object>, wanted: &[(u32, String)], now: i64) -> Result<Object, S3Error> {
    let (mut chunks, mut sums) = (Vec::new(), Vec::new());
    if !wanted.is_sorted_by(|one, next| one.0 < next.0) {
        return Err(INVALID_PART_ORDER);
    }
    for (at, (number, etag)) in wanted.iter().enumerate() {
        let part = parts
            .get(number)
            .filter(|part| part.etag == etag.trim_matches('"'))
            .ok_or(INVALID_PART)?;
        if part.size < MIN_PART && at + 1 < wanted.len() {
            return Err(TOO_SMALL);
        }
        chunks.extend(part.chunks.iter().cloned());
        sums.extend(from_hex(&part.etag));
    }
    Ok(Object {
        size: chunks.iter().map(|(_, size)| size).sum(),
        chunks,
        etag: format!("{:x}-{}", md5::compute(&sums), wanted.len()),
        mtime: now,
    })
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .filter_map(|d| u8::try_from(d).ok())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    now_ns() / 1_000_000_000
}

/// Nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
