//! Picks a few texts and numbers out of the top level of a JSON object as it streams by, in whatever pieces. Pure, bounded, and blind
//! to the rest: an answer with 10,000 presigned URLs passes in constant memory, and none of them is ever kept.

/// A field that is looked for.
#[derive(Debug)]
struct Field {
    name: &'static str,
    /// Bytes of it that are kept.
    cap: usize,
    found: Option<Found>,
}

#[derive(Debug)]
struct Found {
    bytes: Vec<u8>,
    /// It was longer than its cap.
    cut: bool,
    quoted: bool,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Between tokens.
    Between,
    /// In a string.
    Text,
    /// Behind a backslash.
    Escape,
    /// In the four digits of `\uXXXX`.
    Unicode { digits: u8, code: u16 },
    /// In a number or a word of the top level.
    Bare,
    /// Behind the object, or in something that is none.
    Over,
}

/// What a string is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Skipped,
    Key,
    /// The value of the field with this number.
    Value(usize),
}

/// Longest key that can be one of ours.
const KEY_MAX: usize = 32;
const BARE_MAX: usize = 32;

/// The scanner of one body.
#[derive(Debug)]
pub(super) struct Scanner {
    fields: Vec<Field>,
    at: At,
    depth: usize,
    /// Whether a string at the top level is a key.
    expects_key: bool,
    role: Role,
    /// The field whose key was just read.
    next_value: Option<usize>,
    buffer: Vec<u8>,
    cut: bool,
    /// First half of a character beyond U+FFFF.
    high: Option<u16>,
}

impl Scanner {
    /// Looks for these fields, each with the most bytes that are kept of it.
    pub(super) fn new(fields: &[(&'static str, usize)]) -> Self {
        let field = |(name, cap): &(&'static str, usize)| Field {
            name,
            cap: *cap,
            found: None,
        };
        Self {
            fields: fields.iter().map(field).collect(),
            at: At::Between,
            depth: 0,
            expects_key: false,
            role: Role::Skipped,
            next_value: None,
            buffer: Vec::new(),
            cut: false,
            high: None,
        }
    }

    /// A text that was found whole.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let found = self.found(name).filter(|found| found.quoted && !found.cut)?;
        Some(String::from_utf8_lossy(&found.bytes).into_owned())
    }

    /// A text that was found, or its beginning.
    pub(super) fn beginning(&self, name: &str) -> Option<String> {
        let found = self.found(name).filter(|found| found.quoted)?;
        Some(String::from_utf8_lossy(&found.bytes).into_owned())
    }

    /// A whole number that was found.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let found = self.found(name).filter(|found| !found.quoted)?;
        std::str::from_utf8(&found.bytes).ok()?.parse().ok()
    }

    fn found(&self, name: &str) -> Option<&Found> {
        self.fields.iter().find(|field| field.name == name)?.found.as_ref()
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        while let Some((byte, rest)) = piece.split_first() {
            piece = rest;
            match self.at {
                At::Over => return,
                At::Between => self.between(*byte),
                At::Text if self.role == Role::Skipped && !matches!(byte, b'"' | b'\\') => {
                    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                    piece = end.and_then(|end| rest.get(end..)).unwrap_or_default();
                }
                At::Text => self.in_text(*byte),
                At::Escape => self.escaped(*byte),
                At::Unicode { digits, code } => self.unicode(*byte, digits, code),
                At::Bare => self.bare(*byte),
            }
        }
    }

