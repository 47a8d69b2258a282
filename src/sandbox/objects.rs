//! Objects on branches and references: upload, read, list, copy, delete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::Sandboxed;
use super::call::Call;
use super::change::On;
use super::presign::{EXPIRY, Grant};
use super::reply::{Failure, Reply};
use super::repositories::{check_ref, check_repository, page};
use super::store::now;
use super::world::{Entry, Tree};

impl Sandboxed {
    /// What must hold before a body is read: the branch exists, and a condition is one that lakeFS knows.
    pub(super) fn may_upload(&self, call: &Call) -> Result<(), Failure> {
        let on = call.on()?;
        self.repository(on.repository, |repository| {
            let branch = on.branch;
            let found = repository.branches.contains_key(branch);
            if !found {
                return Err(Failure::missing(format!("branch '{branch}' not found")));
            }
            match call.header("if-none-match") {
                Some("*") if repository.view(branch)?.contains_key(call.query.text("path")) => {
                    Err(Failure::new(StatusCode::PRECONDITION_FAILED, "path already exists"))
                }
                Some("*") | None => Ok(()),
                Some(_) => Err(Failure::not_implemented()),
            }
        })
    }

    pub(super) async fn upload_object(&self, call: &Call) -> Result<Reply, Failure> {
        self.may_upload(call)?;
        let (on, path) = (call.on()?, call.query.text("path"));
        let sent = call.header("content-type").unwrap_or("application/octet-stream");
        let (content_type, bytes) = if sent.starts_with("multipart/form-data") {
            form_content(sent, &call.bytes)?
        } else {
            (sent.to_owned(), call.bytes.clone())
        };
        let (address, full) = self.new_address(on)?;
        let stored = self.store.put(&full, bytes).await;
        let stored = stored.map_err(|error| error.during("PutObject"))?;
        let entry = Arc::new(Entry {
            address,
            size: stored.size,
            checksum: stored.etag,
            content_type,
            mtime: stored.mtime,
            metadata: user_metadata(call),
        });
        let force = call.query.flag("force", false);
        if call.header("if-none-match") == Some("*") {
            // Between the check above and here another upload may have come first.
            self.write(on, force, |repository, branch| {
                if repository.view(on.branch)?.contains_key(path) {
                    return Err(Failure::new(StatusCode::PRECONDITION_FAILED, "path already exists"));
                }
                repository.stage(branch, path, Some(Arc::clone(&entry)));
                Ok(())
            })
            .await?;
        } else {
            self.stage(on, force, path, Some(&entry)).await?;
        }
        Ok(Reply::json(StatusCode::CREATED, &entry.stats(path, &full)))
    }

    /// An address for a new object: relative to the repository's storage namespace, and full.
    fn new_address(&self, on: On<'_>) -> Result<(String, String), Failure> {
        let address = format!("data/{}/{}", self.prefix, new_name(now()));
        let full = self.repository(on.repository, |repository| Ok(repository.full_address(&address)))?;
        Ok((address, full))
    }

    /// The bytes from `start` up to `end` of what is stored at a full address.
    pub(super) async fn content(&self, address: &str, start: u64, end: u64) -> Result<Vec<Bytes>, Failure> {
        let stored = self.store.object(address);
        let stored = stored.ok_or_else(|| Failure::new(StatusCode::GONE, "No data"))?;
        let read = self.store.read(&stored, start, end).await;
        read.map_err(|error| error.during("GetObject"))
    }

    /// The entry that a reference shows at the `path` parameter, and its full address.
    fn entry(&self, call: &Call) -> Result<(Arc<Entry>, String), Failure> {
        check_repository(call.segment(0))?;
        check_ref("ref", call.segment(1))?;
        self.repository(call.segment(0), |repository| {
            let view = repository.view(call.segment(1))?;
            let entry = view
                .get(call.query.text("path"))
                .ok_or_else(|| Failure::missing("not found"))?;
            Ok((Arc::clone(entry), repository.full_address(&entry.address)))
        })
    }

