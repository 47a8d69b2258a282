//! The strict reader at the door: follows a client's raw HTTP/1 bytes and says which may be passed on to hyper. Pure.
//!
//! hyper drops a Content-Length beside a Transfer-Encoding, the fragment of a target and more before any layer could see them. So the bytes
//! are judged first: each head whole and strictly, each body only for where it ends. Nothing is copied; a head that is not complete stays
//! with the caller, who presents it again with more behind it.

mod authority;
mod body;
mod fault;
mod head;

pub(super) use authority::{is_host, is_named_host};
use body::Body;
pub(super) use fault::Fault;
pub(super) use head::is_target;
use head::{Head, Length};
use http::Method;

/// What a head may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) head: usize,
    /// Header lines.
    pub(super) lines: usize,
}

/// Where in the stream of requests a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two requests, or before the first.
    Between,
    /// A head has begun.
    Head,
    /// In a body.
    Body,
}

/// What is to be done with the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// So many, from the first, may be passed on. The others are to be presented again, with what follows.
    pub(super) passed: usize,
    /// What is wrong with those behind: nothing more may be passed on then.
    pub(super) fault: Option<Fault>,
}

/// What a head asks for whose first line is well-formed, though the rest is not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: String,
}

/// The reader of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Head),
    Body(Body),
}

impl Framing {
    /// At the beginning of a connection.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Head(Head::default()),
        }
    }

    /// Where it is.
    pub(super) fn phase(&self) -> Phase {
        match &self.state {
            State::Head(head) if head.is_new() => Phase::Between,
            State::Head(_) => Phase::Head,
            State::Body(_) => Phase::Body,
        }
    }

    /// What the head asks for that is being read, if `bytes`, which begin with that head, have it well-formed.
    pub(super) fn asked(&self, bytes: &[u8]) -> Option<Asked> {
        match &self.state {
            State::Head(head) => head.asked(bytes),
            State::Body(_) => None,
        }
    }

    /// Judges `bytes`, which begin behind what was passed last. However a stream is cut into pieces, the judgement is the same.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judgement {
        let mut passed = 0;
        while let Some(rest @ [_, ..]) = bytes.get(passed..) {
            match &mut self.state {
                State::Head(head) => match head.read(rest, &self.limits) {
                    Ok(Some((length, body))) => {
                        passed += length;
                        self.state = match body {
                            Length::Bytes(0) => State::Head(Head::default()),
                            Length::Bytes(length) => State::Body(Body::Bytes(length)),
                            Length::Chunked => State::Body(Body::CHUNKS),
                        };
                    }
                    Ok(None) => break,
                    Err(fault) => {
                        return Judgement {
                            passed,
                            fault: Some(fault),
                        };
                    }
                },
                State::Body(body) => {
                    let (taken, ended) = body.step(rest);
                    passed += taken;
                    match ended {
                        Ok(false) => {}
                        Ok(true) => self.state = State::Head(Head::default()),
                        Err(fault) => {
                            return Judgement {
                                passed,
                                fault: Some(fault),
                            };
                        }
                    }
                }
            }
        }
        Judgement { passed, fault: None }
    }
}

#[cfg(test)]
mod tests;
