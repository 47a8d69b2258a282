//! The bodies of bulk deletes: what S3's DeleteObjects and the API's deleteObjects name, read as lakeFS reads them. Pure.
//!
//! What is not read as lakeFS would read it, without doubt, is not read at all: then it could be anything in the place that the head names.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::json;
use super::{Role, Target};

/// lakeFS refuses to delete more at a time (pkg/gateway/operations/deleteobjects.go, pkg/api/controller.go).
const MAX: usize = 1000;

/// What an S3 body names in a repository; `None` where it could be anything.
pub(super) fn by_xml(repository: &str, body: &[u8]) -> Option<Vec<Target>> {
    let keys = keys(body)?;
    Some(keys.iter().filter_map(|key| resolved(repository, key)).collect())
}

/// What an API body names on a branch (`{"paths": [...]}`); `None` where it could be anything.
pub(super) fn by_json(branch: &Target, body: &[u8]) -> Option<Vec<Target>> {
    let (mut paths, mut fields) = (None, 0);
    let more = json::fields(body, &["paths"], |_, value| {
        fields += 1;
        paths = serde_json::from_str::<Vec<String>>(value.get()).ok();
    });
    let paths = paths.filter(|paths| fields == 1 && matches!(more, Ok(false)) && paths.len() <= MAX)?;
    let target = |path| Target {
        path: Some(path),
        ..branch.clone()
    };
    Some(paths.into_iter().map(target).collect())
}

/// The keys of a `<Delete>`, as encoding/xml puts them into lakeFS's struct: elements count by their local names, whatever the root is
/// called; of several `<Key>` in an `<Object>` the last wins; what follows the root is not looked at.
fn keys(body: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    let config = reader.config_mut();
    config.check_comments = true;
    config.expand_empty_elements = true;
    let (mut depth, mut object, mut key, mut keys) = (0_usize, None, None, Vec::new());
    loop {
        let text = match reader.read_event().ok()? {
            Event::Start(element) => {
                depth += 1;
                match (depth, local(element.name().as_ref())?) {
                    (2, "Object") => object = Some(String::new()),
                    (3, "Key") if object.is_some() => key = Some(String::new()),
                    _ => {}
                }
                continue;
            }
            Event::End(_) => {
                match depth {
                    1 => return Some(keys),
                    2 => keys.extend(object.take()),
                    3 if key.is_some() => object = key.take(),
                    _ => {}
                }
                if keys.len() > MAX {
                    return None;
                }
                depth -= 1;
                continue;
            }
            Event::Text(text) => with_line_feeds(&text),
            Event::CData(text) => with_line_feeds(&text),
            Event::GeneralRef(name) => character(&name)?.to_string(),
            Event::Comment(_) | Event::Decl(_) => continue,
            // No client sends these; where they end is told in several ways.
            Event::DocType(_) | Event::PI(_) | Event::Empty(_) | Event::Eof => return None,
        };
        // Only what stands in the key itself: encoding/xml skips elements within.
        if let (3, Some(key)) = (depth, &mut key) {
            key.push_str(&text);
        }
    }
}

/// A name without its namespace, as encoding/xml parts them.
fn local(name: &str) -> Option<&str> {
    match name.split_once(':') {
        Some((_, local)) if local.contains(':') => None,
        Some((space, local)) if !space.is_empty() && !local.is_empty() => Some(local),
        _ => Some(name),
    }
}

/// XML's line ends are line feeds.
fn with_line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// What an entity stands for.
fn character(name: &str) -> Option<char> {
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        _ => name.strip_prefix('#')?,
    };
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

