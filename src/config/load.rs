//! From a file and the environment to a [`Config`], or to everything that is wrong with it.
//!
//! The file becomes a tree that knows its lines (`tree`), which is read by the schema while its references are followed (`shape`); the
//! `config` crate lays the variables over the file, serde makes the [`Config`] (`layers`), and `check` looks across its sections.

use std::io::Read as _;
use std::path::Path;

use super::environment::Environment;
use super::layers::{Layer, key_as_written, typed};
use super::problem::{Place, Problem, Problems, Severity, drawn_line};
use super::written::{Written, overlap};
use super::{Config, UpstreamConfig, check, shape, tree};

/// A configuration that was read and found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is not wrong, but should be looked at.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration: the file, and over it the variables of the process's environment that begin with `LAKEGATE__`.
///
/// Without a file only the defaults and the environment count.
pub fn load(file: Option<&Path>) -> Result<Loaded, Problems> {
    load_in(file, &Environment::of_process())
}

/// No configuration, secret or certificate file is longer.
const MAX_FILE: u64 = 1 << 20;

pub(super) fn load_in(file: Option<&Path>, environment: &Environment) -> Result<Loaded, Problems> {
    let text = match file.map(|file| (file.display().to_string(), read_config(file))) {
        Some((name, Ok(text))) => Some((name, text)),
        Some((_, Err(problem))) => return Err(Problems(vec![*problem])),
        None => None,
    };
    from_text(
        text.as_ref().map(|(name, text)| (name.as_str(), text.as_str())),
        environment,
    )
}

/// Reads the text of a file, given with the file's name.
fn from_text(file: Option<(&str, &str)>, environment: &Environment) -> Result<Loaded, Problems> {
    let schema = schemars::schema_for!(Config).to_value();
    let (mut problems, mut written, mut layers) = (Vec::new(), Written::default(), Vec::new());
    let root = file.and_then(|(name, text)| tree::parse(name, text, &mut problems));
    if root.is_none() && !problems.is_empty() {
        return Err(Problems(problems));
    }
    for tree in [root, environment.overlay(&mut problems)].into_iter().flatten() {
        layers.push(Layer(shape::read(
            &tree,
            &schema,
            environment,
            &mut written,
            &mut problems,
        )));
    }
    let typed = typed(layers, &written, &mut problems);
    if let Some((config, root)) = &typed {
        let known = problems.clone();
        let wrong = |key: &str| known.iter().any(|problem| overlap(&problem.key, key));
        for finding in check::findings(config) {
            let keys: Vec<String> = finding.keys().map(|key| key_as_written(root, key)).collect();
            // What looked at a wrong key is not to be believed.
            if !keys.iter().any(|key| wrong(key)) {
                let key = keys.first().cloned().unwrap_or_default();
                problems.push(written.placed(Problem { key, ..finding.problem }, &keys));
            }
        }
    }
    let is_mapping = problems.iter().all(|problem| !problem.key.is_empty());
    if file.is_some() && is_mapping && !written.has("upstream.url") {
        let message = format!("is not named, so {} is taken", UpstreamConfig::default().url);
        problems.push(Problem::warning(
            "upstream.url",
            message,
            "write `upstream: { url: http://HOST:PORT }`",
        ));
    }
    for problem in &mut problems {
        // What was written nowhere is said of the file as a whole.
        problem.place = problem.place.take().or(file.map(|(name, _)| Place::file(name)));
    }
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    match typed {
        Some((config, _)) if problems.iter().all(|problem| problem.severity == Severity::Warning) => Ok(Loaded {
            config,
            warnings: problems,
        }),
        _ => Err(Problems(problems)),
    }
}

/// A small file's text, or a half sentence on why there is none.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is larger than 1 MiB".to_owned());
    }
    Ok(bytes)
}

/// The configuration file's text.
fn read_config(path: &Path) -> Result<String, Box<Problem>> {
    let name = path.display().to_string();
    let bytes = read_bytes(path).map_err(|why| {
        let remedy = "name a file of text that exists and that the gateway may read";
        Box::new(Problem::error("", format!("the file {why}"), remedy).at(Place::file(&name)))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let before = String::from_utf8_lossy(good);
        let last = before.rsplit('\n').next().unwrap_or_default();
        let place = Place::File {
            file: name,
            line: before.matches('\n').count() + 1,
            column: last.chars().count() + 1,
            width: 1,
            text: drawn_line(&format!("{last}\u{fffd}")),
        };
        Box::new(Problem::error("", "the file is not UTF-8", "save it as UTF-8").at(place))
    })
}
