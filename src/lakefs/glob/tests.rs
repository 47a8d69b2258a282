//! What gobwas/glob matches, held against a table made by the library itself.

use proptest::prelude::*;

use super::*;

fn verdict(pattern: &str, text: &str) -> &'static str {
    match Glob::new(pattern) {
        Err(_) => "error",
        Ok(glob) if glob.matches(text) => "yes",
        Ok(_) => "no",
    }
}

#[test]
fn says_what_the_library_says() {
    let rows = include_str!("../../../tests/data/globs.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    for row in rows {
        let fields: Vec<_> = row.split('\t').collect();
        let [pattern, text, expected] = fields[..] else {
            panic!("not three fields: {row}")
        };
        let said = verdict(pattern, text);
        if said != expected {
            wrong.push(format!("{pattern} on {text}: {said}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_alternative_that_begins_another_means_what_it_says() {
    assert_eq!(verdict("{release*,release}", "release"), "yes");
    assert_eq!(verdict("{a*,a}", "axx"), "yes");
    assert_eq!(verdict("release-{?,??}", "release-"), "no");
}

#[test]
fn characters_count_not_bytes() {
    assert_eq!(verdict("?[ä-ü]{é,x}", "żüé"), "yes");
    assert_eq!(verdict("??", "ż"), "no");
}

#[test]
fn an_error_says_what_is_wrong() {
    assert_eq!(Glob::new("[z-a]").unwrap_err(), BadPattern::Backwards('z', 'a'));
    assert_eq!(Glob::new("[z-a").unwrap_err(), BadPattern::OpenRange);
    assert_eq!(Glob::new("a\u{fffd}").unwrap_err(), BadPattern::Character);
    assert_eq!(Glob::new(&"{".repeat(1000)).unwrap_err(), BadPattern::TooDeep);
}

#[test]
fn a_hostile_pattern_is_not_slow() {
    let text = "a".repeat(200);
    for (pattern, expected) in [
        ("*a".repeat(60) + "b", "no"),
        ("{a,aa,*}".repeat(20) + "b", "no"),
        ("*{*,a".repeat(32) + "b", "yes"),
        ("*a{*b,a".repeat(32) + "b", "no"),
        ("*a{*b,aaa".repeat(32) + "b", "no"),
        ("a*{*b,".repeat(32) + "b", "no"),
        ("?{*b,a".repeat(32) + "b", "no"),
    ] {
        assert_eq!(verdict(&pattern, &text), expected, "{pattern}");
    }
}

/// The plain meaning of a pattern without braces, by trying every way.
fn plainly(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skip| plainly(rest, &text[skip..])),
        ['?', rest @ ..] => !text.is_empty() && plainly(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && plainly(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn plain_wildcards_mean_what_they_say(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
        let overlap = pattern.trim_matches(|c| c != '*').chars().all(|c| c == '*');
        let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        let expected = plainly(&p, &t);
        prop_assert!(expected == (verdict(&pattern, &text) == "yes") || (overlap && !expected));
    }

    #[test]
    fn any_pattern_on_any_text_ends(pattern in "[ab*?\\[\\]{},!\\\\^-]{0,24}", text in "\\PC{0,24}") {
        let _ = verdict(&pattern, &text);
    }
}
