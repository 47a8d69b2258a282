//! The top-level fields of a JSON body as Go's decoder reads them. Pure.
//!
//! Go matches keys without regard to case (by Unicode's simple folding), lets the last of several win, and stops after the first value.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `found` with the place in `names` and the text of each top-level field that Go could take for one of them, in order.
/// Says whether anything but white space follows the value, which lakeFS does not mind.
///
/// # Errors
/// Where the body is not a JSON object, or cuts off. What else is in it is not looked at, however deep or long it is.
pub(super) fn fields(
    body: &[u8],
    names: &[&str],
    found: impl FnMut(usize, &RawValue),
) -> Result<bool, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    json.deserialize_map(Fields { names, found })?;
    Ok(json.end().is_err())
}

/// How many elements a JSON array has; nothing if it is none.
pub(super) fn length(array: &RawValue) -> Option<usize> {
    struct Length;
    impl<'de> Visitor<'de> for Length {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<usize, A::Error> {
            let mut length = 0;
            while array.next_element::<IgnoredAny>()?.is_some() {
                length += 1;
            }
            Ok(length)
        }
    }
    serde_json::Deserializer::from_str(array.get())
        .deserialize_seq(Length)
        .ok()
}

struct Fields<'a, F> {
    names: &'a [&'a str],
    found: F,
}

impl<'de, F: FnMut(usize, &RawValue)> Visitor<'de> for Fields<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(place) = object.next_key_seed(Key(self.names))? {
            match place {
                Some(place) => (self.found)(place, object.next_value::<&RawValue>()?),
                None => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The place of a key among the names wanted.
struct Key<'a>(&'a [&'a str]);

impl<'de> serde::de::DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| folds(key, name)))
    }
}

/// Whether Go takes `key` for the field `name`, which is ASCII and in lower case (encoding/json's `foldName`): besides the other case,
/// U+017F folds to `s` and U+212A to `k`.
fn folds(key: &str, name: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fold_as_go_folds_them() {
        assert!(folds("FORCE", "force") && folds("\u{17f}trategy", "strategy") && folds("\u{212a}ey", "key"));
        assert!(!folds("forcé", "force") && !folds("force ", "force") && !folds("", "force"));
    }

    #[test]
    fn only_the_top_level_is_read_and_depth_is_no_matter() {
        let deep = format!(
            "{{\"x\":{}{{\"a\":1}}{},\"A\":2}} tail",
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        let mut seen = Vec::new();
        let tail = fields(deep.as_bytes(), &["a"], |place, value| {
            seen.push((place, value.get().to_owned()))
        });
        assert!(tail.unwrap());
        assert_eq!(seen, [(0, "2".to_owned())]);
    }
}