    pub(super) async fn get_object(&self, call: &Call) -> Result<Reply, Failure> {
        let (entry, address) = self.entry(call)?;
        let etag = format!("\"{}\"", entry.checksum);
        if call.query.flag("presign", false) {
            let name = call.query.text("path").rsplit('/').next().unwrap_or_default();
            let url = self.store.presign(&self.url, &address, Grant::Get(name), now());
            return Ok(Reply::empty(StatusCode::FOUND).with(header::LOCATION, &url));
        }
        if call.header("if-none-match") == Some(etag.as_str()) {
            return Ok(Reply::empty(StatusCode::NOT_MODIFIED));
        }
        let heading = |reply: Reply| {
            describe(reply, &entry)
                .with_static(header::CONTENT_DISPOSITION, "attachment")
                .with_static(header::CONTENT_SECURITY_POLICY, "default-src 'none'")
                .with_static(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                .with_static(header::X_FRAME_OPTIONS, "SAMEORIGIN")
        };
        let (status, start, end, content_range) = match range(call, &entry)? {
            Range::Whole => (StatusCode::OK, 0, entry.size, None),
            Range::Part(start, end, told) => (StatusCode::PARTIAL_CONTENT, start, end, Some(told)),
            Range::Nothing(told) => {
                let message = "Requested Range Not Satisfiable";
                let refused = heading(Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, message).into());
                let refused = refused.with_static(header::CONTENT_TYPE, "application/json");
                return Ok(refused.maybe(header::CONTENT_RANGE, told));
            }
        };
        let mut reply = heading(Reply::empty(status)).maybe(header::CONTENT_RANGE, content_range);
        reply.body = self.content(&address, start, end).await?.into();
        Ok(reply)
    }

    pub(super) fn head_object(&self, call: &Call) -> Result<Reply, Failure> {
        let entry = match self.entry(call) {
            Ok((entry, _)) => entry,
            // lakeFS writes no body, so no headers of one either.
            Err(failure) => return Ok(Reply::empty(failure.parts().0)),
        };
        let (status, length, content_range) = match range(call, &entry)? {
            Range::Whole => (StatusCode::OK, Some(entry.size), None),
            Range::Part(start, end, told) => (StatusCode::PARTIAL_CONTENT, Some(end - start), Some(told)),
            Range::Nothing(_) => (StatusCode::RANGE_NOT_SATISFIABLE, None, None),
        };
        let reply = describe(Reply::empty(status), &entry).with_static(header::ACCEPT_RANGES, "bytes");
        let reply = reply.maybe(header::CONTENT_LENGTH, length.map(|length| length.to_string()));
        Ok(reply.maybe(header::CONTENT_RANGE, content_range))
    }

    pub(super) fn stat_object(&self, call: &Call) -> Result<Reply, Failure> {
        let (entry, address) = self.entry(call)?;
        let path = call.query.text("path");
        let mut stats = entry.stats(path, &address);
        self.polish(call, &mut stats, path, &address);
        Ok(Reply::ok(&stats))
    }

    /// What the query parameters `user_metadata` and `presign` change of an object's description.
    fn polish(&self, call: &Call, stats: &mut Value, path: &str, address: &str) {
        let Some(stats) = stats.as_object_mut() else { return };
        if !call.query.flag("user_metadata", true) {
            stats.insert("metadata".to_owned(), json!({}));
        }
        if call.query.flag("presign", false) {
            let name = path.rsplit('/').next().unwrap_or_default();
            let url = self.store.presign(&self.url, address, Grant::Get(name), now());
            stats.insert("physical_address".to_owned(), url.into());
            stats.insert("physical_address_expiry".to_owned(), (now() + EXPIRY).into());
        }
    }

    pub(super) fn list_objects(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        check_ref("ref", call.segment(1))?;
        let (delimiter, prefix) = (call.query.text("delimiter"), call.query.text("prefix"));
        self.repository(call.segment(0), |repository| {
            let view = repository.view(call.segment(1))?;
            let mut listed: BTreeMap<String, Value> = BTreeMap::new();
            for (path, entry) in view.range(Arc::<str>::from(prefix)..).take_while(|(path, _)| path.starts_with(prefix)) {
                let rest = path.strip_prefix(prefix).unwrap_or_default();
                if let Some((head, _)) = rest.split_once(delimiter).filter(|_| !delimiter.is_empty()) {
                    let folder = format!("{prefix}{head}{delimiter}");
                    let value = json!({ "checksum": "", "mtime": 0, "path": folder, "path_type": "common_prefix", "physical_address": "" });
                    listed.insert(folder, value);
                    continue;
                }
                let address = repository.full_address(&entry.address);
                let mut stats = entry.stats(path, &address);
                self.polish(call, &mut stats, path, &address);
                if let Some(stats) = stats.as_object_mut()
                    && (entry.metadata.is_empty() || !call.query.flag("user_metadata", true))
                {
                    stats.remove("metadata");
                }
                listed.insert(path.to_string(), stats);
            }
            Ok(page(&call.query, listed.into_iter()))
        })
    }

