//! The S3 gateway's `ListAllMyBucketsResult`, cut: whole `<Bucket>` elements go, all other bytes stay. Pure.

use quick_xml::Reader;
use quick_xml::events::Event;

/// The body without the buckets that are not seen; `Some(None)` where all are, `None` where it is not what lakeFS writes
/// (pkg/gateway/serde/xml.go).
pub(super) fn cut(body: &[u8], sees: impl Fn(&str) -> bool) -> Option<Option<Vec<u8>>> {
    let text = std::str::from_utf8(body).ok()?;
    let buckets = buckets(text)?;
    let hidden: Vec<_> = buckets.iter().filter(|bucket| !sees(&bucket.name)).collect();
    if hidden.is_empty() {
        return Some(None);
    }
    let (mut left, mut from) = (Vec::with_capacity(body.len()), 0);
    for bucket in hidden {
        left.extend(body.get(from..bucket.begin)?);
        from = bucket.end;
    }
    left.extend(body.get(from..)?);
    Some(Some(left))
}

struct Bucket {
    name: String,
    begin: usize,
    end: usize,
}

/// Every bucket, and where its element stands.
fn buckets(text: &str) -> Option<Vec<Bucket>> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut path, mut found) = (Vec::<String>::new(), Vec::new());
    let (mut begin, mut name, mut rooted): (usize, Option<String>, bool) = (0, None, false);
    loop {
        let before = usize::try_from(reader.buffer_position()).ok()?;
        match reader.read_event().ok()? {
            Event::Start(element) => {
                path.push(element.name().as_ref().to_owned());
                rooted = true;
                match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["ListAllMyBucketsResult"]
                    | [_, "Buckets" | "Owner"]
                    | [_, "Buckets", "Bucket", "CreationDate"] => {}
                    [_, "Owner", "DisplayName" | "ID"] => {}
                    [_, "Buckets", "Bucket"] => (begin, name) = (before, None),
                    [_, "Buckets", "Bucket", "Name"] if name.is_none() => name = Some(String::new()),
                    _ => return None,
                }
            }
            Event::End(_) => {
                if path.len() == 3 && path.last().is_some_and(|last| last == "Bucket") {
                    found.push(Bucket {
                        name: name.take()?,
                        begin,
                        end: usize::try_from(reader.buffer_position()).ok()?,
                    });
                }
                path.pop();
            }
            Event::Text(text) => match (path.last().map(String::as_str), &mut name) {
                (Some("Name"), Some(name)) => name.push_str(&text),
                (Some("CreationDate" | "DisplayName" | "ID"), _) => {}
                _ if text.trim().is_empty() => {}
                _ => return None,
            },
            Event::Decl(_) if path.is_empty() => {}
            Event::Eof => return Some(found).filter(|_| rooted && path.is_empty()),
            // No name of a repository needs an entity, and lakeFS writes none of the others.
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult><Buckets>";
    const CLOSE: &str = "</Buckets><Owner><DisplayName></DisplayName><ID></ID></Owner></ListAllMyBucketsResult>";

    fn listing(names: &[String]) -> String {
        let bucket = |name: &String| {
            format!("<Bucket><CreationDate>2026-11-24T19:07:45Z</CreationDate><Name>{name}</Name></Bucket>")
        };
        let buckets: String = names.iter().map(bucket).collect();
        format!("{OPEN}{buckets}{CLOSE}")
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_listing_of_what_is_seen(buckets in prop::collection::vec(("[a-d-]{3,6}", any::<bool>()), 0..30)) {
            let names: Vec<String> = buckets.iter().map(|(name, _)| name.clone()).collect();
            let sees = |name: &str| buckets.iter().any(|(own, seen)| own == name && *seen);
            let seen: Vec<String> = names.iter().filter(|name| sees(name)).cloned().collect();
            let cut = cut(listing(&names).as_bytes(), sees).unwrap();
            prop_assert_eq!(cut.is_none(), seen.len() == names.len());
            let shown = cut.unwrap_or_else(|| listing(&names).into_bytes());
            prop_assert_eq!(String::from_utf8(shown).unwrap(), listing(&seen));
        }

        #[test]
        fn whatever_comes_it_never_panics(body in "[<>/ABa-e!&;\\[\\] ]{0,60}") {
            let _ = cut(body.as_bytes(), |_| false);
            let within = format!("{OPEN}{body}{CLOSE}");
            let _ = cut(within.as_bytes(), |_| false);
        }
    }

    #[test]
    fn what_lakefs_does_not_write_is_not_read() {
        for body in [
            String::new(),
            "<Error><Code>x</Code></Error>".to_owned(),
            format!("{OPEN}<Bucket></Bucket>{CLOSE}"),
            format!("{OPEN}<Bucket><Name>a</Name><Name>b</Name></Bucket>{CLOSE}"),
            format!("{OPEN}<Bucket><Name>a&#98;</Name></Bucket>{CLOSE}"),
            format!("{OPEN}<Bucket><Name><![CDATA[a]]></Name></Bucket>{CLOSE}"),
            format!("{OPEN}<Bucket><Name>a<!-- b --></Name></Bucket>{CLOSE}"),
            format!("{OPEN}<Else><Name>a</Name></Else>{CLOSE}"),
            format!("{OPEN}secret{CLOSE}"),
            format!("{OPEN}<Bucket><Name>a</Name></Bucket>"),
        ] {
            assert!(cut(body.as_bytes(), |_| true).is_none(), "{body}");
        }
    }
}
