//! Who may go next on one branch: the rules of its line, without time of their own and without waiting. Pure.
//!
//! A mover goes alone; writes to the staging area go beside each other. When both kinds wait they take phases: movers one after another
//! until the writes have waited for [`MOVERS_LAST`], then all writes that wait, and newcomers too until the movers have waited for
//! [`WRITES_JOIN`]; then those under way end, and a mover goes. So neither kind waits for more than one phase of the other, and a phase is
//! long enough to be worth its end: commits by the dozen, writes all at once. Movers take turns by principal, a principal's in order.
//!
//! A write excludes movers for its `lease` only. One that takes longer has its bytes on their way to the object store and not its entry
//! before lakeFS's key-value store; if it is caught all the same, lakeFS tries it again (`safeBranchWrite`, 3 times).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// How long movers go one after another once a write waits.
pub(super) const MOVERS_LAST: Duration = Duration::from_millis(100);
/// How long newcomers may join the writes under way once a mover waits.
pub(super) const WRITES_JOIN: Duration = Duration::from_millis(100);

/// What a turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It moves the branch, or seals its staging area.
    Moves,
    /// It writes to the staging area, and excludes movers for so long at most.
    Writes(Duration),
}

/// One that has its turn or waits for it.
pub(super) type Id = u64;

/// A principal's movers that wait.
#[derive(Debug, Default)]
struct Own {
    /// The round of the last of them.
    round: u64,
    waiting: usize,
}

/// The order on one branch.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: Id,
    /// The mover that has its turn. More than one only beside the order.
    moving: Vec<Id>,
    /// The writes that have their turn, and until when movers wait for them.
    writing: Vec<(Id, Instant)>,
    /// The movers that wait, by round: in each round every principal has one.
    movers: BTreeMap<(u64, Id), Arc<str>>,
    principals: HashMap<Arc<str>, Own>,
    /// The round of the mover that went last.
    round: u64,
    writes: VecDeque<(Id, Duration)>,
    /// Whether movers had the last turn.
    movers_phase: bool,
    /// Since when the other kind has been waiting for the end of this phase.
    contended: Option<Instant>,
}

impl Order {
    /// Takes a place at the end. It has its turn when [`Order::go`] says so.
    pub(super) fn join(&mut self, kind: Kind, principal: &Arc<str>, now: Instant) -> Id {
        let id = self.new_id();
        match kind {
            Kind::Moves => {
                let own = self.principals.entry(Arc::clone(principal)).or_default();
                // A round that has begun takes nobody in, so that it ends.
                own.round = own.round.max(self.round) + 1;
                own.waiting += 1;
                self.movers.insert((own.round, id), Arc::clone(principal));
            }
            Kind::Writes(lease) => self.writes.push_back((id, lease)),
        }
        if matches!(kind, Kind::Moves) != self.movers_phase {
            self.contended.get_or_insert(now);
        }
        id
    }

    /// Goes at once, beside the order: the others can tell that it is there.
    pub(super) fn push_in(&mut self, kind: Kind, now: Instant) -> Id {
        let id = self.new_id();
        match kind {
            Kind::Moves => self.moving.push(id),
            Kind::Writes(lease) => self.writing.push((id, now + lease)),
        }
        id
    }

    /// Ends a turn or gives up a place.
    pub(super) fn leave(&mut self, id: Id) {
        if self.has_turn(id) {
            self.moving.retain(|moving| *moving != id);
            self.writing.retain(|(writing, _)| *writing != id);
            return;
        }
        self.writes.retain(|(waiting, _)| *waiting != id);
        let place = self.movers.keys().find(|(_, waiting)| *waiting == id).copied();
        if let Some(place) = place {
            self.take_out(place);
        }
        if !self.others_wait() {
            self.contended = None;
        }
    }

