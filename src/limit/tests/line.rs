//! The line: order, fairness, what leaves, and who is told at once that it waits in vain.

use proptest::prelude::*;

use super::super::line::{Comer, Line, Ticket};
use super::*;

fn comer(key: &str, priority: Priority, weight: u32) -> Comer {
    Comer {
        key: key.into(),
        priority,
        weight,
        patience: Duration::from_secs(3600),
    }
}

fn read_of(key: &str) -> Comer {
    comer(key, Priority::Interactive, 1)
}

/// Lets all of them out, one a millisecond.
fn drained<T>(line: &mut Line<T>) -> Vec<T> {
    let now = Instant::now();
    (0..)
        .map_while(|number| line.pop(now + Duration::from_millis(number)))
        .collect()
}

#[test]
fn a_flood_of_one_does_not_come_before_another() {
    let (mut line, now) = (Line::default(), Instant::now());
    for number in 0..100 {
        line.push(&read_of("greedy"), ("greedy", number), now).unwrap();
    }
    for number in 0..3 {
        line.push(&read_of("polite"), ("polite", number), now).unwrap();
    }
    let order = drained(&mut line);
    let polite: Vec<_> = (0..order.len()).filter(|at| order[*at].0 == "polite").collect();
    assert_eq!(polite, [1, 3, 5]);
    let greedy: Vec<_> = order.iter().filter(|of| of.0 == "greedy").map(|of| of.1).collect();
    assert!(greedy.is_sorted(), "first come, first served");
}

#[test]
fn weights_are_parts_of_each_round() {
    let (mut line, now) = (Line::default(), Instant::now());
    for _ in 0..90 {
        line.push(&comer("three", Priority::Upload, 3), 3, now).unwrap();
        line.push(&comer("one", Priority::Upload, 1), 1, now).unwrap();
    }
    let order = drained(&mut line);
    assert_eq!(order[..80].iter().filter(|of| **of == 3).count(), 60);
}

#[test]
fn kinds_of_work_get_their_parts_and_age_makes_up_for_rank() {
    let (mut line, now) = (Line::default(), Instant::now());
    for priority in Priority::ALL {
        for _ in 0..400 {
            line.push(&comer("all", priority, 1), priority, now).unwrap();
        }
    }
    let mut count = |pops: usize, at: Instant| {
        let popped: Vec<_> = (0..pops).map(|_| line.pop(at).unwrap()).collect();
        Priority::ALL.map(|priority| popped.iter().filter(|of| **of == priority).count())
    };
    assert_eq!(count(310, now), [160, 80, 40, 20, 10]);
    let [interactive, .., collection] = count(181, now + Duration::from_secs(60));
    assert_eq!((interactive, collection), (46, 31), "of equal age, rank hardly counts");
}

#[test]
fn newcomers_do_not_starve_who_waits_for_the_least_urgent() {
    let (mut line, now) = (Line::default(), Instant::now());
    line.push(&comer("gc", Priority::Collection, 1), "gc", now).unwrap();
    let mut before = 0;
    loop {
        line.push(&read_of("reader"), "reader", now).unwrap();
        line.push(&read_of("reader"), "reader", now).unwrap();
        if line.pop(now) == Some("gc") {
            break;
        }
        before += 1;
        assert!(before < 20);
    }
}

#[test]
fn who_comes_and_leaves_leaves_nothing_behind() {
    let (mut line, now) = (Line::default(), Instant::now());
    for number in 0..10_000 {
        let ticket = line.push(&read_of(&format!("key-{number}")), (), now).unwrap();
        assert!(line.remove(&ticket));
        assert!(!line.remove(&ticket));
    }
    assert_eq!(line.len(), 0);
    assert!(line.keys() <= 65, "{}", line.keys());
    assert_eq!(line.pop(now), None);
    assert_eq!(line.keys(), 0);
}

