//! Where a request's body ends: counted bytes, or chunks read strictly (RFC 9112 7.1). Pure; data is stepped over, never looked at.

use super::fault::Fault;
use super::head::{is_token, is_value_byte};

/// A body that is being stepped over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    /// So many bytes are left.
    Bytes(u64),
    /// Chunks, and where in them.
    Chunks(At),
}

/// A place in chunked coding.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    /// In a chunk's size, after so many digits.
    Size { size: u64, digits: u8 },
    /// In the space that may stand before an extension.
    Space { size: u64 },
    /// In an extension.
    Extension { size: u64 },
    /// Before the line feed of the size's line.
    SizeEnd { size: u64 },
    /// In data.
    Data { left: u64 },
    /// Behind data, before its carriage return.
    DataReturn,
    /// Behind data, before its line feed.
    DataEnd,
    /// At the beginning of a trailer line, or of the empty one.
    Trailer,
    /// In a trailer's name.
    Name,
    /// In a trailer's value.
    Value,
    /// Before the line feed of a trailer line.
    TrailerEnd,
    /// Before the last line feed.
    End,
}

impl Body {
    /// A body in chunks, from its first byte.
    pub(super) const CHUNKS: Self = Self::Chunks(At::Size { size: 0, digits: 0 });

    /// Steps over what of `bytes` belongs to the body: how many, and whether it ends there. What is before a fault may be passed on.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Result<bool, Fault>) {
        match self {
            Self::Bytes(left) => {
                let taken = least(*left, bytes.len());
                *left -= taken as u64;
                (taken, Ok(*left == 0))
            }
            Self::Chunks(at) => at.step(bytes),
        }
    }
}

/// The lesser of a count and a length.
fn least(count: u64, length: usize) -> usize {
    usize::try_from(count).map_or(length, |count| count.min(length))
}

impl At {
    fn step(&mut self, bytes: &[u8]) -> (usize, Result<bool, Fault>) {
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            if let Self::Data { left } = self {
                let taken = least(*left, bytes.len() - position);
                *left -= taken as u64;
                position += taken;
                if *left == 0 {
                    *self = Self::DataReturn;
                }
                continue;
            }
            match self.next(*byte) {
                Some(Self::End) if matches!(self, Self::End) => return (position + 1, Ok(true)),
                Some(next) => *self = next,
                None => return (position, Err(Fault::Bad("the chunks of the body are malformed"))),
            }
            position += 1;
        }
        (position, Ok(false))
    }

    /// The place behind one byte that is not data; nothing if the byte must not stand there.
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(byte).to_digit(16)?);
                // Fifteen digits are more than any body has, and cannot overflow.
                (digits < 15).then_some(Self::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                })
            }
            (Self::Size { digits: 0, .. }, _) => None,
            (Self::Size { size, .. } | Self::Space { size }, b';') => Some(Self::Extension { size }),
            (Self::Size { size, .. } | Self::Space { size }, b' ' | b'\t') => Some(Self::Space { size }),
            (Self::Size { size, .. } | Self::Extension { size }, b'\r') => Some(Self::SizeEnd { size }),
            (Self::Extension { .. }, _) => is_value_byte(byte).then_some(self),
            (Self::SizeEnd { size: 0 }, b'\n') => Some(Self::Trailer),
            (Self::SizeEnd { size }, b'\n') => Some(Self::Data { left: size }),
            (Self::DataReturn, b'\r') => Some(Self::DataEnd),
            (Self::DataEnd, b'\n') => Some(Self::Size { size: 0, digits: 0 }),
            (Self::Trailer, b'\r') | (Self::End, b'\n') => Some(Self::End),
            (Self::Name, b':') => Some(Self::Value),
            (Self::Trailer | Self::Name, _) => is_token(byte).then_some(Self::Name),
            (Self::Value, b'\r') => Some(Self::TrailerEnd),
            (Self::Value, _) => is_value_byte(byte).then_some(self),
            (Self::TrailerEnd, b'\n') => Some(Self::Trailer),
            _ => None,
        }
    }
}
