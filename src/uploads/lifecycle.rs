//! How an upload moves from state to state. Pure; steps may come out of order, twice, and from two clients at once.
//!
//! Two facts of lakeFS (pkg/api/controller.go, CompletePresignMultipartUpload) shape it: a complete first finishes the upload in the object
//! store and only then writes the entry, so an answer other than 2xx, 400 or 401 may leave a finished object without an entry; and
//! what a repeated complete or abort answers depends on the object store.

use crate::store::State;

/// One step of an upload's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin it.
    Create,
    /// Ask for the URL of one part. lakeFS does not check that the upload exists.
    PartPresign,
    /// Let lakeFS copy a part from an object.
    PartCopy,
    /// Send a part, by S3.
    Part,
    /// Ask which parts there are, by S3.
    List,
    /// Ask for the request by which the client itself completes it at the object store; whether it does is not seen.
    CompleteRequest,
    /// The same for an abort.
    AbortRequest,
    /// Make an object of the parts.
    Complete,
    /// Give it up.
    Abort,
}

impl Step {
    /// Its name in events and metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::PartPresign => "part_presign",
            Self::PartCopy => "part_copy",
            Self::Part => "part",
            Self::List => "list",
            Self::CompleteRequest => "complete_request",
            Self::AbortRequest => "abort_request",
            Self::Complete => "complete",
            Self::Abort => "abort",
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on its way.
    Asked,
    /// lakeFS did it.
    Done,
    /// The gateway refused it, or could not reach lakeFS: nothing happened.
    Refused,
    /// lakeFS refused it before it touched the object store (400, 401).
    Denied,
    /// lakeFS answered with another error: the object store may have done its part.
    Failed,
    /// No answer came: nobody knows.
    Lost,
}

impl Outcome {
    /// Its name in events.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Done => "ok",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }
}

/// Where an upload stands after a step; `None` is one that the ledger does not know.
pub(super) fn next(state: Option<State>, step: Step, outcome: Outcome) -> State {
    // A completed upload stays one: what comes after can only be late, a repeat, or an abort that found nothing to do.
    if state == Some(State::Completed) {
        return State::Completed;
    }
    match step {
        Step::Create => create(state, outcome),
        Step::PartPresign | Step::PartCopy | Step::Part => part(state, step, outcome),
        Step::CompleteRequest | Step::AbortRequest => part(state, Step::PartPresign, outcome),
        // Who looks at an upload is about to go on with it.
        Step::List if (state, outcome) == (Some(State::Abandoned), Outcome::Done) => State::Open,
        Step::List => state.unwrap_or(State::Unknown),
        Step::Complete => complete(state, outcome),
        Step::Abort if outcome == Outcome::Done => State::Aborted,
        Step::Abort => state.unwrap_or(State::Unknown),
    }
}

fn create(state: Option<State>, outcome: Outcome) -> State {
    match (state, outcome) {
        (None, Outcome::Asked) => State::Intent,
        (None | Some(State::Intent | State::Unknown), Outcome::Done) => State::Open,
        (None | Some(State::Intent), Outcome::Refused | Outcome::Denied | Outcome::Failed) => State::Failed,
        // Its intent is on disk before it goes to lakeFS: without one it never went.
        (None, Outcome::Lost) => State::Failed,
        (Some(State::Intent), Outcome::Lost) => State::Unknown,
        (Some(state), _) => state,
    }
}

fn part(state: Option<State>, step: Step, outcome: Outcome) -> State {
    match (state, outcome) {
        (None | Some(State::Intent | State::Abandoned), Outcome::Done) => State::Open,
        // The object store took a part: the upload whose answer was lost is still open.
        (Some(State::Unknown), Outcome::Done) if step != Step::PartPresign => State::Open,
        (state, _) => state.unwrap_or(State::Unknown),
    }
}

fn complete(state: Option<State>, outcome: Outcome) -> State {
    match (state, outcome) {
        (_, Outcome::Done) => State::Completed,
        // What is known of the end already is not forgotten for another try.
        (Some(State::Aborted), _) => State::Aborted,
        (Some(State::Failed | State::Unknown), Outcome::Asked) => state.unwrap_or(State::Unknown),
        (_, Outcome::Asked) => State::Completing,
        (Some(State::Completing), Outcome::Refused | Outcome::Denied) => State::Open,
        (_, Outcome::Refused | Outcome::Denied) => state.unwrap_or(State::Unknown),
        // The repeat of a complete whose answer was lost: on AWS it fails because the first one succeeded.
        (Some(State::Unknown), Outcome::Failed) => State::Unknown,
        (_, Outcome::Failed) => State::Failed,
        (_, Outcome::Lost) => State::Unknown,
    }
}

/// Where an upload stands that gave no sign of life for long.
pub(super) fn stale(state: State) -> State {
    match state {
        State::Open => State::Abandoned,
        State::Intent | State::Completing => State::Unknown,
        ended => ended,
    }
}

