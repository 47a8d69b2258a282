//! Sets of operations: what a rule names by id and class, and what a role may do. Pure.

use crate::config::Role;
use crate::lakefs::{Class, Operation};

const WORDS: usize = Operation::ALL.len().div_ceil(64);

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Operations([u64; WORDS]);

impl Operations {
    pub(super) fn of(role: Role) -> Self {
        Operation::ALL
            .iter()
            .copied()
            .filter(|operation| may(role, *operation))
            .collect()
    }

    pub(super) fn has(&self, operation: Operation) -> bool {
        let at = operation as usize;
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (word, others) in self.0.iter_mut().zip(other.0) {
            *word |= others;
        }
    }
}

impl Extend<Operation> for Operations {
    fn extend<I: IntoIterator<Item = Operation>>(&mut self, operations: I) {
        for operation in operations {
            let at = operation as usize;
            if let Some(word) = self.0.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
    }
}

impl FromIterator<Operation> for Operations {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        let mut set = Self::default();
        set.extend(operations);
        set
    }
}

/// What a role may do. What the gateway has no name for is an administrator's alone.
fn may(role: Role, operation: Operation) -> bool {
    use Operation as O;
    role >= match operation {
        // Whoever works with lakeFS at all sees who they are, and the web interface counts itself.
        O::GetCurrentUser | O::PostStatsEvents => Role::Reader,
        O::UnknownApi | O::S3Unknown => Role::Admin,
        O::CreateBranch | O::ResetBranch | O::Commit | O::CommitAsync => Role::Writer,
        O::CreateSymlinkFile => Role::Releaser,
        _ => match operation.spec().class {
            Class::Read => Role::Reader,
            Class::Write => Role::Writer,
            Class::Merge | Class::Branch => match operation {
                O::HardResetBranch => Role::Admin,
                _ => Role::Releaser,
            },
            Class::Admin | Class::Auth => Role::Admin,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_those_below_it_may_and_more() {
        let may = |role| Operations::of(role);
        for pair in [Role::Reader, Role::Writer, Role::Releaser, Role::Admin].windows(2) {
            let (less, more) = (may(pair[0]), may(pair[1]));
            assert!(Operation::ALL.iter().all(|o| !less.has(*o) || more.has(*o)));
            assert_ne!(less, more);
        }
        assert!(Operation::ALL.iter().all(|o| may(Role::Admin).has(*o)));
    }

    #[test]
    fn a_reader_changes_nothing_and_only_an_administrator_moves_branches_anywhere() {
        let reader = Operations::of(Role::Reader);
        assert!(Operation::ALL.iter().all(|o| !(reader.has(*o) && o.spec().mutates)));
        assert!(reader.has(Operation::S3GetObject) && reader.has(Operation::ListRepositories));
        assert!(!Operations::of(Role::Releaser).has(Operation::HardResetBranch));
        assert!(!Operations::of(Role::Releaser).has(Operation::UnknownApi));
        assert!(Operations::of(Role::Writer).has(Operation::S3DeleteObjects));
        assert!(!Operations::of(Role::Writer).has(Operation::MergeIntoBranch));
    }
}
