//! Whole files: each under `tests/data/config` has beside it exactly what is said of it, and the files under `config/` hold what they
//! promise. `BLESS=1 cargo test config` writes the texts anew; read what changed before you commit it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::environment::Environment;
use super::load::load_in;
use super::{Config, Loaded, Problems, schema};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn load(file: &Path, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load_in(Some(file), &Environment::of(variables))
}

/// Loads each file of a folder, with the variables that its lines `# env NAME=VALUE` name, and compares what `said` says of it.
fn compare(folder: &str, said: impl Fn(Result<Loaded, Problems>) -> String) {
    let folder = Path::new(ROOT).join("tests/data/config").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        let variables = text
            .lines()
            .filter_map(|line| line.strip_prefix("# env ")?.split_once('='));
        let text = said(load(&file, &variables.collect::<Vec<_>>())).replace(&format!("{}/", folder.display()), "");
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &text).unwrap();
        }
        if std::fs::read_to_string(&expected).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "not as the texts beside them:\n{}", wrong.join("\n"));
}

#[test]
fn each_bad_file_is_refused_with_the_text_beside_it() {
    compare("bad", |reading| reading.unwrap_err().to_string());
}

#[test]
fn each_doubtful_file_is_taken_with_the_warning_beside_it() {
    compare("warned", |reading| Problems(reading.unwrap().warnings).to_string());
}

