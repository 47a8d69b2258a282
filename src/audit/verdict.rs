//! What became of a request, by what is known of it at its end. Pure.

use crate::exchange::Facts;

use super::Outcome;

/// Between the moment it was given to the upstream and lakeFS's answer nobody knows, unless lakeFS was never reached.
pub(super) fn of(facts: &Facts) -> Outcome {
    let refused = facts.decision == Some("refused");
    match facts.upstream_status {
        Some(..400) if facts.shadow.is_empty() => Outcome::Allowed,
        Some(..400) => Outcome::Shadow,
        Some(_) => Outcome::Failed,
        None if !facts.forwarded && refused => Outcome::Refused,
        // Its client left before its turn.
        None if !facts.forwarded => Outcome::Failed,
        None if refused && facts.reason == Some("upstream-down") => Outcome::Failed,
        None => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_no_more_than_is_known() {
        let facts = |forwarded, reason: Option<&'static str>, upstream_status| Facts {
            forwarded,
            reason,
            decision: match reason {
                Some(_) => Some("refused"),
                None => forwarded.then_some("forwarded"),
            },
            upstream_status,
            ..Facts::default()
        };
        for (facts, outcome) in [
            (facts(true, None, Some(200)), Outcome::Allowed),
            (facts(true, None, Some(307)), Outcome::Allowed),
            (facts(true, None, Some(409)), Outcome::Failed),
            (facts(true, None, Some(500)), Outcome::Failed),
            (facts(false, Some("guarded"), None), Outcome::Refused),
            (facts(false, Some("body-broken"), None), Outcome::Refused),
            (facts(false, None, None), Outcome::Failed),
            (facts(true, Some("upstream-down"), None), Outcome::Failed),
            (facts(true, Some("upstream-timeout"), None), Outcome::Unknown),
            (facts(true, Some("upstream-broken"), None), Outcome::Unknown),
            (facts(true, Some("body-broken"), None), Outcome::Unknown),
            (facts(true, None, None), Outcome::Unknown),
        ] {
            assert_eq!(of(&facts), outcome, "{facts:?}");
        }
        let mut shadowed = facts(true, None, Some(204));
        shadowed.shadow.push("rule".to_owned());
        assert_eq!(of(&shadowed), Outcome::Shadow);
    }
}
