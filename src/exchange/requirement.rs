//! What a rule asks before a request may go. Guard, which knows the rules, puts it into the context; record meets it below the turn on the
//! branch, where what it is compared with stays true until the request goes.

use crate::config::{Mode, RuleMode};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The commit about to be lost, named by the client in [`super::headers::CONFIRM`].
    Confirmation,
    /// A one-time approval by a second person (`lakegate approve`).
    Approval,
}

/// One rule's demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// What it asks.
    pub ask: Ask,
    /// The rule's name.
    pub rule: String,
    /// Whether the rule bites, or only says what it would have done.
    pub mode: RuleMode,
}

impl Requirement {
    /// Whether it bites in a gateway of this mode.
    pub fn effective(&self, mode: Mode) -> Mode {
        match self.mode {
            RuleMode::Enforce => mode,
            RuleMode::Shadow => Mode::Observe,
        }
    }
}
