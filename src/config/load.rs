//! From a file and the environment to a [`Config`], or to everything that is wrong with it.

use std::path::Path;

use super::{Config, Problem, Problems};

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
    let Some(file) = file else {
        return Ok(Loaded {
            config: Config::default(),
            warnings: Vec::new(),
        });
    };
    let one = |message: String| Problems(vec![Problem::error("", message, "")]);
    let text = std::fs::read_to_string(file).map_err(|error| one(format!("{}: {error}", file.display())))?;
    let config = serde_saphyr::from_str(&text).map_err(|error| one(error.to_string()))?;
    Ok(Loaded {
        config,
        warnings: Vec::new(),
    })
}
