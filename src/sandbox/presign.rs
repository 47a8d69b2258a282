//! Presigned addresses: `/_store/BUCKET/KEY?X-Amz-...` on the sandbox's own address, used by clients as they would use S3's.
//! The signature is an HMAC of the sandbox's own, not SigV4.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::call::Query;
use super::reply::Reply;
use super::route::{Plus, unescape};
use super::store::{NO_SUCH_KEY, Store};
use super::world::to_hex;

/// Where the store answers.
pub(super) const PREFIX: &str = "/_store/";
/// How long a presigned address holds, in seconds (`blockstore.s3.pre_signed_expiry`).
pub(super) const EXPIRY: i64 = 900;
/// What AWS leaves as it is in a value.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for a path.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// What an address allows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grant<'a> {
    /// Reads the object, under this file name.
    Get(&'a str),
    Put,
    Part {
        upload: &'a str,
        number: u32,
    },
}

impl Store {
    /// A presigned address below `base` for the object at `address` (`s3://BUCKET/KEY`).
    pub(super) fn presign(&self, base: &str, address: &str, grant: Grant<'_>, now: i64) -> String {
        let key = utf8_percent_encode(strip_scheme(address), PATH);
        let scope = date(now);
        let day: String = scope.chars().take(8).collect();
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=SANDBOX%2F{day}%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date={scope}&X-Amz-Expires={EXPIRY}&X-Amz-SignedHeaders=host"
        );
        let method = match grant {
            Grant::Get(name) => {
                let disposition = format!("attachment; filename={name}");
                query += &format!(
                    "&response-content-disposition={}&x-id=GetObject",
                    utf8_percent_encode(&disposition, VALUE)
                );
                Method::GET
            }
            Grant::Put => {
                query += "&x-id=PutObject";
                Method::PUT
            }
            Grant::Part { upload, number } => {
                query += &format!("&partNumber={number}&uploadId={upload}&x-id=UploadPart");
                Method::PUT
            }
        };
        let signature = self.signature(&method, address, &query);
        format!("{base}{PREFIX}{key}?{query}&X-Amz-Signature={signature}")
    }

    fn signature(&self, method: &Method, address: &str, query: &str) -> String {
        to_hex(hmac::sign(&self.key, format!("{method}\n{address}\n{query}").as_bytes()).as_ref())
    }

    /// Answers a request to a presigned address.
    pub(super) async fn serve(&self, method: &Method, path: &str, query: &str, body: Bytes, now: i64) -> Reply {
        let denied = |code, message| Reply::xml(StatusCode::FORBIDDEN, code, message);
        let key = unescape(path.strip_prefix(PREFIX).unwrap_or_default(), Plus::Keep).unwrap_or_default();
        let address = format!("s3://{}", String::from_utf8_lossy(&key));
        let Some((signed, signature)) = query.rsplit_once("&X-Amz-Signature=") else {
            return denied("AccessDenied", "Access Denied.");
        };
        let asked = Query::parse(query);
        match asked.get("X-Amz-Date").and_then(seconds) {
            Some(since) if now - since <= EXPIRY => {}
            _ => return denied("AccessDenied", "Request has expired"),
        }
        let read = if *method == Method::HEAD { &Method::GET } else { method };
        if self.signature(read, &address, signed) != signature {
            return denied(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            );
        }
        let number = asked.get("partNumber").and_then(|number| number.parse().ok());
        let done = match (method, asked.get("uploadId"), number) {
            (&Method::PUT, Some(upload), Some(number)) => self.put_part(&address, upload, number, body).await,
            (&Method::PUT, None, _) => self.put(&address, body).await.map(|object| object.etag),
            _ => return self.get(&address).await,
        };
        match done {
            Ok(etag) => Reply::empty(StatusCode::OK)
                .with(header::ETAG, &format!("\"{etag}\""))
                .anonymous(),
            Err(error) => error.reply(),
        }
    }

    async fn get(&self, address: &str) -> Reply {
        let Some(object) = self.object(address) else {
            return NO_SUCH_KEY.reply();
        };
        match self.read(&object, 0, object.size).await {
            Ok(chunks) => {
                let mut reply = Reply::empty(StatusCode::OK)
                    .with(header::ETAG, &format!("\"{}\"", object.etag))
                    .anonymous();
                reply.body = chunks.into();
                reply.with_static(header::CONTENT_TYPE, "binary/octet-stream")
            }
            Err(error) => error.reply(),
        }
    }
}

fn strip_scheme(address: &str) -> &str {
    address.strip_prefix("s3://").unwrap_or(address)
}

/// `20261124T150307Z`.
fn date(now: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(now).unwrap_or(0));
    humantime::format_rfc3339_seconds(at)
        .to_string()
        .replace(['-', ':'], "")
}

fn seconds(date: &str) -> Option<i64> {
    let part = |from: usize, to: usize| date.get(from..to);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?
    );
    let since = humantime::parse_rfc3339(&text)
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    i64::try_from(since.as_secs()).ok()
}