    /// Gives turns to those whose time has come, and says to whom.
    pub(super) fn go(&mut self, now: Instant) -> Vec<Id> {
        if !self.moving.is_empty() {
            return Vec::new();
        }
        let since = |limit: Duration| self.contended.is_none_or(|since| now < since + limit);
        let writes_next = if self.writing.iter().any(|(_, until)| *until > now) {
            if !self.movers.is_empty() && !since(WRITES_JOIN) {
                return Vec::new();
            }
            true
        } else if self.movers.is_empty() || self.writes.is_empty() {
            self.movers.is_empty()
        } else {
            self.movers_phase && !since(MOVERS_LAST)
        };
        if writes_next {
            self.enter(false, now);
            let going: Vec<_> = self.writes.drain(..).collect();
            self.writing.extend(going.iter().map(|(id, lease)| (*id, now + *lease)));
            return going.into_iter().map(|(id, _)| id).collect();
        }
        let Some((&(round, id), _)) = self.movers.first_key_value() else {
            return Vec::new();
        };
        self.round = round;
        self.take_out((round, id));
        self.moving.push(id);
        self.enter(true, now);
        vec![id]
    }

    /// When a mover need not wait any longer for the writes under way, if there are any.
    pub(super) fn writes_until(&self) -> Option<Instant> {
        self.writing.iter().map(|(_, until)| *until).max()
    }

