//! Turns: movers one at a time, whoever leaves or fails, and nobody else waits for them.

use futures_util::FutureExt as _;

use super::*;

#[tokio::test(start_paused = true)]
async fn fifty_committers_on_one_branch_never_overlap_and_all_finish_in_order() {
    let world = World::new(|config| config.max_wait = Period(Duration::from_secs(60)));
    let mut sent = Vec::new();
    for name in 0..50 {
        sent.push(world.send(named(commit("main"), name)));
        settle().await;
    }
    for answer in sent {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!(world.lakefs.most.load(Ordering::SeqCst), 1);
    let names: Vec<String> = (0..50).map(|name| name.to_string()).collect();
    assert_eq!(world.lakefs.came(), names);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn movers_of_all_kinds_share_the_turn_and_other_branches_do_not() {
    let world = World::new(|_| {});
    let kinds = [
        Operation::MergeIntoBranch,
        Operation::HardResetBranch,
        Operation::RevertBranch,
        Operation::DeleteBranch,
    ];
    let on_main = kinds.map(|operation| world.send(request(operation, "main", "alice", Protocol::Rest)));
    let elsewhere = world.send(commit("dev"));
    assert_eq!(elsewhere.await.unwrap().took, WORK);
    for answer in on_main {
        answer.await.unwrap();
    }
    assert_eq!(world.lakefs.most.load(Ordering::SeqCst), 2);
    let off = World::new(|config| config.branch = crate::config::BranchTurns::Off);
    let sent = [off.send(commit("main")), off.send(commit("main"))];
    for answer in sent {
        assert_eq!(answer.await.unwrap().took, WORK);
    }
}

#[tokio::test(start_paused = true)]
async fn reads_never_wait_for_a_turn() {
    // Three at a time for one principal: committers that wait for their turn do not use up the places of its reads.
    let world = World::new(|config| config.principal.in_flight = 3);
    let commits: Vec<_> = (0..20).map(|_| world.send(commit("main"))).collect();
    settle().await;
    assert_eq!(world.send(read()).await.unwrap().took, WORK);
    for answer in commits {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    world.assert_idle();
}

fn link(branch: &str) -> Request {
    request(Operation::LinkPhysicalAddress, branch, "alice", Protocol::Rest)
}

#[tokio::test(start_paused = true)]
async fn writes_go_beside_each_other_but_not_beside_a_mover() {
    let world = World::new(|_| {});
    let before = [world.send(link("main")), world.send(link("main"))];
    settle().await;
    let mover = world.send(commit("main"));
    tokio::time::sleep(WORK / 2).await;
    let (after, elsewhere) = (world.send(link("main")), world.send(link("dev")));
    for answer in before {
        assert_eq!(answer.await.unwrap().took, WORK);
    }
    assert_eq!(elsewhere.await.unwrap().took, WORK);
    assert_eq!(mover.await.unwrap().took, WORK * 2, "after the writes under way");
    assert_eq!(after.await.unwrap().took, WORK * 5 / 2, "after the mover");
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn neither_a_stream_of_writes_nor_a_queue_of_movers_starves_the_other() {
    let world = World::new(|_| {});
    let mut sent = Vec::new();
    for number in 0..100 {
        sent.push(world.send(link("main")));
        if number == 10 {
            let mover = world.send(commit("main"));
            sent.push(tokio::spawn(async move {
                let answer = mover.await.unwrap();
                assert!(answer.took < WORK * 3, "{:?}", answer.took);
                answer
            }));
        }
        tokio::time::sleep(WORK / 10).await;
    }
    for answer in sent {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    let movers: Vec<_> = (0..20).map(|_| world.send(commit("main"))).collect();
    settle().await;
    let write = world.send(link("main")).await.unwrap();
    assert_eq!(write.took, WORK * 2, "after the mover under way");
    for answer in movers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_principal_with_one_commit_goes_between_those_of_one_with_many() {
    let world = World::new(|_| {});
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(world.send(named(commit("main"), number)));
        settle().await;
    }
    let polite = request(Operation::Commit, "main", "bob", Protocol::Rest);
    sent.push(world.send(named(polite, "bob")));
    for answer in sent {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!(world.lakefs.came(), ["0", "1", "bob", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_lakefs_takes_long_for_holds_up_a_mover_for_its_lease_only() {
    let world = World::new(|_| {});
    let never = service_fn(|_: Request| std::future::pending::<Result<Response, Infallible>>());
    let complete = request(Operation::S3CompleteMultipartUpload, "main", "alice", Protocol::S3);
    let stuck = world.send_to(complete, never);
    settle().await;
    let mover = world.send(commit("main")).await.unwrap();
    assert_eq!(mover.took, Duration::from_secs(2) + WORK);
    assert_eq!(world.missed("slow-write"), 1);
    stuck.abort();
}

#[tokio::test(start_paused = true)]
async fn a_complete_goes_without_a_turn_that_does_not_come_in_time() {
    let world = World::new(|config| config.max_wait = Period(WORK / 4));
    let mover = world.send(commit("main"));
    settle().await;
    let complete = request(
        Operation::CompletePresignMultipartUpload,
        "main",
        "alice",
        Protocol::Rest,
    );
    let complete = world.send(complete).await.unwrap();
    assert_eq!((complete.status(), complete.took), (200, WORK * 5 / 4));
    assert_eq!(world.missed("too-late"), 1);
    mover.await.unwrap();
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_bulk_delete_takes_turns_on_all_its_branches_and_none_waits_for_ever() {
    let world = World::new(|_| {});
    let across = |branches: [&str; 2]| {
        let request = request(Operation::S3DeleteObjects, branches[0], "alice", Protocol::S3);
        let context = Context::of(&request);
        let mut classified = context.classified().unwrap().clone();
        let mut other = classified.targets[0].clone();
        other.reference = Some(branches[1].to_owned());
        classified.targets.push(other);
        let fresh = Context::new(*context.client());
        fresh.set_classified(classified);
        fresh.set_principal(context.principal().unwrap().clone());
        let mut request = request;
        request.extensions_mut().insert(fresh);
        request
    };
    let movers = [world.send(commit("a")), world.send(commit("b"))];
    settle().await;
    let deletes = [["a", "b"], ["b", "a"]].map(|branches| world.send(across(branches)));
    settle().await;
    let later = [world.send(commit("a")), world.send(commit("b"))];
    for answer in movers.into_iter().chain(deletes).chain(later) {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn with_movers_only_writes_take_no_turn() {
    let world = World::new(|config| config.branch = crate::config::BranchTurns::Movers);
    let commits = [world.send(commit("main")), world.send(commit("main"))];
    settle().await;
    assert_eq!(world.send(link("main")).await.unwrap().took, WORK);
    let took = futures_util::future::join_all(commits).await;
    let took: Vec<_> = took.into_iter().map(|answer| answer.unwrap().took).collect();
    assert_eq!(took, [WORK, WORK * 2]);
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_a_slot_while_waiting_for_a_turn() {
    let world = World::new(|config| config.upstream.in_flight = 2.into());
    let commits: Vec<_> = (0..5).map(|_| world.send(commit("main"))).collect();
    settle().await;
    assert_eq!(world.send(commit("dev")).await.unwrap().took, WORK);
    for answer in commits {
        answer.await.unwrap();
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn only_so_many_may_wait_at_a_time() {
    let world = World::new(|config| config.max_waiting = 2);
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.push(world.send(commit("main")));
        settle().await;
    }
    let answer = sent.pop().unwrap().await.unwrap();
    assert_eq!(
        (answer.status(), answer.reason(), answer.took),
        (503, "branch-busy", Duration::ZERO)
    );
    assert!((2..=4).contains(&answer.retry_after()));
    for answer in sent {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_turn_or_slot_that_does_not_come_in_time_is_told_as_busy() {
    let short = |config: &mut LimitConfig| config.max_wait = Period(WORK / 2);
    let world = World::new(short);
    let first = world.send(commit("main"));
    settle().await;
    let second = world.send(commit("main")).await.unwrap();
    assert_eq!(
        (second.status(), second.reason(), second.took),
        (503, "branch-busy", WORK / 2)
    );
    assert_eq!(second.context.facts().queued, WORK / 2);
    assert_eq!(first.await.unwrap().status(), 200);
    world.assert_idle();

    let world = World::new(|config| {
        short(config);
        config.upstream.in_flight = 1.into();
    });
    let first = world.send(read());
    settle().await;
    let second = world.send(read()).await.unwrap();
    assert_eq!((second.status(), second.reason()), (503, "upstream-busy"));
    assert_eq!(first.await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_client_leaves_goes_on_and_its_answer_ends_the_turn() {
    let world = World::new(|_| {});
    let left = world.send(commit("main"));
    settle().await;
    left.abort();
    assert!(left.await.is_err());
    assert_eq!(world.lakefs.running.load(Ordering::SeqCst), 1);
    assert!(world.state.mutations_done().now_or_never().is_none());
    let next = world.send(commit("main")).await.unwrap();
    assert_eq!(
        next.took,
        WORK * 2,
        "the turn is the first one's until it has its answer"
    );
    assert_eq!(world.lakefs.done.load(Ordering::SeqCst), 2);
    world.state.mutations_done().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_read_or_an_unfinished_upload_whose_client_leaves_is_given_up() {
    let world = World::new(|_| {});
    let mut upload = request(Operation::UploadObject, "main", "alice", Protocol::Rest);
    *upload.body_mut() = endless();
    for request in [read(), upload] {
        let left = world.send(request);
        settle().await;
        left.abort();
        assert!(left.await.is_err());
        assert_eq!(world.lakefs.running.load(Ordering::SeqCst), 0);
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn permits_come_back_after_faults() {
    let world = World::new(|config| config.upstream.in_flight = 1.into());
    for request in [commit("main"), read()] {
        assert!(world.send(named(request, "faulty")).await.unwrap_err().is_panic());
        world.assert_idle();
        assert_eq!(world.send(commit("main")).await.unwrap().took, WORK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_several_threads_nothing_leaks_whoever_leaves() {
    let world = World::new(|config| {
        config.principal.in_flight = 3;
        config.upstream.in_flight = 2.into();
    });
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let lakefs = service_fn(move |_: Request| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            assert_eq!(most.load(Ordering::SeqCst), 1, "two movers on one branch at a time");
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let sent: Vec<_> = (0..400)
        .map(|_| world.send_to(commit("main"), lakefs.clone()))
        .collect();
    for (number, answer) in sent.into_iter().enumerate() {
        if number % 3 == 0 {
            answer.abort();
        }
        match answer.await {
            Ok(answered) => assert_eq!(answered.status(), 200),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    world.state.mutations_done().await;
    world.assert_idle();
}
