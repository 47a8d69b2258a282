//! A request's head, judged line by line as it comes (RFC 9112 2.2, 3, 5, 6). Pure.
//!
//! hyper and lakeFS are more lenient than this, and each in its own way: what they could read differently is refused here.

use http::Method;

use super::authority::{is_host, is_named_host};
use super::fault::Fault;
use super::{Asked, Limits};

/// How the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes; 0 is no body.
    Bytes(u64),
    /// After the last chunk.
    Chunked,
}

/// The first byte of a TLS handshake.
const TLS: u8 = 22;
/// The longest target: what `http::Uri` can hold.
const TARGET_MAX: usize = u16::MAX as usize - 1;

/// A head that is being read. Positions count from its first byte, which the caller presents again until the head is complete.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the line that is being read begins.
    line: usize,
    /// How far its end was looked for.
    looked: usize,
    /// Header lines so far.
    lines: usize,
    version: Option<Version>,
    /// Where the method ends, and the target: both are well-formed then.
    asked: Option<(usize, usize)>,
    has_host: bool,
    length: Option<u64>,
    chunked: bool,
    expects_something_else: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

impl Head {
    /// Whether nothing of a head has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// What it asks for, if its first line, with which `bytes` begin, was well-formed.
    pub(super) fn asked(&self, bytes: &[u8]) -> Option<Asked> {
        let (method, target) = self.asked?;
        Some(Asked {
            method: Method::from_bytes(bytes.get(..method)?).ok()?,
            target: String::from_utf8_lossy(bytes.get(method + 1..target)?).into_owned(),
        })
    }

    /// Reads on in `bytes`. Answers with the head's length and its body's, once it is complete.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<(usize, Length)>, Fault> {
        if bytes.first() == Some(&TLS) {
            return Err(Fault::Bad("this port does not speak TLS: write http:// for https://"));
        }
        loop {
            let rest = bytes.get(self.looked..).unwrap_or_default();
            let Some(distance) = rest.iter().position(|byte| *byte == b'\n') else {
                self.looked = bytes.len();
                return if bytes.len() >= limits.head {
                    Err(Fault::HeadTooLarge)
                } else {
                    Ok(None)
                };
            };
            let end = self.looked + distance;
            if end >= limits.head {
                return Err(Fault::HeadTooLarge);
            }
            let begin = std::mem::replace(&mut self.line, end + 1);
            self.looked = end + 1;
            let line = bytes.get(begin..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r") else {
                return Err(Fault::Bad("a line of the head ends without a carriage return"));
            };
            if self.version.is_none() {
                // An empty line before the request is old clients' habit (RFC 9112 2.2).
                match line.is_empty() {
                    true => return Ok(Some((self.line, Length::Bytes(0)))),
                    false => self.request_line(line)?,
                }
            } else if line.is_empty() {
                return Ok(Some((self.line, self.finish()?)));
            } else {
                self.lines += 1;
                if self.lines > limits.lines {
                    return Err(Fault::HeadTooLarge);
                }
                self.header_line(line)?;
            }
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::Bad(
                "the first line must be METHOD TARGET HTTP/1.1, with one space between",
            ));
        };
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                return Err(Fault::Version);
            }
            _ => return Err(Fault::Bad("the first line must end with HTTP/1.1 or HTTP/1.0")),
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte) && !byte.is_ascii_lowercase()) {
            return Err(Fault::Bad("the method must be an upper-case word"));
        }
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Fault::Method);
        }
        judge_target(method, target)?;
        self.asked = Some((method.len(), method.len() + 1 + target.len()));
        self.version = Some(version);
        Ok(())
    }

    fn header_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Fault::Bad("a header line is folded: write it on one line"));
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(Fault::Bad("a header line has no colon"));
        };
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Fault::Bad(
                "a header name holds a character that it must not (a space before the colon?)",
            ));
        }
        if !is_value(value) {
            return Err(Fault::Bad("a header value holds a control character"));
        }
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let value_begin = 1 + value.iter().skip(1).take_while(|byte| blank(byte)).count();
        let value_end = value.len()
            - value
                .iter()
                .skip(value_begin)
                .rev()
                .take_while(|byte| blank(byte))
                .count();
        let value = value.get(value_begin..value_end).unwrap_or_default();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host_line(value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_something_else |= !value.eq_ignore_ascii_case(b"100-continue");
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length_line(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding_line(value),
            _ => Ok(()),
        }
    }

    fn host_line(&mut self, value: &[u8]) -> Result<(), Fault> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(Fault::Bad("there is more than one Host"));
        }
        match is_host(value) {
            true => Ok(()),
            false => Err(Fault::Bad("Host is no host name")),
        }
    }

    fn length_line(&mut self, value: &[u8]) -> Result<(), Fault> {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        // Go counts in signed numbers.
        let length = std::str::from_utf8(value)
            .ok()
            .and_then(|value| value.parse().ok())
            .filter(|_| digits);
        let Some(length @ 0..=0x7fff_ffff_ffff_ffff) = length else {
            return Err(Fault::Bad("Content-Length is not a number"));
        };
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(Fault::Bad("there is more than one Content-Length")),
        }
    }

    fn coding_line(&mut self, value: &[u8]) -> Result<(), Fault> {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::Coding);
        }
        match std::mem::replace(&mut self.chunked, true) {
            false => Ok(()),
            true => Err(Fault::Bad("there is more than one Transfer-Encoding")),
        }
    }

    /// What only the whole head can tell.
    fn finish(&self) -> Result<Length, Fault> {
        let http11 = self.version == Some(Version::Http11);
        if http11 && !self.has_host {
            return Err(Fault::Bad("an HTTP/1.1 request must have a Host"));
        }
        if self.expects_something_else && http11 {
            return Err(Fault::Expectation);
        }
        match (self.chunked, self.length) {
            (true, _) if !http11 => Err(Fault::Bad("an HTTP/1.0 request cannot have Transfer-Encoding")),
            (true, Some(_)) => Err(Fault::Bad("there are both Content-Length and Transfer-Encoding")),
            (true, None) => Ok(Length::Chunked),
            (false, length) => Ok(Length::Bytes(length.unwrap_or(0))),
        }
    }
}

