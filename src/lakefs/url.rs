//! Paths and queries as Go's `net/url` reads them: what lakeFS binds is what this says, byte for byte. Pure, and free of allocation
//! where nothing is encoded.
//!
//! Names and values are lakeFS's bytes; where they are not UTF-8 each bad sequence is shown as U+FFFD, which no name of a branch,
//! repository or parameter has.

use std::borrow::Cow;

/// The most pairs that Go reads, empty ones included (net/url, `defaultMaxParams`).
const MAX_PAIRS: usize = 10_000;

/// The query of a request target, without the `?`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// A query as it stands in the target.
    pub fn new(raw: Option<&'a str>) -> Self {
        Self(raw.unwrap_or_default())
    }

    /// Whether newer versions of Go drop it whole for its length (`urlmaxqueryparams`), where older ones read it.
    pub(super) fn is_too_long(self) -> bool {
        self.0.bytes().filter(|byte| *byte == b'&').count() >= MAX_PAIRS
    }

    /// Its pairs in order. As in Go (`url.ParseQuery`), a pair that holds a `;` or a broken escape is as if it were not there, `+` is
    /// a space, and a pair without `=` has the empty value.
    pub fn pairs(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.raw()
            .filter_map(|(name, value)| Some((unescape(name)?, unescape(value)?)))
    }

    /// The values of a name, in order.
    pub fn all(self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let named = move |raw: &&str| unescape(raw).is_some_and(|decoded| decoded == name);
        self.raw()
            .filter_map(move |(raw, value)| Some(raw).filter(named).and_then(|_| unescape(value)))
    }

    fn raw(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The first value of a name (Go's `Values.Get`, which says "" for none).
    pub fn first(self, name: &str) -> Option<Cow<'a, str>> {
        self.all(name).next()
    }

    /// Whether there is a pair of that name.
    pub fn has(self, name: &str) -> bool {
        self.first(name).is_some()
    }
}

/// Go's `url.QueryUnescape`: `%XX` and `+`; nothing where an escape is broken.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    Some(text_of(text, decode(text.as_bytes(), true)?))
}

/// Go's decoding of a path, which leaves `+` alone; nothing where an escape is broken, and Go then answers 400 to the whole request.
pub(super) fn unescape_path(text: &str) -> Option<Cow<'_, str>> {
    Some(text_of(text, decode(text.as_bytes(), false)?))
}

/// The path segment that lakeFS binds as a parameter, decoded by its router (if `canonical`, see [`is_canonical`]) and then by
/// oapi-codegen's binder (`url.QueryUnescape`); nothing where that fails, and lakeFS answers 400.
pub(super) fn bind(segment: &str, canonical: bool) -> Option<Cow<'_, str>> {
    if !canonical || !segment.contains('%') {
        return unescape(segment);
    }
    let once = decode(segment.as_bytes(), false)?;
    Some(text_of(segment, Cow::Owned(decode(&once, true)?.into_owned())))
}

/// Percent-decoding as Go does it, of a query (where `+` is a space) or of a path; nothing where an escape is broken.
pub fn decode(text: &[u8], plus: bool) -> Option<Cow<'_, [u8]>> {
    if !text.iter().any(|byte| *byte == b'%' || (plus && *byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'%' => {
                let [high, low, tail @ ..] = rest else { return None };
                decoded.push(hex(*high)? << 4 | hex(*low)?);
                rest = tail;
            }
            b'+' if plus => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
    }
    Some(Cow::Owned(decoded))
}

fn text_of<'a>(whole: &'a str, decoded: Cow<'a, [u8]>) -> Cow<'a, str> {
    match decoded {
        Cow::Borrowed(_) => Cow::Borrowed(whole),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()),
        ),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Whether Go drops the raw form of a path (`URL.RawPath` stays empty): it is exactly what Go would write for the decoded path. Only
/// then does lakeFS's router see the path decoded; the binder behind it decodes once more either way.
pub(super) fn is_canonical(path: &str) -> bool {
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'%' {
            let [
                high @ (b'0'..=b'9' | b'A'..=b'F'),
                low @ (b'0'..=b'9' | b'A'..=b'F'),
                tail @ ..,
            ] = rest
            else {
                return false;
            };
            let decoded = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low);
            if decoded.is_none_or(is_plain) {
                return false;
            }
            rest = tail;
        } else if !is_plain(*byte) {
            return false;
        }
    }
    true
}

/// Whether Go writes a byte of a path unescaped (`shouldEscape` with `encodePath`).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_go_reads_it() {
        let query = Query::new(Some("force=true;x&a=1&&b&f%6Frce=tr%75e&c=%zz&x+y=1+2&a=2&=v"));
        let pairs: Vec<_> = query.pairs().map(|(name, value)| format!("{name}:{value}")).collect();
        assert_eq!(pairs, ["a:1", "b:", "force:true", "x y:1 2", "a:2", ":v"]);
        assert_eq!(query.first("a").as_deref(), Some("1"));
        assert!(query.has("b") && !query.has("c") && !query.has("Force"));
    }

    #[test]
    fn a_query_of_more_pairs_than_go_reads_is_too_long() {
        for (separators, too_long) in [(0, false), (9_999, false), (10_000, true), (60_000, true)] {
            let query = format!("a=b{}", "&".repeat(separators));
            assert_eq!(Query::new(Some(&query)).is_too_long(), too_long, "{separators}");
        }
    }

    /// Live: names bind plain, encoded once, or encoded twice; one needless escape anywhere switches the second decoding off.
    #[test]
    fn a_segment_is_decoded_once_or_twice_as_the_whole_path_is_spelt() {
        let bound = |path: &str| {
            let last = path.rsplit('/').next().unwrap();
            bind(last, is_canonical(path)).map(Cow::into_owned)
        };
        assert_eq!(bound("/r/main").as_deref(), Some("main"));
        assert_eq!(bound("/r/%6Dain").as_deref(), Some("main"));
        assert_eq!(bound("/r/%256Dain").as_deref(), Some("main"));
        assert_eq!(bound("/%72/%256Dain").as_deref(), Some("%6Dain"));
        assert_eq!(bound("/r/%25256Dain").as_deref(), Some("%6Dain"));
        assert_eq!(bound("/r/ma+in").as_deref(), Some("ma in"));
        assert_eq!(bound("/r/main%255E1").as_deref(), Some("main^1"));
        assert_eq!(bound("/r/main%5E1").as_deref(), Some("main^1"));
        assert_eq!(bound("/r/main%25zz"), None);
        assert_eq!(bound("/r/main%zz"), None);
    }

    #[test]
    fn canonical_is_what_go_would_write() {
        for path in ["/a-_.~$&+,:;=@/b", "/a%20b%2520%25", "/%C3%BC", "/main%5E1"] {
            assert!(is_canonical(path), "{path}");
        }
        for path in ["/a!", "/%6d", "/%2F", "/%c3%bc", "/a*(b)", "/ü", "/%7e", "/%", "/%4"] {
            assert!(!is_canonical(path), "{path}");
        }
    }
}
