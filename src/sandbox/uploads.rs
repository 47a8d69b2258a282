//! Presigned uploads: addresses that lakeFS has signed, single and in parts. The bytes go to the store, past the API.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::Sandboxed;
use super::call::Call;
use super::change::On;
use super::objects::{RANGE, name_time, new_name};
use super::presign::{EXPIRY, Grant};
use super::reply::{Failure, Reply, Within as _};
use super::repositories::check_repository;
use super::store::now;
use super::world::Entry;

/// How long a signed address may be used, in seconds (pkg/catalog/catalog.go, `LinkAddressTime`).
const ADDRESS_SECONDS: i64 = 86_400;
const MAX_PARTS: i64 = 10_000;

impl Call {
    fn path(&self) -> &str {
        self.query.text("path")
    }

    /// Repository and branch as given: lakeFS does not check their names here.
    fn onto(&self) -> On<'_> {
        On {
            repository: self.segment(0),
            branch: self.segment(1),
        }
    }
}

impl Sandboxed {
    /// A new address for `path`: relative, `data/../..,SIGNATURE`.
    fn sign_address(&self, on: On<'_>, path: &str) -> String {
        let address = format!("data/{}/{}", self.prefix, new_name(now()));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.address_key(), &signed(on, path, &address)));
        format!("{address},{signature}")
    }

    fn address_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, format!("address:{}", self.config.secret).as_bytes())
    }

    /// Whether the sandbox has signed this relative address for this path, less than a day ago.
    fn verify_address(&self, on: On<'_>, path: &str, address: &str) -> Result<(), Failure> {
        let Some((bare, signature)) = address.rsplit_once(',') else {
            return Err(Failure::bad("address is not signed: link address invalid"));
        };
        let message = signed(on, path, bare);
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            let text = String::from_utf8_lossy(&message).into_owned();
            return Err(Failure::bad(format!(
                "malformed address signature: {text}: link address invalid"
            )));
        };
        if hmac::verify(&self.address_key(), &message, &signature).is_err() {
            return Err(Failure::bad("invalid address signature: invalid address"));
        }
        let created = bare.rsplit('/').next().and_then(name_time).unwrap_or(0);
        if now() - created > ADDRESS_SECONDS {
            return Err(Failure::bad("link address expired"));
        }
        Ok(())
    }

    /// The address of a request's body: relative, and full; refused if it is not below the repository's data, or not signed.
    fn given_address(&self, call: &Call) -> Result<(String, String), Failure> {
        let full = call.text("physical_address").to_owned();
        let namespace = self.repository(call.segment(0), |repository| Ok(repository.full_address("data/")))?;
        let Some(rest) = full.strip_prefix(&namespace) else {
            return Err(Failure::bad(
                "physical address must be relative to the storage namespace",
            ));
        };
        let relative = format!("data/{rest}");
        self.verify_address(call.onto(), call.path(), &relative)?;
        Ok((relative, full))
    }

    pub(super) fn get_physical_address(&self, call: &Call) -> Result<Reply, Failure> {
        let namespace = self.repository(call.segment(0), |repository| Ok(repository.full_address("data/")))?;
        let address = self.sign_address(call.onto(), call.path());
        let full = format!("{}{address}", namespace.trim_end_matches("data/"));
        let mut answer = json!({ "physical_address": full, "presigned_url": null });
        if let Some(answer) = answer.as_object_mut().filter(|_| call.query.flag("presign", false)) {
            let url = self.store.presign(&self.url, &full, Grant::Put, now());
            answer.insert("presigned_url".to_owned(), url.into());
            answer.insert("presigned_url_expiry".to_owned(), (now() + EXPIRY).into());
        }
        Ok(Reply::ok(&answer))
    }

    pub(super) async fn link_physical_address(&self, call: &Call) -> Result<Reply, Failure> {
        let full = call
            .json
            .pointer("/staging/physical_address")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let namespace = self.repository(call.segment(0), |repository| Ok(repository.full_address("data/")))?;
        let address = match full.strip_prefix(&namespace) {
            Some(rest) => {
                let relative = format!("data/{rest}");
                self.verify_address(call.onto(), call.path(), &relative)?;
                relative
            }
            None => full.to_owned(),
        };
        let checksum = call.text("checksum").trim_matches([' ', '"']);
        if checksum.is_empty() {
            return Err(Failure::bad("checksum is required"));
        }
        let entry = Arc::new(Entry {
            address,
            size: call
                .number("size_bytes")
                .and_then(|size| u64::try_from(size).ok())
                .unwrap_or(0),
            checksum: checksum.to_owned(),
            content_type: content_type(call),
            mtime: call.number("mtime").unwrap_or_else(now),
            metadata: call.metadata("/user_metadata"),
        });
        self.stage(call.on()?, call.flag("force"), call.path(), Some(&entry))
            .await?;
        Ok(Reply::ok(&entry.stats(call.path(), full)))
    }

    pub(super) fn create_upload(&self, call: &Call) -> Result<Reply, Failure> {
        check_repository(call.segment(0))?;
        let namespace = self.repository(call.segment(0), |repository| {
            let on = call.on_named("name")?;
            if !repository.branches.contains_key(on.branch) {
                return Err(Failure::missing(format!("branch '{}' not found", on.branch)));
            }
            Ok(repository.full_address("data/"))
        })?;
        let parts = call.query.number("parts").unwrap_or(0);
        if !(0..=MAX_PARTS).contains(&parts) {
            return Err(Failure::bad(format!("parts can be between 0 and {MAX_PARTS}")));
        }
        let address = self.sign_address(call.onto(), call.path());
        let full = format!("{}{address}", namespace.trim_end_matches("data/"));
        let upload = self
            .store
            .create_upload(&full)
            .map_err(|error| error.during("CreateMultipartUpload"))?;
        let mut answer = json!({ "physical_address": full, "upload_id": upload });
        if let Some(answer) = answer.as_object_mut().filter(|_| parts > 0) {
            let numbers = 1..=u32::try_from(parts).unwrap_or(0);
            let urls = numbers.map(|number| {
                let grant = Grant::Part {
                    upload: &upload,
                    number,
                };
                Value::from(self.store.presign(&self.url, &full, grant, now()))
            });
            answer.insert("presigned_urls".to_owned(), urls.collect());
        }
        Ok(Reply::json(StatusCode::CREATED, &answer))
    }

    /// A new address for one part. lakeFS does not ask the store whether the upload exists.
    pub(super) fn upload_part(&self, call: &Call) -> Result<Reply, Failure> {
        let number = part_number(call)?;
        let (_, full) = self.given_address(call)?;
        let grant = Grant::Part {
            upload: call.segment(2),
            number,
        };
        let url = self.store.presign(&self.url, &full, grant, now());
        Ok(Reply::ok(&json!({ "presigned_url": url })))
    }

    pub(super) async fn upload_part_copy(&self, call: &Call) -> Result<Reply, Failure> {
        let number = part_number(call)?;
        let given = |name: &str| {
            call.json
                .pointer(&format!("/copy_source/{name}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (repository, reference, path) = (given("repository"), given("ref"), given("path"));
        self.repository(call.segment(0), |_| Ok(()))?;
        self.repository(repository, |_| Ok(()))?;
        let (_, full) = self.given_address(call)?;
        let source = self.repository(repository, |source| {
            let view = source.view(reference)?;
            let entry = view.get(path).ok_or_else(|| Failure::missing("not found"))?;
            Ok(source.full_address(&entry.address))
        });
        let source = source.within(format!("{repository}/{reference}/{path}"))?;
        let (start, end) = match given("range") {
            "" => (0, u64::MAX),
            range => copied_range(range).ok_or_else(|| {
                Failure::Invalid(format!(
                    "request body has an error: doesn't match schema #/components/schemas/UploadPartCopyFrom: Error at \"/copy_source/range\": string doesn't match the regular expression \"{RANGE}\""
                ))
            })?,
        };
        let bytes = self.content(&source, start, end).await?.concat();
        let etag = self.store.put_part(&full, call.segment(2), number, bytes.into()).await;
        let etag = etag.map_err(|error| error.during("UploadPartCopy"))?;
        Ok(Reply::no_content().with(header::ETAG, &etag))
    }

    pub(super) async fn complete_upload(&self, call: &Call) -> Result<Reply, Failure> {
        self.repository(call.segment(0), |_| Ok(()))?;
        if call.text("physical_address").is_empty() {
            return Err(Failure::bad("physical_address is required"));
        }
        let parts: Vec<(u32, String)> = call
            .json
            .get("parts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(part)
            .collect();
        if parts.is_empty() {
            return Err(Failure::bad("parts are required"));
        }
        let (address, full) = self.given_address(call)?;
        let done = self.store.complete(&full, call.segment(2), &parts, now()).await;
        let object = done.map_err(|error| error.during("CompleteMultipartUpload"))?;
        let entry = Arc::new(Entry {
            address: address.clone(),
            size: object.size,
            checksum: object.etag,
            content_type: content_type(call),
            mtime: object.mtime,
            metadata: call.metadata("/user_metadata"),
        });
        self.stage(call.on()?, false, call.path(), Some(&entry)).await?;
        Ok(Reply::ok(&entry.stats(call.path(), &address)))
    }

    pub(super) async fn abort_upload(&self, call: &Call) -> Result<Reply, Failure> {
        self.repository(call.segment(0), |_| Ok(()))?;
        if call.text("physical_address").is_empty() {
            return Err(Failure::bad("physical_address is required"));
        }
        let (_, full) = self.given_address(call)?;
        let done = self.store.abort(&full, call.segment(2)).await;
        done.map_err(|error| error.during("AbortMultipartUpload"))?;
        Ok(Reply::no_content())
    }
}

/// What the signature of an address covers.
fn signed(on: On<'_>, path: &str, address: &str) -> Vec<u8> {
    json!({ "repository": on.repository, "branch": on.branch, "path": path, "physical_address": address })
        .to_string()
        .into_bytes()
}

fn content_type(call: &Call) -> String {
    Some(call.text("content_type"))
        .filter(|kind| !kind.is_empty())
        .unwrap_or("application/octet-stream")
        .to_owned()
}

fn part(part: &Value) -> (u32, String) {
    let number = part
        .get("part_number")
        .and_then(Value::as_u64)
        .and_then(|number| u32::try_from(number).ok());
    let etag = part.get("etag").and_then(Value::as_str).unwrap_or_default();
    (number.unwrap_or(0), etag.to_owned())
}

fn part_number(call: &Call) -> Result<u32, Failure> {
    let text = call.segment(3);
    let wrong = |what: &str| Failure::Invalid(format!("parameter \"partNumber\" in path has an error: {what}"));
    match text.parse::<i64>() {
        Ok(number @ 1..=MAX_PARTS) => Ok(u32::try_from(number).unwrap_or(1)),
        Ok(..1) => Err(wrong("number must be at least 1")),
        Ok(_) => Err(wrong("number must be at most 10000")),
        Err(_) => Err(wrong(&format!("value {text}: an invalid integer: invalid syntax"))),
    }
}

/// `bytes=FIRST-LAST`, as start and end.
fn copied_range(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1)))
}