    /// Whether writes are under way.
    pub(super) fn is_written(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Whether it has its turn.
    pub(super) fn has_turn(&self, id: Id) -> bool {
        self.moving.contains(&id) || self.writing.iter().any(|(writing, _)| *writing == id)
    }

    /// How many a newcomer would have to wait for.
    pub(super) fn before(&self, kind: Kind) -> usize {
        match kind {
            Kind::Moves => self.moving.len() + self.writing.len() + self.movers.len() + self.writes.len(),
            Kind::Writes(_) => self.moving.len(),
        }
    }

    /// Whether nobody has a turn or waits for one.
    pub(super) fn is_empty(&self) -> bool {
        self.moving.is_empty() && self.writing.is_empty() && self.movers.is_empty() && self.writes.is_empty()
    }

    fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    fn take_out(&mut self, place: (u64, Id)) {
        let Some(principal) = self.movers.remove(&place) else {
            return;
        };
        if let Some(own) = self.principals.get_mut(&principal) {
            own.waiting -= 1;
            if own.waiting == 0 {
                self.principals.remove(&principal);
            }
        }
    }

    /// Begins a phase, or goes on with it.
    fn enter(&mut self, movers: bool, now: Instant) {
        if self.movers_phase != movers {
            self.movers_phase = movers;
            self.contended = self.others_wait().then_some(now);
        }
    }

    /// Whether the kind waits whose phase it is not.
    fn others_wait(&self) -> bool {
        match self.movers_phase {
            true => !self.writes.is_empty(),
            false => !self.movers.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(2);
    const WRITES: Kind = Kind::Writes(LEASE);

    struct World {
        order: Order,
        now: Instant,
        names: HashMap<Id, String>,
    }

    impl World {
        fn new() -> Self {
            Self {
                order: Order::default(),
                now: Instant::now(),
                names: HashMap::new(),
            }
        }

        fn join(&mut self, kind: Kind, principal: &str) -> Id {
            let id = self.order.join(kind, &principal.into(), self.now);
            self.names.insert(id, principal.to_owned());
            id
        }

        fn go(&mut self) -> Vec<String> {
            let gone = self.order.go(self.now);
            gone.iter().map(|id| self.names[id].clone()).collect()
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }
    }

    #[tokio::test]
    async fn writes_go_together_and_a_mover_alone() {
        let mut world = World::new();
        let ids = ["w1", "w2"].map(|name| world.join(WRITES, name));
        assert_eq!(world.go(), ["w1", "w2"]);
        world.pass(WRITES_JOIN);
        let mover = world.join(Kind::Moves, "m");
        assert!(world.go().is_empty());
        for id in ids {
            world.order.leave(id);
        }
        assert_eq!(world.go(), ["m"]);
        world.join(WRITES, "w3");
        assert!(world.go().is_empty());
        world.order.leave(mover);
        assert_eq!(world.go(), ["w3"]);
    }

    #[tokio::test]
    async fn newcomers_join_the_writes_under_way_only_until_a_mover_has_waited_a_little() {
        let mut world = World::new();
        let first = world.join(WRITES, "w1");
        world.go();
        world.join(Kind::Moves, "m");
        world.pass(WRITES_JOIN / 2);
        let second = world.join(WRITES, "w2");
        assert_eq!(world.go(), ["w2"]);
        world.pass(WRITES_JOIN / 2);
        world.join(WRITES, "w3");
        assert!(world.go().is_empty());
        for id in [first, second] {
            world.order.leave(id);
        }
        assert_eq!(world.go(), ["m"]);
    }

    #[tokio::test]
    async fn movers_go_one_after_another_until_a_write_has_waited_long_enough() {
        let mut world = World::new();
        let mut mover = world.join(Kind::Moves, "m");
        world.go();
        world.join(WRITES, "w");
        let mut movers = 0;
        loop {
            world.join(Kind::Moves, "m");
            world.pass(MOVERS_LAST / 4);
            world.order.leave(mover);
            let next = world.order.go(world.now);
            if world.names[&next[0]] == "w" {
                break;
            }
            mover = next[0];
            movers += 1;
        }
        assert_eq!(movers, 3);
    }

    #[tokio::test]
    async fn a_write_that_takes_long_holds_up_a_mover_for_its_lease_only() {
        let mut world = World::new();
        world.join(WRITES, "w");
        world.go();
        world.join(Kind::Moves, "m");
        world.pass(LEASE - Duration::from_millis(1));
        assert!(world.go().is_empty());
        world.pass(Duration::from_millis(1));
        assert_eq!(world.order.writes_until(), Some(world.now));
        assert_eq!(world.go(), ["m"]);
    }

    #[tokio::test]
    async fn movers_take_turns_by_principal_even_if_one_comes_back_at_once() {
        let mut world = World::new();
        for name in ["a", "a", "a", "a", "b"] {
            world.join(Kind::Moves, name);
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            let gone = world.order.go(world.now);
            order.push(world.names[&gone[0]].clone());
            world.order.leave(gone[0]);
            // Before the next has its turn: the writes have theirs.
            if order.last().is_some_and(|name| name == "b") {
                world.join(Kind::Moves, "b");
            }
        }
        assert_eq!(order.concat(), "ababab");
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Move(u8),
        Write,
        Leave(prop::sample::Index),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u8).prop_map(Step::Move),
            Just(Step::Write),
            any::<prop::sample::Index>().prop_map(Step::Leave),
            (0..600_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Whatever comes and goes: a mover never begins beside another or beside a write whose lease runs, a write never beside a mover,
        /// and nobody waits while nobody has a turn.
        #[test]
        fn a_mover_is_alone_and_nobody_waits_for_nothing(steps in prop::collection::vec(step(), 1..120)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _guard = runtime.enter();
            let mut world = World::new();
            // All that are there: whether it moves, and since when it has its turn.
            let mut there: BTreeMap<Id, (bool, Option<Instant>)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Move(principal) => {
                        let id = world.join(Kind::Moves, &principal.to_string());
                        there.insert(id, (true, None));
                    }
                    Step::Write => {
                        let id = world.join(WRITES, "w");
                        there.insert(id, (false, None));
                    }
                    Step::Leave(index) if !there.is_empty() => {
                        let id = *index.get(&there.keys().copied().collect::<Vec<_>>());
                        there.remove(&id);
                        world.order.leave(id);
                    }
                    Step::Leave(_) => {}
                    Step::Pass(ms) => world.pass(Duration::from_millis(ms)),
                }
                for id in world.order.go(world.now) {
                    let moves = there[&id].0;
                    let in_the_way = there.values().any(|(other_moves, since)| match since {
                        Some(since) if !*other_moves => moves && *since + LEASE > world.now,
                        Some(_) => true,
                        None => false,
                    });
                    // Writes of one batch are beside each other.
                    prop_assert!(!in_the_way);
                    there.get_mut(&id).unwrap().1 = Some(world.now);
                    prop_assert!(world.order.has_turn(id));
                }
                let holds = |moves: bool| there.values().any(|(kind, since)| *kind == moves && since.is_some());
                let waits = there.values().any(|(_, since)| since.is_none());
                prop_assert!(!waits || holds(true) || holds(false));
                prop_assert_eq!(world.order.is_empty(), there.is_empty());
            }
            // All come to their turn, in the end.
            while !there.is_empty() {
                let held: Vec<Id> = there.keys().copied().filter(|id| world.order.has_turn(*id)).collect();
                prop_assert!(!held.is_empty());
                for id in held {
                    there.remove(&id);
                    world.order.leave(id);
                }
                world.order.go(world.now);
            }
            prop_assert!(world.order.is_empty() && world.order.principals.is_empty());
        }
    }
}
