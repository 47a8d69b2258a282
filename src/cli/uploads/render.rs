//! How uploads look in a terminal. Pure.
//!
//! Names come from clients: what could move the cursor or hide is written as an escape.

use crate::cli::text::{self, ago, clean, lines, size};
use crate::store::{Reap, ReapEnd, State, Stats, Timestamp, Upload};
use crate::uploads::{ReapOutcome, Reaped};

const HEAD: [&str; 7] = ["ID", "STATE", "CREATED", "PARTS", "SIZE", "PRINCIPAL", "OBJECT"];

/// Uploads as rows under a head, columns aligned.
pub(super) fn table(uploads: &[Upload], now: Timestamp) -> String {
    let rows = uploads.iter().map(|upload| {
        [
            upload.id.to_string(),
            upload.state.to_string(),
            ago(now.since(upload.created)),
            parts(upload),
            upload.bytes.map_or_else(|| "-".into(), size),
            upload.principal.as_deref().map_or_else(|| "-".into(), clean),
            object(upload),
        ]
    });
    text::grid(HEAD, rows)
}

/// All that is known of one upload, a line a fact.
pub(super) fn card(upload: &Upload, now: Timestamp) -> String {
    let when = |time: Timestamp| format!("{time} ({})", ago(now.since(time)));
    let facts = [
        ("id", Some(upload.id.to_string())),
        ("state", Some(upload.state.to_string())),
        ("kind", Some(upload.kind.as_str().to_owned())),
        ("object", Some(object(upload))),
        ("upload id", upload.upload_id.as_deref().map(clean)),
        ("physical address", upload.physical_address.as_deref().map(clean)),
        ("principal", upload.principal.as_deref().map(clean)),
        ("auth method", upload.auth_method.clone()),
        ("client", Some(upload.client_address.to_string())),
        ("user agent", upload.user_agent.as_deref().map(clean)),
        ("created", Some(when(upload.created))),
        ("last sign of life", Some(when(upload.updated))),
        ("completed", upload.completed.map(when)),
        ("parts asked", upload.parts_asked.map(|count| count.to_string())),
        ("parts presigned", some(upload.parts_presigned)),
        ("parts copied", some(upload.parts_copied)),
        ("parts uploaded", some(upload.parts_uploaded)),
        (
            "bytes uploaded",
            Some(upload.bytes_uploaded).filter(|bytes| *bytes > 0).map(size),
        ),
        ("parts done", upload.parts_done.map(|count| count.to_string())),
        (
            "size",
            upload.bytes.map(|bytes| format!("{} ({bytes} bytes)", size(bytes))),
        ),
        ("checksum", upload.checksum.as_deref().map(clean)),
        ("last status", upload.status.map(|status| status.to_string())),
        ("last error", upload.error.as_deref().map(clean)),
        ("last request", upload.request_id.map(|id| id.to_string())),
        ("lakeFS's request", upload.upstream_request_id.as_deref().map(clean)),
        (
            "ended by the gateway",
            upload.reap.as_ref().map(|reap| ended(reap, now)),
        ),
        ("what is left", left(upload)),
    ];
    lines(facts.into_iter().filter_map(|(name, fact)| Some((name, fact?))))
}

/// Sums, a line each.
pub(super) fn sums(stats: &Stats, now: Timestamp) -> String {
    let counts = State::ALL.map(|state| (state.as_str(), stats.counts.of(state).to_string()));
    let mut facts = Vec::from(counts);
    facts.push(("all", stats.counts.total().to_string()));
    facts.push(("completed size", size(stats.completed_bytes)));
    if let Some(oldest) = stats.oldest_live {
        facts.push(("oldest not ended", ago(now.since(oldest))));
    }
    lines(facts)
}

/// What was done with each, a row each.
pub(super) fn reaped(reaped: &[Reaped], now: Timestamp) -> String {
    let rows = reaped.iter().map(|reaped| {
        let what = match reaped.outcome {
            ReapOutcome::WouldAbort => "would abort",
            ReapOutcome::Aborted => "aborted",
            ReapOutcome::Failed => "failed",
            ReapOutcome::OutOfReach => "out of reach",
        };
        [
            reaped.upload.id.to_string(),
            what.to_owned(),
            ago(now.since(reaped.upload.updated)),
            object(&reaped.upload),
            reaped.error.as_deref().map_or_else(String::new, clean),
        ]
    });
    text::grid(["ID", "OUTCOME", "LAST SIGN", "OBJECT", ""], rows)
}

