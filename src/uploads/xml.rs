//! Picks the texts of a few elements out of an S3 answer as it streams by, in whatever pieces: the first of each name, at any depth. Pure
//! and bounded.

/// An element that is looked for.
#[derive(Debug)]
struct Field {
    name: &'static str,
    cap: usize,
    found: Option<Vec<u8>>,
    cut: bool,
    ended: bool,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Text,
    /// In a tag's name.
    Name,
    /// Behind it, in what else the tag holds.
    Tag,
}

/// Longest tag that can be one of ours.
const NAME_MAX: usize = 32;

/// The scanner of one body.
#[derive(Debug)]
pub(super) struct Scanner {
    fields: Vec<Field>,
    at: At,
    name: Vec<u8>,
    /// The field whose text goes by.
    open: Option<usize>,
}

impl Scanner {
    /// Looks for these elements, each with the most bytes that are kept of it.
    pub(super) fn new(fields: &[(&'static str, usize)]) -> Self {
        let field = |(name, cap): &(&'static str, usize)| Field {
            name,
            cap: *cap,
            found: None,
            cut: false,
            ended: false,
        };
        Self {
            fields: fields.iter().map(field).collect(),
            at: At::Text,
            name: Vec::new(),
            open: None,
        }
    }

    /// A text that was found whole.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        let found = field.found.as_ref().filter(|_| field.ended && !field.cut)?;
        Some(unescaped(found))
    }

    /// A text that was found, or its beginning.
    pub(super) fn beginning(&self, name: &str) -> Option<String> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        field.found.as_deref().map(unescaped)
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        for byte in piece {
            match (self.at, byte) {
                (_, b'<') => {
                    self.close();
                    self.name.clear();
                    self.at = At::Name;
                }
                (At::Name, b'>') => {
                    self.open();
                    self.at = At::Text;
                }
                (At::Name, byte) if byte.is_ascii_whitespace() => self.at = At::Tag,
                (At::Name, byte) => {
                    if self.name.len() <= NAME_MAX {
                        self.name.push(*byte);
                    }
                }
                (At::Tag, b'>') => {
                    self.open();
                    self.at = At::Text;
                }
                (At::Tag, _) => {}
                (At::Text, byte) => self.keep(*byte),
            }
        }
    }

    /// A tag has ended: the text behind it may be one that is wanted.
    fn open(&mut self) {
        let named = |field: &Field| field.name.as_bytes() == self.name && field.found.is_none();
        self.open = self.fields.iter().position(named);
        if let Some(field) = self.open.and_then(|open| self.fields.get_mut(open)) {
            field.found = Some(Vec::new());
        }
    }

    fn close(&mut self) {
        if let Some(field) = self.open.take().and_then(|open| self.fields.get_mut(open)) {
            field.ended = true;
        }
    }

    fn keep(&mut self, byte: u8) {
        if let Some(field) = self.open.and_then(|open| self.fields.get_mut(open))
            && let Some(found) = &mut field.found
        {
            if found.len() < field.cap {
                found.push(byte);
            } else {
                field.cut = true;
            }
        }
    }
}

fn unescaped(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(text.into_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CREATED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>r</Bucket><Key>main/a</Key><UploadId>u&amp;1</UploadId><ETag>&#34;e-2&#34;</ETag><UploadId>no</UploadId></InitiateMultipartUploadResult>";

    fn scanned(body: &str, pieces: usize) -> Scanner {
        let mut scanner = Scanner::new(&[("UploadId", 16), ("ETag", 16), ("Key", 3)]);
        body.as_bytes()
            .chunks(pieces.max(1))
            .for_each(|piece| scanner.feed(piece));
        scanner
    }

    #[test]
    fn finds_the_first_of_each_name() {
        let found = scanned(CREATED, 4096);
        assert_eq!(found.text("UploadId").as_deref(), Some("u&1"));
        assert_eq!(found.text("ETag").as_deref(), Some("\"e-2\""));
        assert_eq!(
            (found.text("Key"), found.beginning("Key").as_deref()),
            (None, Some("mai"))
        );
        assert_eq!(scanned("<a><UploadId>cut sho", 4096).text("UploadId"), None);
        assert_eq!(scanned("UploadId>x<", 4096).text("UploadId"), None);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(pieces in 1..60_usize) {
            let (one, other) = (scanned(CREATED, 4096), scanned(CREATED, pieces));
            prop_assert_eq!(one.text("UploadId"), other.text("UploadId"));
            prop_assert_eq!(one.text("ETag"), other.text("ETag"));
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut scanner = Scanner::new(&[("A", 4)]);
            scanner.feed(&bytes);
            prop_assert!(scanner.beginning("A").is_none_or(|found| found.len() <= 12));
        }
    }
}