/// `ResolvePath` (pkg/gateway/path): one slash in front is dropped, the reference ends at the next, and the path at a line feed. What has
/// no reference deletes nothing.
fn resolved(repository: &str, key: &str) -> Option<Target> {
    let key = key.strip_prefix('/').unwrap_or(key);
    let (reference, path) = key.split_once('/').unwrap_or((key, ""));
    let path = path.split('\n').next().unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Target {
        role: Role::Subject,
        repository: repository.to_owned(),
        reference: Some(given(reference)?),
        path: given(path),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Option<Vec<String>> {
        let shown = |target: &Target| {
            let part = |part: &Option<String>| part.clone().unwrap_or("-".to_owned());
            format!("{}|{}", part(&target.reference), part(&target.path))
        };
        Some(by_xml("r", body.as_bytes())?.iter().map(shown).collect())
    }

    fn one(object: &str) -> String {
        read(&format!("<Delete><Object>{object}</Object></Delete>")).map_or("?".to_owned(), |keys| keys.join(" "))
    }

    #[test]
    fn what_clients_send_is_read() {
        let boto = r#"<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>main/a b</Key></Object><Object><Key>dev/x/y</Key><VersionId>null</VersionId></Object><Quiet>true</Quiet></Delete>"#;
        assert_eq!(read(boto).unwrap(), ["main|a b", "dev|x/y"]);
        let pretty = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete>\n  <Object>\n    <Key>main/\u{fc}</Key>\n  </Object>\n</Delete>\n";
        assert_eq!(read(pretty).unwrap(), ["main|\u{fc}"]);
        assert_eq!(read("<Delete/>").unwrap(), [""; 0]);
    }

    /// Live, section 11.
    #[test]
    fn keys_are_those_that_lakefs_binds() {
        for object in [
            "<Key>main/a</Key>",
            "<Key>m&#97;in&#x2f;a</Key>",
            "<Key><![CDATA[main/a]]></Key>",
            "<Key>m<![CDATA[ai]]>n/<![CDATA[a]]></Key>",
            "<Key>ma<!-- and -->in/a</Key>",
            "<Key>main/a<x>not this</x></Key>",
            "<n:Key xmlns:n='u'>main/a</n:Key>",
            "<n:Key>main/a</n:Key>",
            "<Key z='>'>/main/a</Key>",
            "<Key>dev/b</Key><Key>main/a</Key>",
            "<Key/><Key>main/a</Key >",
            "<Key>main/a</Key><key>dev/b</key>",
            "<Key>main/a</Key><:Key>dev/b</:Key>",
            "<Key>main/a</Key><Key:>dev/b</Key:>",
            "<Key>main/a</Key><x><Key>dev/b</Key></x>",
            "<Key>main/a\nb</Key>",
            "<Key>main/a\rb</Key>",
        ] {
            assert_eq!(one(object), "main|a", "{object}");
        }
        assert_eq!(one("<Key>main/&#13;</Key>"), "main|\r");
        assert_eq!(one("<Key>main/&lt;&gt;&amp;&apos;&quot;</Key>"), "main|<>&'\"");
        assert_eq!(
            (one("<Key>main</Key>"), one("<Key>main//a</Key>")),
            ("main|-".into(), "main|/a".into())
        );
        assert_eq!((one("<Key>//main/a</Key>"), one("")), (String::new(), String::new()));
        let any_root = "text<x:y><o:Object><Key>main/a</Key></o:Object></x:y><Object><Key>dev/b</Key></Object> junk <";
        assert_eq!(read(any_root).unwrap(), ["main|a"]);
        assert_eq!(
            read("<D><x><Object><Key>main/a</Key></Object></x></D>").unwrap(),
            [""; 0]
        );
    }

    #[test]
    fn what_is_not_read_for_certain_could_be_anything() {
        for body in [
            "",
            "text",
            "<Delete><Object><Key>main/a</Key></Object>",
            "<Delete><Object><Key>main/a</Object></Key></Delete>",
            "<Delete><Object><Key>&main;</Key></Object></Delete>",
            "<Delete><Object><Key>a & b</Key></Object></Delete>",
            "<Delete><Object><Key>&#xd800;</Key></Object></Delete>",
            "<Delete><Object><a:b:Key>main/a</a:b:Key></Object></Delete>",
            "<!DOCTYPE Delete [<!ENTITY m 'main'>]><Delete><Object><Key>&m;/a</Key></Object></Delete>",
            "<!DOCTYPE Delete><Delete><Object><Key>main/a</Key></Object></Delete>",
            "<Delete><?x ?><Object><Key>main/a</Key></Object></Delete>",
            "<Delete><!-- a -- b --><Object><Key>main/a</Key></Object></Delete>",
            "<Delete><!--><Object><Key>dev/a</Key></Object></Delete>",
        ] {
            assert_eq!(read(body), None, "{body}");
        }
        assert_eq!(by_xml("r", b"<Delete><Object><Key>\xff</Key></Object></Delete>"), None);
        let many = |count| format!("<D>{}</D>", "<Object><Key>main/a</Key></Object>".repeat(count));
        assert_eq!(read(&many(1000)).unwrap().len(), 1000);
        assert_eq!(read(&many(1001)), None);
    }

    #[test]
    fn the_paths_of_the_api_are_read_or_could_be_any() {
        let branch = resolved("r", "main").unwrap();
        let read = |body: &str| {
            let targets = by_json(&branch, body.as_bytes())?;
            assert!(targets.iter().all(|target| target.reference.as_deref() == Some("main")));
            let path = |target: Target| target.path.unwrap();
            Some(targets.into_iter().map(path).collect::<Vec<_>>())
        };
        assert_eq!(read(r#"{"paths":["a/b","\u00fc"]}"#).unwrap(), ["a/b", "\u{fc}"]);
        assert_eq!(read(r#"{"PATHS":["a"],"x":1}"#).unwrap(), ["a"]);
        for body in [
            "",
            "{}",
            "[]",
            r#"{"paths":"a"}"#,
            r#"{"paths":["a"]} x"#,
            r#"{"paths":["a"],"Paths":["b"]}"#,
            r#"{"paths":[1]}"#,
            r#"{"paths":null}"#,
        ] {
            assert_eq!(read(body), None, "{body}");
        }
    }

    /// A key's text, and one of its spellings.
    fn spelt() -> impl Strategy<Value = (String, String)> {
        let piece = ("[a-c/<&>\u{fc}]{0,4}", 0..5).prop_map(|(text, how)| {
            let spelling = match how {
                0 => text.chars().map(|c| format!("&#{};", c as u32)).collect(),
                1 => text.chars().map(|c| format!("&#x{:X};", c as u32)).collect(),
                2 => format!("<![CDATA[{text}]]>"),
                3 => format!(
                    "<!-- - -->{}<x>dev</x>",
                    text.replace('&', "&amp;").replace('<', "&lt;")
                ),
                _ => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            };
            (text, spelling)
        });
        prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn however_a_key_is_spelt_it_is_read(keys in prop::collection::vec(prop::collection::vec(spelt(), 1..3), 0..4)) {
            let element = |spelling: &String| format!("<Key>{spelling}</Key>");
            let object = |keys: &Vec<(String, String)>| {
                format!("<Object>{}</Object>", keys.iter().map(|(_, spelling)| element(spelling)).collect::<String>())
            };
            let body = format!("<Delete>{}</Delete>", keys.iter().map(object).collect::<String>());
            let last: Vec<_> = keys.iter().filter_map(|keys| Some(keys.last()?.0.clone())).collect();
            prop_assert_eq!(super::keys(body.as_bytes()), Some(last), "{}", body);
        }

        #[test]
        fn nothing_panics(body in "[<>/!\\-\\[\\]?&;#x'\": A-EKOeyobjctDlt]{0,60}") {
            let _ = super::keys(body.as_bytes());
            let _ = super::keys(format!("<Delete><Object><Key>{body}").as_bytes());
        }
    }
}
