//! Signed chunks: however they arrive they are the same, and no part of one can be changed.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::auth::sigv4::chunks::Next;
use crate::auth::sigv4::scope::{Hex, sha256};

const SEED: Hex = [b'5'; 64];

fn scope() -> Scope {
    Scope {
        day: "20261130".into(),
        region: "us-east-1".into(),
        service: "s3".into(),
    }
}

fn chain(secret: &str) -> Chain {
    Chain::new(scope().key(secret), &time(), &scope(), SEED)
}

fn time() -> Stamp {
    Stamp::parse("20261130T120000Z").unwrap()
}

/// As a client writes it: written anew for the tests, from the documentation.
fn written(secret: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let (key, mut last, mut body) = (scope().key(secret), SEED, Vec::new());
    for piece in pieces.iter().chain([&&b""[..]]) {
        let signed = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n20261130T120000Z\n20261130/us-east-1/s3/aws4_request\n{}\n{}\n{}",
            text(&last),
            text(&sha256(b"")),
            text(&sha256(piece))
        );
        last = key.sign(&signed);
        body.extend(format!("{:X};chunk-signature={}\r\n", piece.len(), text(&last)).bytes());
        body.extend(piece.iter().chain(b"\r\n"));
    }
    body
}

/// What goes on of a body that comes in such parts.
fn passed<'a>(
    length: u64,
    max: usize,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Result<(), SignatureFault>) {
    let mut chunks = Chunks::new(chain("theirs"), chain("ours"), length, max);
    let mut up = Vec::new();
    let run = || {
        for part in parts {
            let mut part = Bytes::copy_from_slice(part);
            while !part.is_empty() {
                if let Next::Room(size) = chunks.take(&mut part)? {
                    assert!(size <= max);
                }
                while let Some(data) = chunks.pop() {
                    up.extend_from_slice(&data);
                }
            }
        }
        chunks.end()
    };
    let outcome = run();
    (up, outcome)
}

proptest! {
    #[test]
    fn however_it_is_cut_on_the_way_it_is_signed_anew(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..5),
        cuts in proptest::collection::vec(1..200_usize, 1..50),
    ) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let (theirs, ours) = (written("theirs", &pieces), written("ours", &pieces));
        let (mut rest, mut parts, mut cuts) = (&theirs[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            parts.push(part);
            rest = after;
        }
        let (up, outcome) = passed(length, 300, parts);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(up, ours);
    }

    #[test]
    fn whatever_byte_is_changed_the_end_never_comes(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 1..4),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let mut body = written("theirs", &pieces);
        let at = at.index(body.len());
        body[at] ^= change;
        // The sizes are read in either case.
        prop_assume!(!(change == 0x20 && body[at].is_ascii_hexdigit() && (body[at] ^ change).is_ascii_hexdigit()));
        let whole = body.len();
        let (up, outcome) = passed(length, 1000, [&body[..]]);
        prop_assert!(outcome.is_err(), "{} of {}", at, whole);
        prop_assert!(up.len() < whole);
    }
}

#[test]
fn a_body_that_is_no_chunks_or_not_all_of_them_never_ends_well() {
    let whole = written("theirs", &[b"hello", b"world"]);
    let refused = |length, max, body: &[u8]| {
        let (up, outcome) = passed(length, max, [body]);
        assert!(up.len() < whole.len(), "{} bytes went on", up.len());
        outcome.unwrap_err()
    };
    for cut in 0..whole.len() - 2 {
        let (up, outcome) = passed(10, 100, [&whole[..cut]]);
        assert_eq!(outcome, Err(SignatureFault::Incomplete), "cut at {cut}");
        assert!(up.len() < cut.max(1), "all of what came went on, cut at {cut}");
    }
    assert_eq!(
        passed(10, 100, [&whole[..whole.len() - 2]]).1,
        Ok(()),
        "lakeFS takes it so too"
    );
    assert_eq!(
        refused(9, 100, &whole),
        SignatureFault::Incomplete,
        "longer than it says"
    );
    assert_eq!(
        refused(11, 100, &whole),
        SignatureFault::Incomplete,
        "shorter than it says"
    );
    assert_eq!(refused(10, 4, &whole), SignatureFault::ChunkTooLarge(4));
    let longer = [&whole[..], b"x"].concat();
    assert_eq!(
        passed(10, 100, [&longer[..]]).1,
        Err(SignatureFault::Incomplete),
        "there is something behind"
    );
    for junk in [
        &b"hello world\r\n"[..],
        b"\r\n",
        b"5\r\nhello\r\n",
        b"5;chunk-signature=00\r\nhello\r\n",
        b"-5;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\nhello\r\n",
        b";chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\n\r\n",
        b"5;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\nhello\r\n",
        b"11111111111111111;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\n",
    ] {
        assert_eq!(
            refused(5, 100, junk),
            SignatureFault::Incomplete,
            "{}",
            String::from_utf8_lossy(junk)
        );
    }
    // Another order, another key, a chunk left out.
    let (one, two) = (written("theirs", &[b"hello"]), written("theirs", &[b"world"]));
    let at = one.len() - 86;
    let swapped = [&two[..at], &one[..at], &whole[2 * at..]].concat();
    assert_eq!(refused(10, 100, &swapped), SignatureFault::Mismatch);
    assert_eq!(
        refused(10, 100, &written("another", &[b"hello", b"world"])),
        SignatureFault::Mismatch
    );
    assert_eq!(
        refused(5, 100, &[&whole[..at], &whole[2 * at..]].concat()),
        SignatureFault::Mismatch
    );
}