/// Where an upload stands after the gateway was started anew: the answers that were under way are lost.
pub(super) fn restarted(state: State) -> State {
    match state {
        State::Intent | State::Completing => State::Unknown,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const STEPS: [Step; 9] = [
        Step::Part,
        Step::List,
        Step::CompleteRequest,
        Step::AbortRequest,
        Step::Create,
        Step::PartPresign,
        Step::PartCopy,
        Step::Complete,
        Step::Abort,
    ];
    const OUTCOMES: [Outcome; 6] = [
        Outcome::Asked,
        Outcome::Done,
        Outcome::Refused,
        Outcome::Denied,
        Outcome::Failed,
        Outcome::Lost,
    ];

    fn run(start: Option<State>, steps: &[(Step, Outcome)]) -> Option<State> {
        steps
            .iter()
            .fold(start, |state, (step, outcome)| Some(next(state, *step, *outcome)))
    }

    #[test]
    fn an_upload_goes_its_usual_way() {
        use Outcome::{Asked, Done};
        let way = [
            (Step::Create, Asked, State::Intent),
            (Step::Create, Done, State::Open),
            (Step::PartPresign, Done, State::Open),
            (Step::PartCopy, Done, State::Open),
            (Step::Complete, Asked, State::Completing),
            (Step::Complete, Done, State::Completed),
            (Step::Abort, Done, State::Completed),
        ];
        let mut state = None;
        for (step, outcome, expected) in way {
            state = Some(next(state, step, outcome));
            assert_eq!(state, Some(expected), "{step:?} {outcome:?}");
        }
    }

    #[test]
    fn what_each_failure_leaves_behind() {
        use Outcome::{Asked, Denied, Done, Failed, Lost, Refused};
        let open = [(Step::Create, Asked), (Step::Create, Done)];
        let table: &[(&[(Step, Outcome)], State)] = &[
            (&[(Step::Complete, Asked), (Step::Complete, Refused)], State::Open),
            (&[(Step::Complete, Asked), (Step::Complete, Denied)], State::Open),
            (&[(Step::Complete, Asked), (Step::Complete, Failed)], State::Failed),
            (&[(Step::Complete, Asked), (Step::Complete, Lost)], State::Unknown),
            // The SDK sends it again and again; the object store says that there is no such upload.
            (
                &[
                    (Step::Complete, Lost),
                    (Step::Complete, Asked),
                    (Step::Complete, Failed),
                ],
                State::Unknown,
            ),
            (&[(Step::Complete, Lost), (Step::Complete, Done)], State::Completed),
            // lakeFS refused the entry; the repeat is refused by the gateway.
            (
                &[
                    (Step::Complete, Failed),
                    (Step::Complete, Asked),
                    (Step::Complete, Refused),
                ],
                State::Failed,
            ),
            (&[(Step::Abort, Failed)], State::Open),
            (&[(Step::Abort, Done), (Step::Complete, Failed)], State::Aborted),
            // Two clients: one gives up while the other's complete wins.
            (
                &[(Step::Complete, Asked), (Step::Abort, Done), (Step::Complete, Done)],
                State::Completed,
            ),
        ];
        for (steps, expected) in table {
            assert_eq!(run(run(None, &open), steps), Some(*expected), "{steps:?}");
        }
        assert_eq!(
            run(None, &[(Step::Create, Asked), (Step::Create, Lost)]),
            Some(State::Unknown)
        );
        assert_eq!(run(None, &[(Step::Create, Refused)]), Some(State::Failed));
        assert_eq!(run(None, &[(Step::Create, Lost)]), Some(State::Failed));
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, Outcome)>> {
        prop::collection::vec((select(&STEPS[..]), select(&OUTCOMES[..])), 0..12)
    }

    proptest! {
        #[test]
        fn a_complete_that_was_done_ends_completed_in_any_order(steps in steps(), at in 0..12_usize) {
            let mut steps = steps;
            steps.insert(at.min(steps.len()), (Step::Complete, Outcome::Done));
            prop_assert_eq!(run(None, &steps), Some(State::Completed));
        }

        #[test]
        fn after_an_abort_only_a_done_complete_changes_anything(steps in steps()) {
            let end = run(Some(State::Aborted), &steps);
            let completed = steps.contains(&(Step::Complete, Outcome::Done));
            prop_assert_eq!(end, Some(if completed { State::Completed } else { State::Aborted }));
        }

        #[test]
        fn a_repeated_answer_changes_nothing(start in prop::option::of(select(&State::ALL[..])), step in select(&STEPS[..]), outcome in select(&OUTCOMES[..])) {
            let once = next(start, step, outcome);
            prop_assert_eq!(next(Some(once), step, outcome), once);
        }

        #[test]
        fn nothing_known_becomes_an_intent_again(start in select(&State::ALL[..]), steps in steps()) {
            prop_assume!(start != State::Intent);
            prop_assert_ne!(run(Some(start), &steps), Some(State::Intent));
        }

        #[test]
        fn what_did_not_happen_ends_nothing_that_was_open(steps in prop::collection::vec((select(&STEPS[..]), select(&[Outcome::Refused, Outcome::Denied][..])), 0..12)) {
            prop_assert_eq!(run(Some(State::Open), &steps), Some(State::Open));
        }

        #[test]
        fn time_and_restarts_leave_nothing_live_for_ever(state in select(&State::ALL[..])) {
            prop_assert!(!stale(state).is_live());
            prop_assert_eq!(stale(stale(state)), stale(state));
            prop_assert_eq!(restarted(state) == state, !matches!(state, State::Intent | State::Completing));
        }
    }
}