    pub(super) async fn delete_object(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        self.stage(on, call.query.flag("force", false), call.query.text("path"), None)
            .await?;
        Ok(Reply::no_content())
    }

    /// Deletes many: always 200, with the refusals in the body.
    pub(super) async fn delete_objects(&self, call: &Call) -> Result<Reply, Failure> {
        let on = call.on()?;
        let paths: Vec<&str> = call
            .json
            .get("paths")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if paths.len() > 1000 {
            return Err(Failure::bad("request size exceeded, max paths is set to 1000"));
        }
        let done = self
            .write(on, call.query.flag("force", false), |repository, branch| {
                paths.iter().for_each(|path| repository.stage(branch, path, None));
                Ok(())
            })
            .await;
        let errors: Vec<Value> = match done {
            Ok(()) | Err(Failure::Refused(StatusCode::NOT_FOUND, _)) => Vec::new(),
            Err(failure) => {
                let (status, message) = match failure.parts() {
                    (StatusCode::FORBIDDEN, message) => (403, message),
                    (StatusCode::TOO_MANY_REQUESTS, _) => (500, "safe branch write: too many tries"),
                    (_, message) => (500, message),
                };
                paths
                    .iter()
                    .map(|path| json!({ "message": message, "path": path, "status_code": status }))
                    .collect()
            }
        };
        Ok(Reply::ok(&json!({ "errors": errors })))
    }

    pub(super) async fn copy_object(&self, call: &Call) -> Result<Reply, Failure> {
        let (on, path) = (call.on()?, call.query.text("dest_path"));
        let source = Some(call.text("src_ref"))
            .filter(|source| !source.is_empty())
            .unwrap_or(on.branch);
        let (entry, address) = self.repository(on.repository, |repository| {
            let view = repository.view(source)?;
            let entry = view
                .get(call.text("src_path"))
                .ok_or_else(|| Failure::missing("not found"))?;
            Ok((Arc::clone(entry), repository.full_address(&entry.address)))
        })?;
        let (copied, full) = self.new_address(on)?;
        let bytes = self.content(&address, 0, entry.size).await?.concat();
        let stored = self.store.put(&full, bytes.into()).await;
        stored.map_err(|error| error.during("CopyObject"))?;
        let copied = Arc::new(Entry {
            address: copied,
            mtime: now(),
            ..Entry::clone(&entry)
        });
        self.stage(on, call.flag("force"), path, Some(&copied)).await?;
        Ok(Reply::json(StatusCode::CREATED, &copied.stats(path, &full)))
    }

    pub(super) async fn update_user_metadata(&self, call: &Call) -> Result<Reply, Failure> {
        let (on, path) = (call.on()?, call.query.text("path"));
        self.write(on, false, |repository, branch| {
            let view: Arc<Tree> = repository.view(on.branch)?;
            let entry = view.get(path).ok_or_else(|| {
                let context = format!("update user metadata on {}/{}/{path}", on.repository, on.branch);
                Failure::missing("not found").within(context)
            })?;
            let changed = Entry {
                metadata: call.metadata("/set"),
                ..Entry::clone(entry)
            };
            repository.stage(branch, path, Some(Arc::new(changed)));
            Ok(())
        })
        .await?;
        Ok(Reply::no_content())
    }
}

/// A new name in the store: 20 characters that begin with the time, as lakeFS's own do.
pub(super) fn new_name(now: i64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let time = u128::from(u64::try_from(now).unwrap_or(0) & 0xffff_ffff);
    let mut bits = time << 68 | uuid::Uuid::new_v4().as_u128() >> 60;
    let mut name = [b'0'; 20];
    for digit in name.iter_mut().rev() {
        *digit = DIGITS.get((bits & 31) as usize).copied().unwrap_or(b'0');
        bits >>= 5;
    }
    String::from_utf8_lossy(&name).into_owned()
}

/// The second that a name of [`new_name`] begins with.
pub(super) fn name_time(name: &str) -> Option<i64> {
    let bits = name
        .chars()
        .try_fold(0_u128, |bits, c| Some(bits << 5 | u128::from(c.to_digit(32)?)))?;
    i64::try_from(bits >> 68 & 0xffff_ffff)
        .ok()
        .filter(|_| name.len() == 20)
}

