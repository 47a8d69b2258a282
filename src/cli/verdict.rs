//! What the rules of a configuration say of a request, in one word: shared by `policy test` and `replay`.

use std::net::IpAddr;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Effect, Mode};
use crate::exchange::Principal;
use crate::guard::{self, Asked, Opinion, Rules};
use crate::lakefs::Classified;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
    /// It passes with a confirmation or an approval.
    Require,
    /// It is refused for now.
    Freeze,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Require => "require",
            Self::Freeze => "freeze",
        }
    }

    /// What a refusal of the past was, by its reason code. None for those in which no rule had a say.
    pub(super) fn of_reason(reason: &str) -> Option<Self> {
        match reason {
            "guarded" | "not-granted" => Some(Self::Deny),
            "frozen" => Some(Self::Freeze),
            "confirmation-required" | "confirmation-stale" | "approval-required" => Some(Self::Require),
            _ => None,
        }
    }
}

/// The verdict, and the rules that speak.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// The rule that decided; `default` where nothing granted it.
    pub(super) by: Option<String>,
    /// The rules in shadow that would have refused it.
    pub(super) shadow: Vec<String>,
    /// Every rule that had a say, in whatever sense.
    pub(super) spoke: Vec<String>,
}

/// Who sends a request, whence and when.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) principal: Option<Principal>,
    pub(super) address: IpAddr,
    pub(super) now: jiff::Timestamp,
}

/// Asks the gateway's own code.
pub(super) fn judge(
    classified: &Classified,
    method: &Method,
    sender: &Sender,
    rules: &Rules,
    config: &Config,
) -> Judgement {
    let asked = Asked {
        classified,
        method,
        principal: sender.principal.as_ref(),
        address: sender.address,
        now: sender.now,
    };
    let mut decision = guard::decide(asked, rules);
    if config.mode == Mode::Observe {
        decision.shadow.extend(decision.denied.take());
    }
    let asks = decision
        .required
        .iter()
        .find(|refusal| refusal.rule.is_some_and(|rule| !rule.is_shadow()));
    let asks = asks.filter(|_| config.mode == Mode::Enforce);
    let verdict = match (&decision.denied, asks) {
        (Some(refusal), _) if refusal.rule.is_some_and(|rule| rule.effect() == Effect::Freeze) => Verdict::Freeze,
        (Some(_), _) => Verdict::Deny,
        (None, Some(_)) => Verdict::Require,
        (None, None) => Verdict::Allow,
    };
    let speaks = |opinion| {
        matches!(
            opinion,
            Opinion::Refuses | Opinion::WouldRefuse | Opinion::Requires | Opinion::Grants
        )
    };
    Judgement {
        verdict,
        by: decision
            .denied
            .as_ref()
            .or(asks)
            .map(|refusal| refusal.by_name().to_owned()),
        shadow: decision
            .shadow
            .iter()
            .map(|refusal| refusal.by_name().to_owned())
            .collect(),
        spoke: guard::opinions(asked, rules)
            .into_iter()
            .filter(|(_, opinion)| speaks(*opinion))
            .map(|(rule, _)| rule.name().to_owned())
            .collect(),
    }
}
