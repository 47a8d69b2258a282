//! The command as a shell sees it: exit codes, and what goes to which stream.

use std::process::{Command, Output};

fn lakegate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakegate"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_file_is_told_in_one_line() {
    let output = lakegate(&["check", "config/minimal.yaml", "config/reference.yaml"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("config/minimal.yaml: good: 127.0.0.1:8080 -> http://127.0.0.1:8000"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("guarded: main-stays"), "{}", lines[0]);
}

#[test]
fn all_bad_files_are_told_on_stderr_with_64() {
    let output = lakegate(&[
        "check",
        "tests/data/config/bad/tab.yaml",
        "config/production.yaml",
        "nowhere.yaml",
    ]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(64), ""));
    let told = text(&output.stderr);
    for part in [
        "bad/tab.yaml:2:2",
        "`LAKEFS_KEY`, which is not set",
        "`LAKEFS_SECRET`, which is not set",
        "--> nowhere.yaml",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn the_schema_names_every_section() {
    let output = lakegate(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["upstream"]["$ref"], "#/$defs/UpstreamConfig");
    assert_eq!(
        schema["$defs"]["LimitConfig"]["properties"]["max_wait"]["default"],
        "30s"
    );
    assert!(schema["$defs"]["RuleConfig"]["properties"]["name"]["description"].is_string());
}

#[test]
fn wrong_usage_is_64_and_asked_for_help_is_not() {
    for arguments in [&["check"][..], &["chekc"], &[]] {
        let output = lakegate(arguments);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(64), ""),
            "{arguments:?}"
        );
        assert!(!output.stderr.is_empty());
    }
    for arguments in [&["--help"][..], &["check", "--help"], &["schema", "--help"]] {
        let output = lakegate(arguments);
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), ""),
            "{arguments:?}"
        );
        assert!(text(&output.stdout).contains("Examples:"), "{arguments:?}");
    }
}
