//! Bodies whose last bytes wait: what goes at once, what is held, and what becomes of it whoever answers, waits too long, or leaves.

use std::collections::VecDeque;

use futures_util::FutureExt as _;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::limit::tail::{Hold, TAIL, Tail, Turning};

type Sent = Result<Frame<Bytes>, BodyError>;

/// What came to lakeFS of an upload.
#[derive(Debug, Default)]
struct Came {
    bytes: Vec<u8>,
    ended: bool,
    failed: bool,
}

/// A lakeFS that reads the body, then works.
fn reading(came: &Arc<Mutex<Came>>) -> impl Inner {
    let came = Arc::clone(came);
    service_fn(move |request: Request| {
        let came = Arc::clone(&came);
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => came.lock().unwrap().bytes.extend(frame.into_data().unwrap()),
                    Err(_) => {
                        came.lock().unwrap().failed = true;
                        return Ok(Response::new(Body::empty()));
                    }
                }
            }
            came.lock().unwrap().ended = true;
            sleep(WORK).await;
            Ok(Response::new(Body::empty()))
        }
    })
}

/// An upload whose body the test sends.
fn upload() -> (mpsc::Sender<Sent>, Request) {
    let (sender, mut receiver) = mpsc::channel(16);
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let mut request = request(Operation::UploadObject, "main", "alice", Protocol::Rest);
    *request.body_mut() = Body::new(StreamBody::new(frames));
    (sender, request)
}