#[test]
fn no_text_shows_a_secret() {
    for folder in ["bad", "warned"] {
        for entry in std::fs::read_dir(Path::new(ROOT).join("tests/data/config").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                assert!(
                    !std::fs::read_to_string(&path).unwrap().contains("hunter2"),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_files_that_we_ship_are_good() {
    let variables = [("LAKEFS_KEY", "key"), ("LAKEFS_SECRET", "secret")];
    for name in ["minimal", "reference", "production"] {
        let loaded = load(&Path::new(ROOT).join(format!("config/{name}.yaml")), &variables).unwrap();
        assert_eq!(loaded.warnings, [], "{name}");
    }
    assert!(read("config/minimal.yaml").lines().count() <= 10);
}

#[test]
fn the_reference_says_the_defaults() {
    let loaded = load(&Path::new(ROOT).join("config/reference.yaml"), &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_reference_names_every_key() {
    let mut known = BTreeSet::new();
    let schema = schema();
    paths(&schema, &schema, "", &mut known);
    assert!(known.contains("guard.rules.branches") && known.contains("auth.upstream.login.secret_access_key"));
    let named = named(&read("config/reference.yaml"));
    let missing: Vec<&String> = known.difference(&named).collect();
    assert!(missing.is_empty(), "not in config/reference.yaml: {missing:?}");
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "no such keys: {unknown:?}");
}

/// The paths of all keys below a schema.
fn paths(root: &Json, schema: &Json, path: &str, known: &mut BTreeSet<String>) {
    let target = schema
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|name| root.pointer(name.strip_prefix('#')?));
    let alternatives = ["anyOf", "oneOf"]
        .into_iter()
        .filter_map(|word| schema.get(word)?.as_array())
        .flatten();
    // Of a mapping with free keys what stands below each.
    let free = schema.get("additionalProperties").filter(|below| below.is_object());
    for below in target
        .into_iter()
        .chain(schema.get("items"))
        .chain(free)
        .chain(alternatives)
    {
        paths(root, below, path, known);
    }
    for (name, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        known.insert(path.clone());
        paths(root, below, &path, known);
    }
}

/// The paths of all keys that a text names, in comments as well: `# key: value` is read as if the mark were not there.
fn named(text: &str) -> BTreeSet<String> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut named = BTreeSet::new();
    for line in text.lines() {
        let indent = |text: &str| text.len() - text.trim_start().len();
        let (mut column, mut rest) = (indent(line), line.trim_start());
        while let Some(after) = rest.strip_prefix("# ").or_else(|| rest.strip_prefix("- ")) {
            column += indent(after) + if rest.starts_with('-') { 2 } else { 0 };
            rest = after.trim_start();
        }
        let Some((key, value)) = rest.split_once(':') else {
            continue;
        };
        let is_key = !key.is_empty() && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        // Sentences that begin with a word and a colon are those that go on with more than one word.
        let prose =
            line.trim_start().starts_with('#') && value.split_whitespace().count() > 1 && !value.contains(['[', '{']);
        if is_key && !prose && (value.is_empty() || value.starts_with(' ')) {
            above.retain(|(parent, _)| *parent < column);
            above.push((column, key));
            let path: Vec<&str> = above.iter().map(|(_, key)| *key).collect();
            named.insert(path.join("."));
        }
    }
    named
}

#[test]
fn variables_lie_over_the_file() {
    let file = Path::new(ROOT).join("config/minimal.yaml");
    let variables = [
        ("LAKEGATE__LOG__FORMAT", "json"),
        ("LAKEGATE__LISTEN", "127.0.0.1:1, 127.0.0.1:2"),
        ("LAKEGATE__UPSTREAM__S3_DOMAINS", "a.example,b.example"),
        ("LAKEGATE__LIMIT__MAX_WAITING", "7"),
        ("LAKEGATE__STORE", "memory"),
        ("LAKEGATE_PORT", "tcp://10.0.0.1:80"),
    ];
    let config = load(&file, &variables).unwrap().config;
    assert_eq!(config.log.format, super::LogFormat::Json);
    assert_eq!(config.listen.listeners().len(), 2);
    assert_eq!(config.upstream.s3_domains, ["a.example", "b.example"]);
    assert_eq!(
        (config.limit.max_waiting, config.store),
        (7, super::StoreConfig::Memory)
    );
    assert_eq!(config.guard.rules.len(), 1, "what the file says stays");
}

#[test]
fn scalars_stay_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lakegate.yaml");
    let text = "guard:\n  rules:\n    - { name: 012, branches: [1.10, on, 1e3, 0x10, null-ish, \"${env:N}\"] }\n";
    std::fs::write(&file, text).unwrap();
    let config = load(&file, &[("N", "0042")]).unwrap().config;
    let rule = config.guard.rules.first().unwrap();
    assert_eq!(rule.name, "012");
    assert_eq!(rule.branches(), ["1.10", "on", "1e3", "0x10", "null-ish", "0042"]);
}

#[test]
fn access_keys_are_named_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lakegate.yaml");
    let write = |text: &str| std::fs::write(&file, format!("auth:\n  s3_keys:\n{text}")).unwrap();
    write("    AKIA.Some_key-1: { principal: etl, groups: [writers] }\n    akia.some_key-1: { principal: Wendy }\n");
    let keys = load(&file, &[]).unwrap().config.auth.s3_keys;
    let owner = |id: &str| keys.get(id).map(|key| (&*key.principal, key.groups.join(",")));
    assert_eq!(owner("AKIA.Some_key-1"), Some(("etl", "writers".to_owned())));
    assert_eq!(owner("akia.some_key-1"), Some(("Wendy", String::new())));
    for (text, problem) in [
        ("    A: {}\n", "principal"),
        ("    A: { principal: \"\" }\n", "is empty"),
        ("    A: { principal: x, group: y }\n", "groups"),
        ("    A: x\n", "mapping"),
    ] {
        write(text);
        let problems = load(&file, &[]).unwrap_err().to_string();
        assert!(
            problems.contains(problem) && problems.contains("s3_keys.A"),
            "{text}{problems}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems = load(Path::new("nowhere.yaml"), &[]).unwrap_err().to_string();
    assert!(
        problems.contains("cannot be read") && problems.contains("--> nowhere.yaml"),
        "{problems}"
    );
}

#[test]
fn without_a_file_only_the_environment_counts() {
    let loaded = load_in(None, &Environment::of(&[("LAKEGATE__LIMIT__MAX_WAIT", "5s")])).unwrap();
    assert_eq!(
        (loaded.config.limit.max_wait.to_string(), loaded.warnings.len()),
        ("5s".to_owned(), 0)
    );
}

#[test]
fn marks_and_line_ends_of_other_systems_are_taken() {
    let text = "\u{feff}upstream:\r\n  url: http://127.0.0.1:9000\r\nguard:\r\n  rules: []\r\n";
    let config = load_text(text).unwrap().config;
    assert_eq!(config.upstream.url.port, 9000);
}

fn load_text(text: &str) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lakegate.yaml");
    std::fs::write(&file, text).unwrap();
    load(&file, &[])
}

/// What values are replaced with, and keys.
const PIECES: &[&str] = &[
    "", " ", "~", "true", "yes", "7", "012", "-1", "1.5", "5s", "4KiB", "[]", "[a, b]", "{}", "{ a: b }", "\"7\"", "|",
    "&a x", "*a", "!!str 5", "\t", "'", "# x", "embedded",
];

/// A whole configuration with one line gone, one too many, or one value replaced.
fn spoilt() -> impl Strategy<Value = String> {
    // A list with something in it instead of the empty one; and no section whose keys are all commented out, see below.
    let reference = read("config/reference.yaml")
        .replace("guard:\n", "")
        .replace("  rules: []\n", "")
        .replace("  tls:\n", "");
    let rules = "guard:\n  rules:\n    - { name: a, branches: [main] }\n    - name: b\n      branches: [x]\n";
    let whole = reference + rules;
    let lines: Vec<String> = whole
        .lines()
        .filter(|line| !line.contains('#'))
        .map(str::to_owned)
        .collect();
    (0..lines.len(), 0..3_u8, prop::sample::select(PIECES)).prop_map(move |(at, how, piece)| {
        let mut lines = lines.clone();
        match how {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, format!("{piece}: {piece}")),
            _ => {
                lines[at] = lines[at]
                    .split_once(": ")
                    .map_or(piece.to_owned(), |(key, _)| format!("{key}: {piece}"))
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // serde-saphyr, which knows nothing of our tree and our layers, is the witness: what both take, they read alike.
    #[test]
    fn nothing_is_left_out_unsaid(text in spoilt()) {
        match (load_text(&text), serde_saphyr::from_str::<Config>(&text)) {
            (Ok(loaded), Ok(witness)) => prop_assert_eq!(loaded.config, witness),
            (Err(problems), _) => prop_assert!(!problems.0.is_empty()),
            // The witness takes no empty section, and that is all the difference.
            (Ok(_), Err(error)) => {
                let error = error.to_string();
                let empty = ["expected mapping start", "expected sequence start"].iter().any(|start| error.contains(start));
                prop_assert!(empty, "{}", error);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\t\u{e9}]{0,80}") {
        if let Err(problems) = load_text(&text) {
            prop_assert!(problems.to_string().starts_with(['e', 'w']));
        }
    }
}