/// `x-lakefs-meta-*` headers.
fn user_metadata(call: &Call) -> BTreeMap<String, String> {
    let named = call.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("x-lakefs-meta-")?;
        Some((name.to_owned(), value.to_str().ok()?.to_owned()))
    });
    named.collect()
}

fn describe(reply: Reply, entry: &Entry) -> Reply {
    reply
        .with(header::ETAG, &format!("\"{}\"", entry.checksum))
        .with(
            header::LAST_MODIFIED,
            &httpdate::fmt_http_date(
                std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.mtime).unwrap_or(0)),
            ),
        )
        .with(header::CONTENT_TYPE, &entry.content_type)
        .with_static(header::CACHE_CONTROL, "no-store, must-revalidate")
        .with_static(HeaderName::from_static("expires"), "0")
}

/// What a range must look like, by lakeFS's schema.
pub(super) const RANGE: &str = r"^bytes=((\d*-\d*,? ?)+)$";

/// What of an object is asked for.
enum Range {
    Whole,
    /// From, up to but without, and the `Content-Range` that says so.
    Part(u64, u64, String),
    /// Not satisfiable, and the `Content-Range` to say so.
    Nothing(Option<String>),
}

fn range(call: &Call, entry: &Entry) -> Result<Range, Failure> {
    let Some(text) = call.header("range") else {
        return Ok(Range::Whole);
    };
    let parts: Option<Vec<&str>> = text
        .strip_prefix("bytes=")
        .map(|list| list.split(',').map(str::trim).collect());
    let digits = |part: &&str| part.contains('-') && part.chars().all(|c| c.is_ascii_digit() || c == '-');
    let Some(parts) = parts.filter(|parts| parts.iter().all(digits)) else {
        let quoted = RANGE.replace('\\', "\\\\");
        return Err(Failure::Invalid(format!(
            "parameter \"Range\" in header has an error: string doesn't match the regular expression \"{RANGE}\"\nSchema:\n  {{\n    \"pattern\": \"{quoted}\",\n    \"type\": \"string\"\n  }}\n\nValue:\n  \"{text}\"\n"
        )));
    };
    let [one] = parts.as_slice() else {
        return Ok(Range::Nothing(None));
    };
    let size = entry.size;
    let beyond = || Range::Nothing(Some(format!("bytes */{size}")));
    let part = |start: u64, end: u64| Range::Part(start, end, format!("bytes {start}-{}/{size}", end - 1));
    let (first, last) = one.split_once('-').unwrap_or_default();
    Ok(match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
        (None, Some(last)) if first.is_empty() && last > 0 && size > 0 => part(size.saturating_sub(last), size),
        (Some(first), None) if last.is_empty() && first < size => part(first, size),
        (Some(first), Some(last)) if first <= last && first < size => part(first, size.min(last.saturating_add(1))),
        (Some(first), Some(last)) if first > last => Range::Nothing(None),
        (None, None) if first.is_empty() && last.is_empty() => Range::Nothing(None),
        _ => beyond(),
    })
}

/// The field `content` of a form, and its content type.
fn form_content(content_type: &str, body: &Bytes) -> Result<(String, Bytes), Failure> {
    let boundary = content_type
        .split("boundary=")
        .nth(1)
        .map(|rest| rest.split(';').next().unwrap_or_default().trim_matches('"'));
    let boundary = boundary.ok_or_else(|| Failure::internal("no multipart boundary param in Content-Type"))?;
    let delimiter = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| {
        let rest = body.get(from..)?;
        rest.windows(what.len().max(1))
            .position(|window| window == what)
            .map(|at| from + at)
    };
    let mut at = find(0, delimiter.as_bytes()).unwrap_or(body.len());
    while let Some(head) = find(at, b"\r\n") {
        let Some(content) = find(head, b"\r\n\r\n") else { break };
        let Some(end) = find(content, format!("\r\n{delimiter}").as_bytes()) else {
            return Err(Failure::internal("unexpected EOF"));
        };
        let fields = String::from_utf8_lossy(body.get(head..content).unwrap_or_default()).into_owned();
        let field = |name: &str| {
            fields.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let disposition = field("content-disposition").unwrap_or_default();
        if disposition
            .split(';')
            .any(|part| matches!(part.trim(), "name=\"content\"" | "name=content"))
        {
            return Ok((field("content-type").unwrap_or_default(), body.slice(content + 4..end)));
        }
        at = end + 2;
    }
    Err(Failure::internal(
        "multipart upload missing key 'content': http: no such file",
    ))
}
