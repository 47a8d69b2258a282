//! As much of Go's gob as lakeFS's sessions use: one map from strings to strings, or to string claims. Pure, and bounded by its input.
//!
//! Format: the package documentation of encoding/gob. A message's length also ends where a type is defined in the middle of a value, so
//! the messages are read as one stream and their lengths passed over.

use std::collections::BTreeMap;

/// The name lakeFS registers its claims by (pkg/auth/oidc/encoding/encoding.go).
const CLAIMS: &str = "github.com/treeverse/lakefs/pkg/auth/oidc.Claims";
const STRING: i64 = 6;
const INTERFACE: i64 = 8;
/// The first id that a type of one's own gets.
const FIRST_TYPE: i64 = 64;

/// Claims of an identity provider; those that are not strings are left out.
pub type Claims = BTreeMap<String, String>;

/// A value of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Claims(Claims),
}

/// Input that is no such map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a gob of a session")]
pub struct BadGob;

/// Reads a session's map.
pub(super) fn decode(gob: &[u8]) -> Result<BTreeMap<String, Value>, BadGob> {
    let mut input = Input {
        rest: gob,
        maps: BTreeMap::new(),
    };
    input.unsigned()?;
    let id = input.type_id()?;
    if input.maps.get(&id) != Some(&(INTERFACE, INTERFACE)) || input.unsigned()? != 0 {
        return Err(BadGob);
    }
    let mut session = BTreeMap::new();
    for _ in 0..input.count()? {
        let (key, value) = (input.interface(false)?, input.interface(false)?);
        if let (Some(Value::Text(key)), Some(value)) = (key, value) {
            session.insert(key, value);
        }
    }
    Ok(session)
}

/// Writes a session's map of one entry, byte for byte as Go does.
pub(super) fn encode(key: &str, value: &Value) -> Vec<u8> {
    let mut gob = Vec::new();
    message(&mut gob, &map_type(FIRST_TYPE, "", INTERFACE, INTERFACE));
    let mut body = Vec::new();
    integer(&mut body, FIRST_TYPE);
    body.extend([0, 1]);
    string_interface(&mut body, key);
    match value {
        Value::Text(text) => string_interface(&mut body, text),
        Value::Claims(claims) => {
            // The type of the claims is defined in the middle: what is written so far goes out as a message with it.
            string(&mut body, CLAIMS);
            body.extend(map_type(FIRST_TYPE + 1, "Claims", STRING, INTERFACE));
            message(&mut gob, &body);
            let mut inner = vec![0];
            unsigned(&mut inner, claims.len() as u64);
            for (name, claim) in claims {
                string(&mut inner, name);
                string_interface(&mut inner, claim);
            }
            body.clear();
            integer(&mut body, FIRST_TYPE + 1);
            message(&mut body, &inner);
        }
    }
    message(&mut gob, &body);
    gob
}

struct Input<'a> {
    rest: &'a [u8],
    /// The maps defined so far: id to the types of key and element.
    maps: BTreeMap<i64, (i64, i64)>,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], BadGob> {
        let length = usize::try_from(length).map_err(|_| BadGob)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BadGob)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, BadGob> {
        self.take(1)?.first().copied().ok_or(BadGob)
    }

    /// One byte below 128; else the negated number of bytes that follow, the greatest first.
    fn unsigned(&mut self) -> Result<u64, BadGob> {
        let first = self.byte()?;
        if first < 128 {
            return Ok(u64::from(first));
        }
        let length = first.wrapping_neg();
        if length > 8 {
            return Err(BadGob);
        }
        Ok(self
            .take(u64::from(length))?
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The sign in the lowest bit.
    fn integer(&mut self) -> Result<i64, BadGob> {
        let number = self.unsigned()?;
        let magnitude = (number >> 1).cast_signed();
        Ok(if number & 1 == 1 { !magnitude } else { magnitude })
    }

    /// How many entries a map has: each takes a byte and more.
    fn count(&mut self) -> Result<u64, BadGob> {
        let count = self.unsigned()?;
        if count > self.rest.len() as u64 {
            Err(BadGob)
        } else {
            Ok(count)
        }
    }

    fn string(&mut self) -> Result<String, BadGob> {
        let length = self.unsigned()?;
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| BadGob)
    }

    /// The id of the value that follows, after the types defined before it.
    fn type_id(&mut self) -> Result<i64, BadGob> {
        loop {
            let id = self.integer()?;
            if id >= 0 {
                return Ok(id);
            }
            let fields = self.definition()?;
            self.maps.insert(id.checked_neg().ok_or(BadGob)?, fields);
            self.unsigned()?;
        }
    }

    /// A `wireType`: the fourth of its fields is a map, the second a slice; sessions have no others.
    fn definition(&mut self) -> Result<(i64, i64), BadGob> {
        let kind = self.unsigned()?;
        if !matches!(kind, 2 | 4) {
            return Err(BadGob);
        }
        let types = self.structure(|input, field| match field {
            0 => input
                .structure(|input, field| {
                    if field == 0 {
                        input.string().map(|_| 0)
                    } else {
                        input.integer()
                    }
                })
                .map(|_| 0),
            _ => input.integer(),
        })?;
        if self.unsigned()? != 0 {
            return Err(BadGob);
        }
        // A slice's element is not needed: its values are passed over.
        Ok(if kind == 4 { types } else { (0, 0) })
    }

    /// A structure's fields, numbered by what is added to the one before, up to a zero; gives the second and the third.
    fn structure(&mut self, mut read: impl FnMut(&mut Self, u64) -> Result<i64, BadGob>) -> Result<(i64, i64), BadGob> {
        let (mut field, mut seen) = (0_u64, (0, 0));
        loop {
            let delta = self.unsigned()?;
            if delta == 0 {
                return Ok(seen);
            }
            field = field.checked_add(delta).filter(|field| *field <= 3).ok_or(BadGob)?;
            let value = read(self, field - 1)?;
            match field {
                2 => seen.0 = value,
                3 => seen.1 = value,
                _ => (),
            }
        }
    }

    /// A value with the name and the id of its type. Of other types than ours it is passed over, and so are claims within claims, which
    /// would let the input choose how deep we go.
    fn interface(&mut self, within: bool) -> Result<Option<Value>, BadGob> {
        let name = self.string()?;
        if name.is_empty() {
            return Ok(None);
        }
        let id = self.type_id()?;
        let length = self.unsigned()?;
        if name == "string" && id == STRING {
            return if self.unsigned()? == 0 {
                Ok(Some(Value::Text(self.string()?)))
            } else {
                Err(BadGob)
            };
        }
        if within || name != CLAIMS || self.maps.get(&id) != Some(&(STRING, INTERFACE)) {
            self.take(length)?;
            return Ok(None);
        }
        if self.unsigned()? != 0 {
            return Err(BadGob);
        }
        let mut claims = Claims::new();
        for _ in 0..self.count()? {
            let name = self.string()?;
            if let Some(Value::Text(claim)) = self.interface(true)? {
                claims.insert(name, claim);
            }
        }
        Ok(Some(Value::Claims(claims)))
    }
}

