//! House rules that a machine can hold: who may import whom, how a file begins and how long it may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module's floor: a file may use crate modules of a lower floor, and its own folder.
const FLOORS: &[&[&str]] = &[
    &["lakefs"],
    &["config"],
    &["exchange"],
    &["observe", "store"],
    &["lakefs_client", "replicas"],
    &["audit", "auth", "limit", "guard", "record", "uploads", "upstream"],
    &["pipeline", "admin"],
    &["sandbox"],
    &["server"],
    &["cli"],
];

/// The sandbox plays lakeFS: it must not share the gateway's own judgement.
const SANDBOX_MAY_USE: &[&str] = &["lakefs", "config", "exchange"];

#[test]
fn imports_run_downward_only() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(own) = module(&file) else { continue };
        for used in crate_modules(&text) {
            let (Some(from), Some(to)) = (floor(&own), floor(&used)) else {
                wrong.push(format!("{}: `{used}` has no floor in this test", file.display()));
                continue;
            };
            let sandboxed = own == "sandbox" && !SANDBOX_MAY_USE.contains(&used.as_str());
            if used != own && (to >= from || sandboxed) {
                wrong.push(format!("{}: {own} may not import {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_says_what_it_is_for_and_stays_short() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin with what it is for", file.display()));
        }
        if text.lines().count() > 600 {
            wrong.push(format!("{}: more than 600 lines", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The top module a file belongs to; none for `main.rs` and `lib.rs`.
fn module(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root()).ok()?;
    let first = inside
        .components()
        .next()?
        .as_os_str()
        .to_str()?
        .trim_end_matches(".rs")
        .to_owned();
    (first != "main" && first != "lib").then_some(first)
}

/// Every `crate::x` in code (comments and their links aside), also of nested `use crate::{x, y}`.
fn crate_modules(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut modules = Vec::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(list) => modules.extend(top_names(list)),
            None => modules.extend(name(after)),
        }
    }
    modules
}

/// The first names of a `{a::b, c}` list.
fn top_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.extend(list.get(start..at).and_then(|item| name(item.trim())));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.extend(list.get(start..at).and_then(|item| name(item.trim())));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn name(text: &str) -> Option<String> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<(PathBuf, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    files
}
