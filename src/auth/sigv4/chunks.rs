//! A body in signed chunks (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`), verified and signed anew as it comes. Pure.
//!
//! `<hex size>;chunk-signature=<64 hex digits>\r\n<data>\r\n`, the last of size 0; each signature is made over the one before, the first over
//! the request's (AWS "Signature calculations for transferring a payload in multiple chunks"). A chunk's new signature stands before its data
//! and needs its hash, so a chunk is held until it is whole: nothing of it goes on that was not verified. Sizes stay as they are written.

use std::collections::VecDeque;

use aws_lc_rs::digest;
use bytes::{Buf, Bytes, BytesMut};

use super::claim::digits;
use super::scope::{EMPTY_SHA256, Hex, Scope, SigningKey, hex, same, text};
use super::time::Stamp;
use crate::exchange::SignatureFault;

/// Signatures that are made one over another.
#[derive(Debug)]
pub(super) struct Chain {
    key: SigningKey,
    /// What stands before the last signature in what is signed.
    before: String,
    last: Hex,
}

impl Chain {
    /// Begins with the signature of the request.
    pub(super) fn new(key: SigningKey, time: &Stamp, scope: &Scope, seed: Hex) -> Self {
        Self {
            key,
            before: format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{scope}\n", time.text()),
            last: seed,
        }
    }

    /// The signature of the next chunk, by its hash.
    fn next(&mut self, hash: &Hex) -> Hex {
        let signed = format!("{}{}\n{EMPTY_SHA256}\n{}", self.before, text(&self.last), text(hash));
        self.last = self.key.sign(&signed);
        self.last
    }
}

/// The longest line before a chunk: 16 digits, the signature, the end of the line.
const LINE_MAX: usize = 16 + SIGNATURE.len() + 64 + 2;
const SIGNATURE: &[u8] = b";chunk-signature=";
const END: &[u8] = b"\r\n";

enum State {
    /// In the line before a chunk.
    Line(BytesMut),
    /// In a chunk: it, how much of it is to come, and what follows it.
    Data(Chunk, usize),
    /// In the end of a chunk's line, of which so much has come.
    End(Chunk, usize),
    /// Behind the last chunk, in the end of its line.
    Last(usize),
}

/// A chunk that is coming.
struct Chunk {
    /// Its size, as it is written.
    size: Bytes,
    signature: Hex,
    hash: digest::Context,
    data: Vec<Bytes>,
}

/// What is to be done before more can be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Take more.
    More,
    /// There is a chunk of this size to come: make room for it, then go on.
    Room(usize),
}

/// The body, half-way.
pub(super) struct Chunks {
    theirs: Chain,
    ours: Chain,
    state: State,
    /// How much data is to come, as the request says.
    left: u64,
    max: usize,
    /// Whether the end of the last chunk's line waits for the next chunk: so a body that is cut short never ends well.
    unended: bool,
    ready: VecDeque<Bytes>,
}

impl Chunks {
    /// A body of `length` bytes of data, in chunks of at most `max`, verified by one chain and signed by the other.
    pub(super) fn new(theirs: Chain, ours: Chain, length: u64, max: usize) -> Self {
        Self {
            theirs,
            ours,
            state: State::Line(BytesMut::new()),
            left: length,
            max,
            unended: false,
            ready: VecDeque::new(),
        }
    }