fn ended(reap: &Reap, now: Timestamp) -> String {
    let when = ago(now.since(reap.at));
    let error = reap.error.as_deref().map(|error| format!(": {}", clean(error)));
    let what = match reap.end {
        Some(ReapEnd::Aborted) => format!("aborted {when}"),
        Some(ReapEnd::OutOfReach) => "not any more: lakeFS takes its address for 24 hours".into(),
        None => format!("tried {} times, last {when}", reap.attempts),
    };
    format!("{what}{}", error.unwrap_or_default())
}

/// What only the object store can remove.
fn left(upload: &Upload) -> Option<String> {
    upload
        .reap
        .as_ref()
        .filter(|reap| reap.end == Some(ReapEnd::OutOfReach))?;
    let (bucket, key) = upload.stored_at()?;
    let id = upload.upload_id.as_deref()?;
    Some(clean(&format!(
        "only the object store can remove it: a lifecycle rule (AbortIncompleteMultipartUpload) on the bucket, or its own abort of bucket {bucket}, key {key}, upload id {id}"
    )))
}

fn some(count: u32) -> Option<String> {
    (count > 0).then(|| count.to_string())
}

/// As lakeFS's own tools name an object.
fn object(upload: &Upload) -> String {
    clean(&format!(
        "lakefs://{}/{}/{}",
        upload.repository, upload.branch, upload.path
    ))
}

/// Parts done of those asked for.
fn parts(upload: &Upload) -> String {
    let count = |count: Option<u32>| count.map_or_else(|| "-".into(), |count| count.to_string());
    format!("{}/{}", count(upload.parts_done), count(upload.parts_asked))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn columns_stand_under_their_heads() {
        let now = Timestamp::now();
        let mut first = Upload::sample("lake", State::Open);
        (first.created, first.parts_done) = (now.before(Duration::from_secs(200)), None);
        let mut second = Upload::sample("a-longer-name", State::Completed);
        second.principal = Some("someone with a long name".into());
        (second.created, second.bytes, second.parts_done) =
            (now.before(Duration::from_secs(90_000)), Some(5_242_890), Some(3));
        let text = table(&[first, second], now);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        for name in ["OBJECT", "PRINCIPAL", "STATE"] {
            let at = lines[0].find(name).unwrap();
            for line in &lines[1..] {
                assert!(
                    line.get(at - 2..at) == Some("  ") && line.as_bytes()[at] != b' ',
                    "{name}: {text}"
                );
            }
        }
        assert!(
            lines[1].contains("  3m ago")
                && lines[1].contains("  -/3  ")
                && lines[1].ends_with("lakefs://lake/main/a/b")
        );
        assert!(lines[2].contains("  25h ago") && lines[2].contains("  3/3  ") && lines[2].contains("  5.0 MiB"));
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut upload = Upload::sample("lake", State::Open);
        upload.path = "a\u{1b}[2Jb\r\n\u{202e}ü".into();
        upload.error = Some("\u{9b}31m".into());
        let now = Timestamp::now();
        for text in [table(std::slice::from_ref(&upload), now), card(&upload, now)] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert!(text.contains(r"a\u{1b}[2Jb\r\n\u{202e}ü"), "{text}");
        }
    }

    #[test]
    fn a_card_has_no_line_for_what_is_not_known() {
        let text = card(&Upload::sample("lake", State::Open), Timestamp::now());
        assert!(text.contains("parts asked        3\n"), "{text}");
        assert!(!text.contains("checksum") && !text.contains("parts copied"), "{text}");
    }

    #[test]
    fn what_is_beyond_lakefs_is_named_for_the_object_store() {
        let now = Timestamp::now();
        let mut upload = Upload::sample("lake", State::Abandoned);
        upload.upload_id = Some("u1".into());
        upload.physical_address = Some("s3://bucket/ns/data/x".into());
        assert!(!card(&upload, now).contains("what is left"));
        upload.reap = Some(Reap {
            attempts: 3,
            at: now,
            next: now,
            error: Some("lakeFS answered 503: no".into()),
            end: Some(ReapEnd::OutOfReach),
        });
        let text = card(&upload, now);
        assert!(text.contains("bucket bucket, key ns/data/x, upload id u1"), "{text}");
        assert!(text.contains("24 hours: lakeFS answered 503: no"), "{text}");
    }

    #[test]
    fn ages_and_sizes_have_one_unit() {
        for (seconds, text) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (7200, "2h ago"),
            (172_800, "2d ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