async fn send(sender: &mut mpsc::Sender<Sent>, size: usize) {
    let data = Bytes::from(vec![b'x'; size]);
    sender.send(Ok(Frame::data(data))).await.unwrap();
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_up_beside_commits_and_only_its_end_waits_for_one() {
    let world = World::new(|_| {});
    let came = Arc::default();
    let (mut body, upload) = upload();
    let answer = world.send_to(upload, reading(&came));
    send(&mut body, 100_000).await;
    assert_eq!(came.lock().unwrap().bytes.len(), 100_000 - TAIL);
    // As long as its body comes, it holds up nobody.
    assert_eq!(world.send(commit("main")).await.unwrap().took, WORK);
    let commit = world.send(commit("main"));
    settle().await;
    drop(body);
    settle().await;
    assert!(!came.lock().unwrap().ended);
    assert_eq!(world.state.waiting(), 1);
    assert_eq!(commit.await.unwrap().took, WORK);
    settle().await;
    assert!(came.lock().unwrap().ended);
    assert_eq!(came.lock().unwrap().bytes.len(), 100_000);
    // And now it has the turn until lakeFS has answered.
    let next = world.send(super::commit("main")).await.unwrap();
    assert_eq!(next.took, WORK * 2);
    let answer = answer.await.unwrap();
    assert_eq!((answer.status(), answer.context.facts().queued), (200, WORK));
    drop(answer);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_with_its_last_bytes_has_no_turn_meanwhile() {
    let world = World::new(|_| {});
    let came = Arc::default();
    let (mut body, upload) = upload();
    let answer = world.send_to(upload, reading(&came));
    for _ in 0..10 {
        send(&mut body, 100).await;
        assert_eq!(world.send(commit("main")).await.unwrap().took, WORK);
    }
    drop(body);
    assert_eq!(answer.await.unwrap().status(), 200);
    assert_eq!(came.lock().unwrap().bytes.len(), 1000);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn the_end_goes_without_a_turn_when_there_is_none_in_time_or_no_room_to_wait() {
    for (reason, configure) in [
        (
            "too-late",
            (|config| config.max_wait = Period(WORK / 4)) as fn(&mut LimitConfig),
        ),
        ("full", |config| config.max_waiting = 0),
    ] {
        let world = World::new(configure);
        let came = Arc::default();
        let commit = world.send(commit("main"));
        settle().await;
        let (body, upload) = upload();
        let answer = world.send_to(upload, reading(&came));
        drop(body);
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.took, if reason == "full" { WORK } else { WORK * 5 / 4 });
        assert_eq!(world.missed(reason), 1);
        commit.await.unwrap();
        drop(answer);
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_passes_and_gives_up_the_turn() {
    let world = World::new(|_| {});
    let commit = world.send(commit("main"));
    settle().await;
    let (body, upload) = upload();
    // As hyper's driver: the body is moved beside the answer, and after it.
    let rest = Arc::new(Mutex::new(None));
    let moved = Arc::clone(&rest);
    let early = service_fn(move |request: Request| {
        let body = request.into_body();
        *moved.lock().unwrap() = Some(tokio::spawn(body.read_capped(9)));
        async move {
            sleep(WORK / 2).await;
            Ok(Response::new(Body::empty()))
        }
    });
    let answer = world.send_to(upload, early);
    drop(body);
    assert_eq!(answer.await.unwrap().took, WORK / 2);
    let rest = rest.lock().unwrap().take().unwrap();
    let settled = tokio::time::timeout(Duration::ZERO, rest).await;
    assert!(
        settled.unwrap().unwrap().is_ok(),
        "what lakeFS does not wait for need not wait"
    );
    assert_eq!(world.send(super::commit("main")).await.unwrap().took, WORK * 3 / 2);
    commit.await.unwrap();
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_last_bytes_have_gone_cuts_its_body() {
    let world = World::new(|_| {});
    let commit = world.send(commit("main"));
    settle().await;
    let (body, upload) = upload();
    let (came, moved) = (Arc::new(Mutex::new(Came::default())), Arc::new(Mutex::new(None)));
    let task = Arc::clone(&moved);
    let reads = Arc::clone(&came);
    let driven = service_fn(move |request: Request| {
        let read = reading(&reads).oneshot(request);
        *task.lock().unwrap() = Some(tokio::spawn(read));
        std::future::pending()
    });
    let answer = world.send_to(upload, driven);
    drop(body);
    settle().await;
    answer.abort();
    commit.await.unwrap();
    let driver = moved.lock().unwrap().take().unwrap();
    driver.await.unwrap().unwrap();
    {
        let came = came.lock().unwrap();
        assert!(came.failed && !came.ended && came.bytes.is_empty(), "{came:?}");
    }
    world.state.mutations_done().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_afterwards_does_not_end_the_turn() {
    let world = World::new(|_| {});
    let came = Arc::default();
    let (body, upload) = upload();
    let answer = world.send_to(upload, reading(&came));
    drop(body);
    settle().await;
    assert!(came.lock().unwrap().ended);
    answer.abort();
    assert_eq!(world.send(commit("main")).await.unwrap().took, WORK * 2);
    world.state.mutations_done().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn in_shadow_the_end_does_not_wait_and_it_is_said_that_it_would_have() {
    let world = World::new(|config| config.mode = RuleMode::Shadow);
    let came = Arc::default();
    let commit = world.send(commit("main"));
    settle().await;
    let (body, upload) = upload();
    let answer = world.send_to(upload, reading(&came));
    drop(body);
    let answer = answer.await.unwrap();
    assert_eq!(answer.took, WORK);
    assert_eq!(
        answer.context.facts().shadow,
        ["branch-busy: would have waited for 1 before it"]
    );
    commit.await.unwrap();
    drop(answer);
    world.assert_idle();
}

/// A body in pieces, with its length said before or not.
struct Pieces {
    left: VecDeque<Frame<Bytes>>,
    length: Option<u64>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Sent>> {
        let next = self.left.pop_front();
        if let (Some(length), Some(data)) = (&mut self.length, next.as_ref().and_then(Frame::data_ref)) {
            *length -= data.len() as u64;
        }
        std::task::Poll::Ready(next.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0) && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

proptest! {
    #[test]
    fn all_but_the_last_bytes_go_at_once_and_all_arrive(
        sizes in prop::collection::vec(0..9000_usize, 0..8),
        (sized, trailed) in any::<(bool, bool)>(),
    ) {
        let mut bytes = (0..=255_u8).cycle();
        let pieces: Vec<Bytes> = sizes.iter().map(|size| bytes.by_ref().take(*size).collect()).collect();
        let whole = pieces.concat();
        let mut left: VecDeque<_> = pieces.into_iter().map(Frame::data).collect();
        let trailers = trailed.then(|| HeaderMap::from_iter([(http::header::ETAG, "t".parse().unwrap())]));
        left.extend(trailers.clone().map(Frame::trailers));
        let length = sized.then_some(whole.len() as u64);
        let (turn, comes) = tokio::sync::oneshot::channel::<()>();
        let turning: Turning = Box::pin(comes.map(|_| Vec::new()));
        let mut tail = Tail::new(Body::new(Pieces { left, length }), Hold::new(), turning);
        let (mut came, mut trailed_by) = (Vec::new(), None);
        prop_assert_eq!(tail.size_hint().exact(), length);
        while let Some(frame) = tail.frame().now_or_never() {
            came.extend(frame.unwrap().unwrap().into_data().unwrap());
            prop_assert_eq!(tail.size_hint().exact(), length.map(|length| length - came.len() as u64));
        }
        prop_assert_eq!(came.len(), whole.len().saturating_sub(TAIL));
        prop_assert!(!tail.is_end_stream());
        turn.send(()).unwrap();
        while let Some(frame) = tail.frame().now_or_never().unwrap() {
            match frame.unwrap().into_data() {
                Ok(data) => came.extend(data),
                Err(frame) => trailed_by = frame.into_trailers().ok(),
            }
        }
        prop_assert!(tail.is_end_stream());
        prop_assert_eq!((came, trailed_by), (whole, trailers));
    }
}