    /// What is ready to go on.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Takes of `piece` what it can.
    pub(super) fn take(&mut self, piece: &mut Bytes) -> Result<Next, SignatureFault> {
        while piece.has_remaining() {
            match &mut self.state {
                State::Line(line) => {
                    let ends = piece.iter().position(|byte| *byte == b'\n');
                    let part = piece.split_to(ends.map_or(piece.len(), |at| at + 1));
                    if line.len() + part.len() > LINE_MAX {
                        return Err(SignatureFault::Incomplete);
                    }
                    line.extend_from_slice(&part);
                    if ends.is_some() {
                        let line = std::mem::take(line).freeze();
                        return self.begin(&line);
                    }
                }
                State::Data(chunk, left) => {
                    let part = piece.split_to(piece.len().min(*left));
                    *left -= part.len();
                    chunk.hash.update(&part);
                    chunk.data.push(part);
                    if *left == 0 {
                        let chunk = self.hold();
                        self.state = State::End(chunk, 0);
                    }
                }
                State::End(_, seen) => {
                    *seen = ended(*seen, piece)?;
                    if *seen == END.len() {
                        let chunk = self.hold();
                        self.finish(chunk)?;
                        self.state = State::Line(BytesMut::new());
                    }
                }
                State::Last(seen) => {
                    let before = *seen;
                    *seen = ended(before, piece)?;
                    let rest = END.get(before..*seen).unwrap_or_default();
                    self.ready.push_back(Bytes::from_static(rest));
                }
            }
        }
        Ok(Next::More)
    }

    /// Says that no more comes. (A last chunk without the end of its line is whole, to lakeFS too.)
    pub(super) fn end(&self) -> Result<(), SignatureFault> {
        match self.state {
            State::Last(0 | 2) => Ok(()),
            _ => Err(SignatureFault::Incomplete),
        }
    }

    /// Takes the chunk out of its state.
    fn hold(&mut self) -> Chunk {
        match std::mem::replace(&mut self.state, State::Last(0)) {
            State::Data(chunk, _) | State::End(chunk, _) => chunk,
            State::Line(_) | State::Last(_) => Chunk::new(Bytes::new(), [0; 64]),
        }
    }

    /// Reads the line before a chunk.
    fn begin(&mut self, line: &Bytes) -> Result<Next, SignatureFault> {
        let malformed = SignatureFault::Incomplete;
        let line = line
            .strip_suffix(END)
            .map(|whole| line.slice_ref(whole))
            .ok_or(malformed.clone())?;
        let at = line.len().checked_sub(64 + SIGNATURE.len()).ok_or(malformed.clone())?;
        let (size, rest) = line.split_at(at);
        let signature = rest
            .strip_prefix(SIGNATURE)
            .and_then(|rest| digits(str::from_utf8(rest).ok()?));
        let number = str::from_utf8(size)
            .ok()
            .filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let number = number
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .ok_or(malformed.clone())?;
        let chunk = Chunk::new(line.slice_ref(size), signature.ok_or(malformed.clone())?);
        self.left = self.left.checked_sub(number).ok_or(malformed.clone())?;
        if number == 0 {
            if self.left > 0 {
                return Err(malformed);
            }
            self.finish(chunk)?;
            self.state = State::Last(0);
            return Ok(Next::More);
        }
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if number > self.max {
            return Err(SignatureFault::ChunkTooLarge(self.max));
        }
        self.state = State::Data(chunk, number);
        Ok(Next::Room(number))
    }

    /// Verifies a chunk that is whole, and lets it go on under another signature.
    fn finish(&mut self, chunk: Chunk) -> Result<(), SignatureFault> {
        let hash = hex(chunk.hash.finish().as_ref());
        if !same(&self.theirs.next(&hash), &chunk.signature) {
            return Err(SignatureFault::Mismatch);
        }
        let before = if self.unended { END } else { b"" };
        let line = [before, &chunk.size, SIGNATURE, &self.ours.next(&hash), END].concat();
        self.ready.push_back(line.into());
        self.unended = !chunk.data.is_empty();
        self.ready.extend(chunk.data);
        Ok(())
    }
}

impl Chunk {
    fn new(size: Bytes, signature: Hex) -> Self {
        Self {
            size,
            signature,
            hash: digest::Context::new(&digest::SHA256),
            data: Vec::new(),
        }
    }
}

/// Takes as much of the end of a line as is there, after `seen` of it.
fn ended(seen: usize, piece: &mut Bytes) -> Result<usize, SignatureFault> {
    match (END.get(seen), piece.first()) {
        (Some(wanted), Some(byte)) if wanted == byte => {
            piece.advance(1);
            Ok(seen + 1)
        }
        _ => Err(SignatureFault::Incomplete),
    }
}