/// The four forms of RFC 9112 3.2, but that of CONNECT. An absolute target says which host is asked, whatever Host says (3.2.2); its scheme
/// decides nothing, as with lakeFS: before the gateway may stand somebody who ends TLS.
fn judge_target(method: &[u8], target: &[u8]) -> Result<(), Fault> {
    if target.len() > TARGET_MAX {
        return Err(Fault::HeadTooLarge);
    }
    if !is_target(target) {
        return Err(Fault::Bad(
            "the target holds characters that must be percent-encoded (`#`, `<`, `>`, quotes, a non-ASCII character)",
        ));
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
        return Ok(());
    }
    let schemes: [&[u8]; 2] = [b"http://", b"https://"];
    let scheme = schemes.iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return Err(Fault::Bad("the target must begin with `/`"));
    };
    let rest = target.get(scheme.len()..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    match is_named_host(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()) {
        true => Ok(()),
        false => Err(Fault::Bad("the target's host is no host name")),
    }
}

/// RFC 9110 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).is_some_and(|token| *token)
}

const TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated when compiled, and a byte is below 256"
        )]
        {
            token[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
                );
        }
        byte += 1;
    }
    token
};

/// RFC 9110 5.5: no control characters but the tab. Without a branch a byte, so that it runs on many bytes at a time.
fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |fine, byte| fine & is_value_byte(*byte))
}

pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// What `http::Uri` keeps as it is: it would drop a `#` and what follows, which lakeFS would take, and wants some others encoded.
pub(in crate::server) fn is_target(bytes: &[u8]) -> bool {
    let query = bytes.iter().position(|byte| *byte == b'?').unwrap_or(bytes.len());
    let (path, query) = bytes.split_at(query);
    let fine = |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'<' | b'>');
    !bytes.is_empty() && bytes.iter().all(fine) && !path.contains(&b'`') && !query.contains(&b'"')
}
