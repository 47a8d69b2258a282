//! The door before the slots: never too many inside, and no place is lost by whoever leaves.

use proptest::prelude::*;

use super::super::door::{Door, Place};
use super::super::line::Comer;
use super::*;

fn comer(key: &str) -> Comer {
    Comer {
        key: key.into(),
        priority: Priority::Interactive,
        weight: 1,
        patience: Duration::from_secs(30),
    }
}

#[tokio::test]
async fn a_place_that_was_given_and_not_taken_goes_to_the_next() {
    let door = Door::new(1);
    let only = door.try_enter().unwrap();
    let (first, second) = (door.queue(&comer("a")).unwrap(), door.queue(&comer("b")).unwrap());
    assert!(door.try_enter().is_none());
    drop(only);
    assert_eq!((door.inside(), door.waiting()), (1, 1));
    drop(first);
    let second = second.entry().await;
    assert_eq!((door.inside(), door.waiting()), (1, 0));
    drop(second);
    assert!(door.is_idle());
}

#[tokio::test]
async fn who_waits_gets_in_when_it_is_made_larger() {
    let door = Door::new(0);
    let place = door.queue(&comer("a")).unwrap();
    door.resize(1);
    drop(place.entry().await);
    assert!(door.is_idle());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_come_and_leave_at_once_lose_nothing() {
    let door = Door::new(3);
    let most = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for number in 0..8_usize {
        let (door, most) = (Arc::clone(&door), Arc::clone(&most));
        tasks.push(tokio::spawn(async move {
            for round in 0..500 {
                let entry = match door.try_enter() {
                    Some(entry) => entry,
                    None => {
                        let place = door.queue(&comer(&number.to_string())).unwrap();
                        if round % 7 == 0 {
                            drop(place);
                            continue;
                        }
                        place.entry().await
                    }
                };
                most.fetch_max(door.inside(), Ordering::SeqCst);
                tokio::task::yield_now().await;
                drop(entry);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(door.is_idle());
    assert!(most.load(Ordering::SeqCst) <= 3);
}

proptest! {
    #[test]
    fn as_many_are_inside_as_its_last_size_allows(steps in prop::collection::vec((0..6_u8, 0..6_usize), 1..80)) {
        let (door, mut size) = (Door::new(3), 3);
        let (mut inside, mut places): (Vec<_>, Vec<Place>) = (Vec::new(), Vec::new());
        for (step, number) in steps {
            match step {
                0 => inside.extend(door.try_enter()),
                1 => inside.push(door.enter_over()),
                2 => drop(inside.pop()),
                3 => places.push(door.queue(&comer(&number.to_string())).unwrap()),
                4 if !places.is_empty() => drop(places.swap_remove(number % places.len())),
                _ => {
                    door.resize(number);
                    size = number;
                }
            }
            prop_assert!(door.waiting() == 0 || door.inside() >= size, "room, and somebody waits");
        }
        drop((inside, places));
        prop_assert!(door.is_idle());
        let entered: Vec<_> = std::iter::from_fn(|| door.try_enter()).collect();
        prop_assert_eq!(entered.len(), size);
    }
}
