//! Two versions of one upload's record become one. Pure; commutative, associative and idempotent, so replicas may tell each other what
//! they have in any order and as often as they like, and end with the same record.
//!
//! A record is made of what only grows (counts, the first step, what became known once), and of where it stands, which is taken whole
//! from one of the two: a completed upload stays one, an aborted one but for a complete; else the later sign of life counts. The clocks
//! of replicas must agree to less than the time between two steps of one upload for that to be the right one.

use std::cmp::Ordering;

use super::{State, Upload};

impl Upload {
    /// Makes one record of two versions of it, or of two records that turn out to be of one upload: the older one's id stays.
    pub(super) fn merge(self, other: Self) -> Self {
        let (low, high) = match standing(&self, &other) {
            Ordering::Greater => (other, self),
            Ordering::Less | Ordering::Equal => (self, other),
        };
        Self {
            id: low.id.min(high.id),
            kind: low.kind.max(high.kind),
            repository: low.repository.max(high.repository),
            branch: low.branch.max(high.branch),
            path: low.path.max(high.path),
            upload_id: low.upload_id.max(high.upload_id),
            physical_address: low.physical_address.max(high.physical_address),
            sealed_address: low.sealed_address.max(high.sealed_address),
            principal: low.principal.max(high.principal),
            share: low.share.max(high.share),
            auth_method: low.auth_method.max(high.auth_method),
            client_address: low.client_address.max(high.client_address),
            user_agent: low.user_agent.max(high.user_agent),
            parts_asked: low.parts_asked.max(high.parts_asked),
            parts_presigned: low.parts_presigned.max(high.parts_presigned),
            parts_copied: low.parts_copied.max(high.parts_copied),
            parts_uploaded: low.parts_uploaded.max(high.parts_uploaded),
            bytes_uploaded: low.bytes_uploaded.max(high.bytes_uploaded),
            parts_done: low.parts_done.max(high.parts_done),
            bytes: low.bytes.max(high.bytes),
            checksum: low.checksum.max(high.checksum),
            created: low.created.min(high.created),
            completed: low.completed.max(high.completed),
            repeats: low.repeats.max(high.repeats),
            // Where it stands.
            ..high
        }
    }
}

/// Which of two versions says where it stands. The order is total over all that is taken whole: equal means that it is the same.
fn standing(one: &Upload, other: &Upload) -> Ordering {
    fn of(upload: &Upload) -> impl Ord + '_ {
        let end = match upload.state {
            State::Completed => 2,
            State::Aborted => 1,
            _ => 0,
        };
        let last = (
            upload.status,
            upload.request_id,
            &upload.upstream_request_id,
            &upload.error,
        );
        // What the gateway itself did is no sign of life: it counts until the next one.
        (
            end,
            upload.updated,
            &upload.reap,
            upload.state,
            last,
            &upload.told,
            &upload.orphan,
        )
    }
    of(one).cmp(&of(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use uuid::Uuid;

    use super::super::{Orphan, Reap, ReapEnd, Timestamp, Told};
    use super::*;

    prop_compose! {
        fn reap()(attempts in 0..3_u32, at in 0..3_u64, end in prop::option::of(select(&[ReapEnd::Aborted, ReapEnd::OutOfReach][..]))) -> Reap {
            Reap { attempts, at: Timestamp(at), next: Timestamp(at + 1), error: None, end }
        }
    }

    prop_compose! {
        /// Any version of one record; small ranges, so that parts of two are often equal.
        fn version()(
            id in 1..3_u128,
            state in select(&State::ALL[..]),
            updated in 0..4_u64,
            counts in prop::array::uniform4(0..3_u32),
            known in prop::array::uniform4(prop::option::of("[ab]")),
            numbers in prop::array::uniform3(prop::option::of(0..3_u32)),
            reap in prop::option::of(reap()),
            told in prop::option::of(0..2_u16),
            orphan in prop::option::of(0..2_u64),
        ) -> Upload {
            let [upload_id, physical_address, checksum, error] = known;
            let [parts_done, bytes, status] = numbers;
            Upload {
                id: Uuid::from_u128(id),
                updated: Timestamp(updated),
                parts_presigned: counts[0],
                parts_uploaded: counts[1],
                repeats: counts[2],
                bytes_uploaded: u64::from(counts[3]),
                upload_id, physical_address, checksum, error, parts_done, reap,
                bytes: bytes.map(u64::from),
                status: status.map(|status| status as u16),
                told: told.map(|status| Told { status, ..Told::default() }),
                orphan: orphan.map(|at| Orphan { since: Timestamp(at), ..Orphan::default() }),
                ..Upload::sample("r", state)
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(a in version(), b in version()) {
            prop_assert_eq!(a.clone().merge(b.clone()), b.merge(a));
        }

        #[test]
        fn nor_does_which_two_meet_first(a in version(), b in version(), c in version()) {
            let left = a.clone().merge(b.clone()).merge(c.clone());
            prop_assert_eq!(left, a.merge(b.merge(c)));
        }

        #[test]
        fn nor_how_often(a in version(), b in version()) {
            prop_assert_eq!(a.clone().merge(a.clone()), a.clone());
            let merged = a.merge(b.clone());
            prop_assert_eq!(merged.clone().merge(b), merged);
        }

        #[test]
        fn what_has_ended_stays_so(a in version(), b in version()) {
            let states = [a.state, b.state];
            let merged = a.merge(b).state;
            prop_assert_eq!(merged == State::Completed, states.contains(&State::Completed));
            if states.contains(&State::Aborted) {
                prop_assert!(matches!(merged, State::Aborted | State::Completed));
            }
        }
    }

    #[test]
    fn a_sign_of_life_takes_back_what_the_gateway_has_made_of_silence() {
        let silent = Upload::sample("r", State::Open);
        let abandoned = Upload {
            state: State::Abandoned,
            reap: Some(Reap {
                attempts: 1,
                at: Timestamp(9),
                next: Timestamp(10),
                error: None,
                end: None,
            }),
            ..silent.clone()
        };
        assert_eq!(silent.clone().merge(abandoned.clone()), abandoned);
        let alive = Upload {
            updated: Timestamp(2),
            ..silent
        };
        assert_eq!(abandoned.merge(alive.clone()), alive);
    }
}