#[test]
fn while_nothing_moves_nobody_is_told_that_it_is_late() {
    let (mut line, now) = (Line::default(), Instant::now());
    let hurried = Comer {
        patience: Duration::from_secs(1),
        ..read_of("a")
    };
    for second in 0..100 {
        line.push(&hurried, (), now + Duration::from_secs(second)).unwrap();
    }
}

proptest! {
    /// Equal principals, each with more waiting than it gets: nobody is ever more than one ahead, whoever leaves.
    #[test]
    fn equals_are_served_equally(tenants in 2..12_usize, left in prop::collection::vec(0..1000_usize, 0..40)) {
        let (mut line, now) = (Line::default(), Instant::now());
        let mut tickets = Vec::new();
        for number in 0..tenants * 60 {
            let tenant = number % tenants;
            tickets.push(line.push(&read_of(&tenant.to_string()), tenant, now).unwrap());
        }
        for at in left {
            line.remove(&tickets[at % tickets.len()]);
        }
        let mut served = vec![0_i32; tenants];
        for _ in 0..tenants * 20 {
            served[line.pop(now).unwrap()] += 1;
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{served:?}");
        }
    }

    /// At a steady pace, whoever is refused at once would have waited longer than it could, had it been let in instead.
    #[test]
    fn nobody_is_refused_who_would_have_made_it(
        comers in prop::collection::vec((0..6_u8, 0..3_usize, 0..40_u64), 100..600),
        weights in prop::array::uniform6(1..4_u32),
        each_ms in 20..80_u64,
        patience_ms in 500..5000_u64,
    ) {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let patience = Duration::from_millis(patience_ms);
        let kinds = [Priority::Interactive, Priority::Upload, Priority::Scan];
        // Who was refused stands in line all the same, so that its true wait can be seen.
        let mut line: Line<(u64, bool)> = Line::default();
        let (mut now, mut served) = (0, 0);
        let mut serve = |line: &mut Line<(u64, bool)>, until: u64| -> Result<(), TestCaseError> {
            while served + each_ms <= until {
                served += each_ms;
                if let Some((came, refused)) = line.pop(at(served)) {
                    let waited = Duration::from_millis(served - came);
                    prop_assert!(!refused || waited > patience, "refused at {came}, and served after {waited:?}");
                }
            }
            Ok(())
        };
        for (tenant, kind, pause) in comers {
            now += pause;
            // A principal's weight does not change while it waits: more weight would serve it sooner than could be told.
            let weight = weights[usize::from(tenant)];
            serve(&mut line, now)?;
            let comer = Comer { patience, ..comer(&tenant.to_string(), kinds[kind], weight) };
            let refused = line.push(&comer, (now, false), at(now)).is_err();
            if refused {
                let patient = Comer { patience: Duration::MAX, ..comer };
                line.push(&patient, (now, true), at(now)).unwrap();
            }
        }
        while line.len() > 0 {
            now += 1000;
            serve(&mut line, now)?;
        }
    }

    #[test]
    fn its_length_is_those_who_neither_went_nor_left(steps in prop::collection::vec((0..3_u8, 0..5_usize, 0..5_usize), 1..300)) {
        let (mut line, now) = (Line::default(), Instant::now());
        let mut inside: Vec<(Ticket, usize)> = Vec::new();
        for (number, (step, key, priority)) in steps.into_iter().enumerate() {
            match step {
                0 => {
                    let comer = comer(&key.to_string(), Priority::ALL[priority], 1 + key as u32);
                    inside.push((line.push(&comer, number, now).unwrap(), number));
                }
                1 if !inside.is_empty() => {
                    let (ticket, _) = inside.swap_remove(key % inside.len());
                    prop_assert!(line.remove(&ticket));
                }
                _ => {
                    let popped = line.pop(now);
                    prop_assert_eq!(popped.is_some(), !inside.is_empty());
                    inside.retain(|(_, of)| Some(*of) != popped);
                }
            }
            prop_assert_eq!(line.len(), inside.len());
        }
    }
}
