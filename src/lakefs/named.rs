//! What JSON bodies name beyond what their heads do: an import's destinations, a new branch or tag, and which side of a merge wins. Pure.
//!
//! Read fail-safe, as `force` is: whatever any of lakeFS's readings could take (duplicates, other cases, escapes) is among what is named.

use serde_json::value::RawValue;

use super::json;
use super::{Role, Target};

/// Whether a merge's body may say `"strategy": "source-wins"`. Harmless is a body all of whose `strategy` are absent, empty, `null` or
/// `dest-wins`.
pub(super) fn source_may_win(body: &[u8]) -> bool {
    if body.trim_ascii().is_empty() {
        return false;
    }
    let mut wins = false;
    let read = json::fields(body, &["strategy"], |_, value| {
        let strategy = serde_json::from_str::<Option<String>>(value.get());
        wins |= !matches!(
            strategy.as_ref().map(Option::as_deref),
            Ok(None | Some("" | "dest-wins"))
        );
    });
    wins || read.is_err()
}

/// Where an import writes: its branch, with each destination as a path. `None` where it could be anywhere on the branch.
pub(super) fn imported(branch: &Target, body: &[u8]) -> Option<Vec<Target>> {
    let (mut targets, mut readable) = (Vec::new(), true);
    json::fields(body, &["paths"], |_, value| {
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(paths) => {
                for path in paths {
                    readable &= destinations(path, |destination| {
                        targets.push(Target {
                            path: Some(destination),
                            ..branch.clone()
                        });
                    });
                }
            }
            // lakeFS answers 400 to it.
            Err(_) => readable &= value.get() == "null",
        }
    })
    .ok()?;
    readable.then_some(targets)
}

/// Shows `each` destination that Go could read from one element of an import; tells whether it can be read at all.
fn destinations(path: &RawValue, mut each: impl FnMut(String)) -> bool {
    let (mut count, mut readable) = (0, true);
    let read = json::fields(path.get().as_bytes(), &["destination"], |_, value| {
        count += 1;
        match serde_json::from_str::<String>(value.get()) {
            Ok(destination) => each(destination),
            Err(_) => readable = false,
        }
    });
    // Without one, or behind one that is `null`, stands Go's empty string.
    if count == 0 {
        each(String::new());
    }
    readable && read.is_ok()
}

/// What a body makes, by the field that holds its name, and what it makes it from. `None` where it could be anything.
pub(super) fn created(place: &Target, field: &str, body: &[u8]) -> Option<Vec<Target>> {
    let source = if field == "id" { "ref" } else { "source" };
    let (mut targets, mut names, mut readable) = (Vec::new(), 0, true);
    json::fields(body, &[field, source], |at, value| {
        let Ok(name) = serde_json::from_str::<String>(value.get()) else {
            readable = false;
            return;
        };
        names += usize::from(at == 0);
        targets.push(Target {
            role: if at == 0 { Role::Subject } else { Role::Source },
            reference: Some(name),
            ..place.clone()
        });
    })
    .ok()?;
    (readable && names > 0).then_some(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Target {
        Target {
            role: Role::Subject,
            repository: "r".to_owned(),
            reference: Some("b".to_owned()),
            path: None,
        }
    }

    fn paths(body: &str) -> Option<Vec<String>> {
        Some(
            imported(&place(), body.as_bytes())?
                .into_iter()
                .filter_map(|target| target.path)
                .collect(),
        )
    }

    fn made(body: &str) -> Option<Vec<(Role, String)>> {
        let targets = created(&place(), "name", body.as_bytes())?;
        Some(
            targets
                .into_iter()
                .filter_map(|target| Some((target.role, target.reference?)))
                .collect(),
        )
    }

    /// Live, section 11: Go folds case by Unicode, and the last of several may win.
    #[test]
    fn any_reading_in_which_the_source_wins_counts() {
        for body in [
            r#"{"strategy":"source-wins"}"#,
            r#"{"Strategy":"source-wins","strategy":"dest-wins"}"#,
            r#"{"strategy":"dest-wins","strategy":"source-wins"}"#,
            "{\"\u{17f}trategy\":\"source-wins\"}",
            r#"{"strateg\u0079":"source\u002dwins"}"#,
            r#"{"strategy":"source-wins"}garbage"#,
            r#"{"strategy":["source-wins"]}"#,
            r#"{"strategy":"theirs"}"#,
            r#"{"strategy":"source-wins""#,
            "[]",
        ] {
            assert!(source_may_win(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            " \n",
            "{}",
            r#"{"strategy":"dest-wins"}"#,
            r#"{"strategy":""}"#,
            r#"{"strategy":null,"message":"strategy: source-wins"}"#,
            r#"{"metadata":{"strategy":"source-wins"}}"#,
        ] {
            assert!(!source_may_win(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn an_import_writes_to_every_destination_that_could_be_read() {
        let one = r#"{"paths":[{"path":"s3://x/","type":"common_prefix","destination":"a/"}],"commit":{}}"#;
        assert_eq!(paths(one).unwrap(), ["a/"]);
        let twice =
            r#"{"paths":[{"destination":"a/","Destination":"b/"}],"PATHS":[{"destination":"_lakefs\u005factions/"}]}"#;
        assert_eq!(paths(twice).unwrap(), ["a/", "b/", "_lakefs_actions/"]);
        assert_eq!(paths(r#"{"paths":[{"path":"s3://x/"}]}"#).unwrap(), [""]);
        assert_eq!(paths(r#"{"paths":null}"#).unwrap(), [""; 0]);
        for broken in [
            r#"{"paths":{}}"#,
            r#"{"paths":[1]}"#,
            r#"{"paths":[{"destination":1}]}"#,
            "[",
            "",
        ] {
            assert_eq!(paths(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_new_branch_has_every_name_that_could_be_read() {
        assert_eq!(
            made(r#"{"name":"x","source":"main"}"#).unwrap(),
            [(Role::Subject, "x".to_owned()), (Role::Source, "main".to_owned())]
        );
        assert_eq!(made(r#"{"name":"x","NAME":"y","n\u0061me":"z"}"#).unwrap().len(), 3);
        for broken in [r#"{"source":"main"}"#, r#"{"name":7}"#, "", "[]"] {
            assert_eq!(made(broken), None, "{broken}");
        }
    }
}
