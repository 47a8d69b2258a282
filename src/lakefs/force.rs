//! Whether a JSON body carries `force`, judged fail-safe: whatever any of lakeFS's readings could make true is forced.
//!
//! lakeFS reads such a body twice (kin-openapi, which may write it anew, then Go's case-insensitive decoder), with duplicates, escapes
//! and bytes after the value; what each spelling did was measured on a running server.

use super::{Force, json};

/// Judges the body of an operation whose force stands in its body. Not forced is a JSON object all of whose top-level `force`, in any
/// case and by any escape, are `false` or `null`. Anything else that is not empty is forced: lakeFS answers 400 to it, or may be forced.
pub fn judge(body: &[u8]) -> Force {
    if body.trim_ascii().is_empty() {
        return Force::No;
    }
    let mut forced = false;
    let read = json::fields(body, &["force"], |_, value| {
        forced |= !matches!(value.get(), "false" | "null")
    });
    match read {
        Ok(false) if !forced => Force::No,
        _ => Force::Yes,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_bodies_are_what_they_say() {
        for body in [
            "",
            "\r\n",
            "{}",
            r#"{"message":"m"}"#,
            r#"{"message":"force","metadata":{"force":"true"}}"#,
            r#"{"message":"m","metadata":{"force":true},"allow_empty":true, "force" : false }"#,
            r#"{"force":null,"x":[{"force":true}]}"#,
            r#"{"message":"\ud83d\ude00 \u0000","n":-1.5e999999}"#,
            "{\"message\":\"\u{feff}\"}\n",
        ] {
            assert_eq!(judge(body.as_bytes()), Force::No, "{body}");
        }
        assert_eq!(judge(b"{\"message\":\"\xff\xfe\",\"force\":false}"), Force::No);
    }

    /// Live, sections 3 and 11.
    #[test]
    fn whatever_lakefs_could_read_as_forced_is_forced() {
        for body in [
            r#"{"force":true}"#,
            r#"{"message":"m","FORCE":true}"#,
            r#"{"Force":true,"force":false}"#,
            r#"{"force":false,"Force":true}"#,
            r#"{"force":true,"force":false}"#,
            r#"{"force":true,"force":null}"#,
            r#"{"forc\u0065":true}"#,
            r#"{"\u0046orce":true}"#,
            r#"{"force":true}garbage"#,
            r#"{"force":false}{"force":true}"#,
            r#"{"force":"true"}"#,
            r#"{"force":1}"#,
            r#"{"force":[true]}"#,
            "\u{feff}{\"force\":true}",
            r#"{"force":true"#,
            r#"{"message":"cut"#,
            "[]",
            "true",
            "force=true",
        ] {
            assert_eq!(judge(body.as_bytes()), Force::Yes, "{body}");
        }
        assert_eq!(judge(b"\x1f\x8b\x08\x00"), Force::Yes);
        let deep = format!("{{\"x\":{}1{},\"force\":true}}", "[".repeat(9_999), "]".repeat(9_999));
        assert_eq!(judge(deep.as_bytes()), Force::Yes);
    }

    /// A spelling of `force` or of something near it, with the text between its quotes.
    fn key() -> impl Strategy<Value = (String, bool)> {
        let letter = |c: char| {
            prop_oneof![
                4 => Just(c.to_string()),
                1 => Just(c.to_ascii_uppercase().to_string()),
                1 => Just(format!("\\u{:04x}", c as u32)),
                1 => Just(format!("\\u{:04X}", c.to_ascii_uppercase() as u32)),
            ]
        };
        let force = "force"
            .chars()
            .map(letter)
            .collect::<Vec<_>>()
            .prop_map(|letters| (letters.concat(), true));
        let near = prop_oneof![
            Just("forced"),
            Just("forc"),
            Just("message"),
            Just("f\\u006frce "),
            Just("ﬀorce"),
            Just("")
        ];
        prop_oneof![2 => force, 3 => near.prop_map(|near| (near.to_owned(), false))]
    }

    fn value() -> impl Strategy<Value = (&'static str, bool)> {
        prop_oneof![
            Just(("false", false)),
            Just(("null", false)),
            Just(("true", true)),
            Just(("\"false\"", true)),
            Just(("0", true)),
            Just((r#"{"force":true}"#, true)),
            Just((r#"["\"force\":true,",{"a":[]}]"#, true)),
        ]
    }

    proptest! {
        /// The model knows from how the text was made which of its keys are `force` and which of their values are harmless.
        #[test]
        fn agrees_with_the_text_it_was_made_from(
            pairs in prop::collection::vec((key(), value(), "[ \t\r\n]{0,2}"), 0..6),
            tail in prop_oneof![4 => Just(""), 1 => Just(" \n"), 1 => Just("x")],
        ) {
            let forced = pairs.iter().any(|((_, force), (_, harmful), _)| *force && *harmful) || tail == "x";
            let fields: Vec<_> =
                pairs.iter().map(|((key, _), (value, _), space)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            let body = format!("{{{}}}{tail}", fields.join(","));
            prop_assert_eq!(judge(body.as_bytes()), if forced { Force::Yes } else { Force::No }, "{}", body);
        }

        #[test]
        fn what_is_no_json_object_is_forced_and_nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body).is_ok();
            if !object && !body.trim_ascii().is_empty() {
                prop_assert_eq!(judge(&body), Force::Yes);
            }
        }
    }
}