fn map_type(id: i64, name: &str, key: i64, element: i64) -> Vec<u8> {
    let mut definition = Vec::new();
    integer(&mut definition, -id);
    definition.extend([4, 1]);
    if name.is_empty() {
        definition.push(2);
    } else {
        definition.push(1);
        string(&mut definition, name);
        definition.push(1);
    }
    integer(&mut definition, id);
    definition.extend([0, 1]);
    integer(&mut definition, key);
    definition.push(1);
    integer(&mut definition, element);
    definition.extend([0, 0]);
    definition
}

fn string_interface(out: &mut Vec<u8>, text: &str) {
    string(out, "string");
    integer(out, STRING);
    let mut value = vec![0];
    string(&mut value, text);
    message(out, &value);
}

fn string(out: &mut Vec<u8>, text: &str) {
    message(out, text.as_bytes());
}

fn message(out: &mut Vec<u8>, bytes: &[u8]) {
    unsigned(out, bytes.len() as u64);
    out.extend(bytes);
}

fn integer(out: &mut Vec<u8>, number: i64) {
    let folded = if number < 0 { !number << 1 | 1 } else { number << 1 };
    unsigned(out, folded.cast_unsigned());
}

fn unsigned(out: &mut Vec<u8>, number: u64) {
    if number < 128 {
        out.extend(number.to_be_bytes().last());
        return;
    }
    let skipped = number.leading_zeros() as usize / 8;
    out.push((8 - skipped as u8).wrapping_neg());
    out.extend(number.to_be_bytes().iter().skip(skipped));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
        text.as_bytes()
            .chunks(2)
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    /// Bytes that Go wrote.
    #[test]
    fn what_go_wrote_is_read_and_written() {
        let token = hex(
            "0d7f040102ff80000110011000002aff80000106737472696e670c070005746f6b656e06737472696e670c0d000b6162632e6465662e676869",
        );
        let value = Value::Text("abc.def.ghi".to_owned());
        assert_eq!(encode("token", &value), token);
        assert_eq!(decode(&token).unwrap().get("token"), Some(&value));
        let claims = hex(concat!(
            "0d7f040102ff800001100110000067ff80000106737472696e670c13001173616d6c5f746f6b656e5f636c61696d7330676974687562",
            "2e636f6d2f7472656576657273652f6c616b6566732f706b672f617574682f6f6964632e436c61696d73ff8104010106436c61696d73",
            "01ff8200010c0110000025ff822200010373756206737472696e670c130011616c696365406578616d706c652e636f6d",
        ));
        let value = Value::Claims([("sub".to_owned(), "alice@example.com".to_owned())].into());
        assert_eq!(encode("saml_token_claims", &value), claims);
        assert_eq!(decode(&claims).unwrap().get("saml_token_claims"), Some(&value));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(token in "\\PC{0,300}", claims in prop::collection::btree_map("\\PC{0,9}", "\\PC{0,200}", 0..5)) {
            for value in [Value::Text(token), Value::Claims(claims)] {
                prop_assert_eq!(decode(&encode("k", &value)).unwrap().remove("k"), Some(value));
            }
        }

        #[test]
        fn hostile_bytes_are_refused_without_harm(
            place in 0..120_usize,
            bytes in prop::collection::vec(any::<u8>(), 0..12),
            noise in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut gob = encode("saml_token_claims", &Value::Claims([("sub".to_owned(), "a".to_owned())].into()));
            let end = (place + bytes.len()).min(gob.len());
            gob.splice(place.min(end)..end, bytes);
            let _ = decode(&gob);
            let _ = decode(&noise);
        }
    }
}
