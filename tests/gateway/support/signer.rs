//! An S3 client that signs by hand (AWS Signature Version 4), written from the documentation and apart from what the gateway verifies by.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};

/// A key pair, and where and for when it signs.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// `20060102T150405Z`.
    pub(crate) time: String,
    pub(crate) region: String,
}

/// A request to be signed. Path and query are spelt as they are signed; names of headers are lower-case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How the body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Hashed,
    Unsigned,
    /// In chunks of so many bytes.
    Chunked(usize),
}

impl Signer {
    /// One that signs now.
    pub(crate) fn new(id: &str, secret: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self::at(id, secret, now)
    }

    /// One that signs at this second since 1970.
    pub(crate) fn at(id: &str, secret: &str, unix: u64) -> Self {
        let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + std::time::Duration::from_secs(unix)).to_string();
        Self {
            id: id.into(),
            secret: secret.into(),
            time: date.replace(['-', ':'], ""),
            region: "us-east-1".into(),
        }
    }

    fn day(&self) -> &str {
        self.time.split('T').next().unwrap()
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.day(), self.region)
    }

    fn key(&self) -> hmac::Key {
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{}", self.secret).as_bytes());
        for part in [self.day(), &self.region, "s3", "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        key
    }

    fn signature(&self, request: &Request, signed: &[String], payload: &str) -> String {
        let mut query: Vec<_> = request
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        query.sort();
        let mut canonical = format!("{}\n{}\n{}\n", request.method, request.path, query.join("&"));
        for name in signed {
            let values = request
                .headers
                .iter()
                .filter(|(header, _)| header == name)
                .map(|(_, value)| value.trim());
            writeln!(canonical, "{name}:{}", values.collect::<Vec<_>>().join(",")).unwrap();
        }
        write!(canonical, "\n{}\n{payload}", signed.join(";")).unwrap();
        let hash = sha256(canonical.as_bytes());
        self.sign(&format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", self.time, self.scope()))
    }

    fn sign(&self, text: &str) -> String {
        hex(hmac::sign(&self.key(), text.as_bytes()).as_ref())
    }

    /// Signs by the `Authorization` header.
    pub(crate) fn by_header(&self, mut request: Request, payload: Payload) -> Request {
        let said = match payload {
            Payload::Hashed => sha256(&request.body),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".into(),
            Payload::Chunked(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD".into(),
        };
        request.headers.push(("x-amz-date".into(), self.time.clone()));
        request.headers.push(("x-amz-content-sha256".into(), said.clone()));
        if let Payload::Chunked(_) = payload {
            request.headers.push(("content-encoding".into(), "aws-chunked".into()));
            request
                .headers
                .push(("x-amz-decoded-content-length".into(), request.body.len().to_string()));
        }
        let mut signed: Vec<String> = request.headers.iter().map(|(name, _)| name.clone()).collect();
        signed.sort();
        signed.dedup();
        let signature = self.signature(&request, &signed, &said);
        if let Payload::Chunked(size) = payload {
            request.body = self.chunks(&request.body, size, &signature);
        }
        let (id, scope, signed) = (&self.id, self.scope(), signed.join(";"));
        let line = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}");
        request.headers.push(("authorization".into(), line));
        request
    }

    /// Signs by the query, for so many seconds.
    pub(crate) fn by_query(&self, mut request: Request, expires: u64) -> Request {
        let mut signed: Vec<String> = request.headers.iter().map(|(name, _)| name.clone()).collect();
        signed.sort();
        let credential = format!("{}/{}", self.id, self.scope()).replace('/', "%2F");
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &self.time),
            ("X-Amz-Expires", &expires.to_string()),
            ("X-Amz-SignedHeaders", &signed.join("%3B")),
        ] {
            request.query.push((name.into(), value.into()));
        }
        let signature = self.signature(&request, &signed, "UNSIGNED-PAYLOAD");
        request.query.push(("X-Amz-Signature".into(), signature));
        request
    }

    fn chunks(&self, data: &[u8], size: usize, seed: &str) -> Vec<u8> {
        let (mut last, mut body) = (seed.to_owned(), Vec::new());
        for piece in data.chunks(size).chain([&b""[..]]) {
            let (time, scope, hash) = (&self.time, self.scope(), sha256(piece));
            let nothing = sha256(b"");
            last = self.sign(&format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{scope}\n{last}\n{nothing}\n{hash}"
            ));
            body.extend(format!("{:x};chunk-signature={last}\r\n", piece.len()).bytes());
            body.extend(piece.iter().chain(b"\r\n"));
        }
        body
    }
}

impl Request {
    /// The target as it stands in the request's first line.
    pub(crate) fn target(&self) -> String {
        let pairs: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        match pairs.is_empty() {
            true => self.path.clone(),
            false => format!("{}?{}", self.path, pairs.join("&")),
        }
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target()).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).bytes());
        bytes.extend(&self.body);
        bytes
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