    fn between(&mut self, byte: u8) {
        let top = self.depth == 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'{' | b'[' => {
                if self.depth == 0 {
                    (self.at, self.expects_key) = (if byte == b'{' { At::Between } else { At::Over }, true);
                }
                self.next_value = None;
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.at = At::Over;
                }
            }
            _ if self.depth == 0 => self.at = At::Over,
            b',' if top => (self.expects_key, self.next_value) = (true, None),
            b':' if top => self.expects_key = false,
            b'"' => {
                self.role = match self.next_value.take() {
                    _ if !top => Role::Skipped,
                    _ if self.expects_key => Role::Key,
                    Some(field) => Role::Value(field),
                    None => Role::Skipped,
                };
                self.begin();
                self.at = At::Text;
            }
            _ if top && !self.expects_key => {
                self.role = self.next_value.take().map_or(Role::Skipped, Role::Value);
                self.begin();
                self.at = At::Bare;
                self.keep(&[byte]);
            }
            _ => {}
        }
    }

    fn begin(&mut self) {
        self.buffer.clear();
        (self.cut, self.high) = (false, None);
    }

    fn in_text(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.lone_half();
                self.finish(true);
            }
            b'\\' => self.at = At::Escape,
            byte => {
                self.lone_half();
                self.keep(&[byte]);
            }
        }
    }

    fn escaped(&mut self, byte: u8) {
        self.at = At::Text;
        let plain = match byte {
            b'u' => {
                self.at = At::Unicode { digits: 0, code: 0 };
                return;
            }
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            other => other,
        };
        self.lone_half();
        self.keep(&[plain]);
    }

    fn unicode(&mut self, byte: u8, digits: u8, code: u16) {
        let Some(digit) = char::from(byte).to_digit(16) else {
            // Not JSON: let the text end where it ends.
            self.at = At::Text;
            return self.in_text(byte);
        };
        let code = code << 4 | digit as u16;
        if digits < 3 {
            self.at = At::Unicode {
                digits: digits + 1,
                code,
            };
            return;
        }
        self.at = At::Text;
        match (self.high.take(), code) {
            (Some(high), 0xdc00..=0xdfff) => {
                let point = 0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(code) - 0xdc00);
                self.keep_char(char::from_u32(point));
            }
            (earlier, _) => {
                if earlier.is_some() {
                    self.keep_char(None);
                }
                if (0xd800..=0xdbff).contains(&code) {
                    self.high = Some(code);
                } else {
                    self.keep_char(char::from_u32(u32::from(code)));
                }
            }
        }
    }

    /// Half a character without its other half becomes U+FFFD.
    fn lone_half(&mut self) {
        if self.high.take().is_some() {
            self.keep_char(None);
        }
    }

    fn keep_char(&mut self, char: Option<char>) {
        let mut bytes = [0; 4];
        let text = char.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut bytes);
        self.keep(text.as_bytes());
    }

    fn keep(&mut self, bytes: &[u8]) {
        let cap = match self.role {
            Role::Skipped => return,
            Role::Key => KEY_MAX,
            Role::Value(_) if self.at == At::Bare => BARE_MAX,
            Role::Value(field) => self.fields.get(field).map_or(0, |field| field.cap),
        };
        if self.cut || self.buffer.len() + bytes.len() > cap {
            self.cut = true;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn bare(&mut self, byte: u8) {
        match byte {
            b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' => {
                self.finish(false);
                self.between(byte);
            }
            byte => self.keep(&[byte]),
        }
    }

    fn finish(&mut self, quoted: bool) {
        self.at = At::Between;
        match self.role {
            Role::Skipped => {}
            Role::Key => {
                let key = (!self.cut).then_some(self.buffer.as_slice());
                let named = |field: &Field| Some(field.name.as_bytes()) == key;
                self.next_value = self.fields.iter().position(named);
            }
            Role::Value(field) => {
                if let Some(field) = self.fields.get_mut(field) {
                    // Go's decoder, and so lakeFS's clients, take the last of a repeated key.
                    field.found = Some(Found {
                        bytes: std::mem::take(&mut self.buffer),
                        cut: self.cut,
                        quoted,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: [(&str, usize); 3] = [("upload_id", 64), ("physical_address", 64), ("size_bytes", 64)];

    type Answer = (Option<String>, Option<String>, Option<u64>);

    fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Answer {
        let mut scanner = Scanner::new(&FIELDS);
        pieces.into_iter().for_each(|piece| scanner.feed(piece));
        (
            scanner.text("upload_id"),
            scanner.text("physical_address"),
            scanner.number("size_bytes"),
        )
    }

    fn found(body: &str) -> Answer {
        scan([body.as_bytes()])
    }

    #[test]
    fn finds_what_stands_last() {
        let urls = vec![r#""http://s3/b?a=1\u0026X-Amz-Signature=2""#; 500].join(",");
        let body = format!(
            r#"{{"physical_address":"s3://b/data/x,SIG","presigned_urls":[{urls}],"upload_id":"\u00e9\"\\\ud83d\ude00"}}"#
        );
        assert_eq!(
            found(&body),
            (Some("é\"\\😀".into()), Some("s3://b/data/x,SIG".into()), None)
        );
    }

    #[test]
    fn looks_at_the_top_level_only() {
        let body = r#"{"a":{"upload_id":"1"},"b":["upload_id","2"],"size_bytes":12,"c":"upload_id","upload_id":"3"} {"upload_id":"4"}"#;
        assert_eq!(found(body), (Some("3".into()), None, Some(12)));
        for body in [
            r#"["upload_id","1"]"#,
            r#""upload_id""#,
            "",
            "upload_id",
            r#"[{"upload_id":"1"}]"#,
        ] {
            assert_eq!(found(body), (None, None, None), "{body}");
        }
    }

    #[test]
    fn keeps_nothing_longer_than_its_cap() {
        let body = format!(
            r#"{{"upload_id":"{}","size_bytes":{}}}"#,
            "x".repeat(65),
            "1".repeat(33)
        );
        assert_eq!(found(&body), (None, None, None));
        let mut scanner = Scanner::new(&[("message", 5)]);
        scanner.feed(br#"{"message":"hello world"}"#);
        assert_eq!(scanner.beginning("message"), Some("hello".into()));
    }

    #[test]
    fn a_body_cut_short_gives_what_was_whole() {
        assert_eq!(
            found(r#"{"physical_address":"s3://b/x","upload_id":"ab"#),
            (None, Some("s3://b/x".into()), None)
        );
    }

    /// A JSON text of `value` with characters escaped here and there.
    fn escaped(text: &str, escape: &[bool]) -> String {
        let mut json = String::from("\"");
        for (c, escape) in text.chars().zip(escape.iter().cycle()) {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                c if *escape || c < ' ' => c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| json += &format!("\\u{unit:04X}")),
                c => json.push(c),
            }
        }
        json + "\""
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            key().prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map(key(), inner, 0..5)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("upload_id".to_owned()),
            Just("physical_address".to_owned()),
            Just("size_bytes".to_owned()),
            any::<String>()
        ]
    }

    fn cuts<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same(body in prop::collection::vec(any::<u8>(), 0..200), at in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            prop_assert_eq!(scan(cuts(&body, &at)), scan([&*body]));
        }

        #[test]
        fn agrees_with_a_whole_parser(value in json(), pretty in any::<bool>(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let short = |name: &str| {
                let text = value.get(name).and_then(serde_json::Value::as_str)?;
                (text.len() <= 64).then(|| text.to_owned())
            };
            let expected = (short("upload_id"), short("physical_address"), value.get("size_bytes").and_then(serde_json::Value::as_u64));
            prop_assert_eq!(scan(cuts(&body, &at)), expected);
        }

        #[test]
        fn escapes_are_undone(text in any::<String>(), escape in prop::collection::vec(any::<bool>(), 1..9), at in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            prop_assume!(text.len() <= 64);
            let body = format!("{{{}:{}}}", escaped("upload_id", &escape), escaped(&text, &escape));
            prop_assert_eq!(scan(cuts(body.as_bytes(), &at)).0, Some(text));
        }
    }
}
