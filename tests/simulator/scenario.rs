//! Scenarios: what is in `tests/data/limit/`, one file each.

use lakegate::config::LimitConfig;
use serde::Deserialize;

/// One file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it is about.
    pub(crate) about: String,
    /// Where the random numbers begin.
    pub(crate) seed: u64,
    /// How long it takes.
    pub(crate) seconds: u64,
    #[serde(default)]
    pub(crate) limit: LimitConfig,
    pub(crate) lakefs: Capacity,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) expect: Vec<Expect>,
}

/// What lakeFS can do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capacity {
    /// From 0, each takes as long as the mean, to 1, times are exponential.
    #[serde(default)]
    pub(crate) noise: f64,
    pub(crate) phases: Vec<Phase>,
    /// Whether it goes evenly from one phase to the next.
    #[serde(default)]
    pub(crate) gradual: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    #[serde(default)]
    pub(crate) at: f64,
    /// How many it works on at a time.
    pub(crate) servers: usize,
    /// By what factor everything takes longer.
    #[serde(default = "one")]
    pub(crate) slower: f64,
    /// It answers 503 with so many inside.
    #[serde(default)]
    pub(crate) refuses_beyond: Option<usize>,
}

fn one() -> f64 {
    1.0
}

impl Capacity {
    pub(crate) fn at(&self, now: f64) -> Phase {
        let at = self.phases.iter().rposition(|phase| phase.at <= now).unwrap_or(0);
        let mut phase = self.phases[at];
        if let Some(next) = self.phases.get(at + 1).filter(|_| self.gradual) {
            let part = (now - phase.at) / (next.at - phase.at);
            let servers = phase.servers as f64 * (1.0 - part) + next.servers as f64 * part;
            phase.servers = servers.round() as usize;
        }
        phase
    }
}

/// What a tenant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Stat,
    Read,
    List,
    Upload,
    Commit,
    Merge,
}

impl Kind {
    /// How long lakeFS works on it, in the mean.
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::Stat => 0.005,
            Self::Read => 0.020,
            Self::List => 0.100,
            Self::Upload => 0.020,
            Self::Commit | Self::Merge => 0.030,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    /// So many principals like this, each with what follows.
    #[serde(default = "single")]
    pub(crate) times: usize,
    /// Each is as likely.
    pub(crate) asks: Vec<Kind>,
    /// So many clients that each send one request after the other.
    #[serde(default)]
    pub(crate) clients: usize,
    /// So many requests a second, whatever becomes of them.
    #[serde(default)]
    pub(crate) rate: f64,
    #[serde(default)]
    pub(crate) from: f64,
    #[serde(default = "forever")]
    pub(crate) until: f64,
    /// Every principal has this branch, or else one of its own.
    #[serde(default)]
    pub(crate) branch: Option<String>,
    /// After so long a client goes away.
    #[serde(default)]
    pub(crate) leaves_after: Option<f64>,
}

fn single() -> usize {
    1
}

fn forever() -> f64 {
    f64::INFINITY
}

/// What must hold, of requests that were sent, or seconds that were, between `from` and `until`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) what: What,
    /// Of which tenants; none: of all.
    #[serde(default)]
    pub(crate) of: Option<String>,
    #[serde(default)]
    pub(crate) from: f64,
    #[serde(default = "forever")]
    pub(crate) until: f64,
    #[serde(default)]
    pub(crate) at_least: Option<f64>,
    #[serde(default)]
    pub(crate) at_most: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// The part of what lakeFS could have worked that it worked.
    Utilisation,
    /// The limit in force, in the mean.
    Limit,
    /// Jain's index of what was done for each principal.
    Jain,
    /// How many were answered 420, 423, 429, 500 or 503.
    Refused,
    /// How many were done in a second.
    Rate,
    /// The 99th percentile of the time to the answer, in seconds.
    P99,
    /// The same over that of a run in which nobody else is there.
    P99OverAlone,
    /// Refusals in a run without lakegate.
    RefusedDirect,
    /// Done in a second in a run without lakegate.
    RateDirect,
    /// The 99th percentile without lakegate.
    P99Direct,
}
