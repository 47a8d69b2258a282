//! Steps and answers of every kind, and what they leave in the ledger, in the log, and for the client.

use super::*;

#[tokio::test]
async fn an_uploads_life_is_in_the_ledger_and_in_the_log() {
    let world = World::new();
    opened(&world).await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.upload_id.as_deref()), (State::Open, Some("u")));

    let presigned = format!(r#"{{"presigned_url":"http://store/x?X-Amz-Signature={URL_SECRET}"}}"#);
    world
        .send_and_read(step_with_address(Method::PUT, "/u/parts/2"), move |_| {
            let presigned = presigned.clone();
            async { answer(200, presigned) }
        })
        .await;
    world
        .send_and_read(step_with_address(Method::PUT, "/u/parts/3/copy"), |_| async {
            answer(204, Body::empty())
        })
        .await;
    let (_, body) = world
        .send_and_read(complete("u"), |_| async { answer(200, COMPLETED.to_owned()) })
        .await;
    assert_eq!(body, COMPLETED);
    world
        .send_and_read(step_with_address(Method::DELETE, "/u"), |_| async {
            answer(204, Body::empty())
        })
        .await;

    let record = world.the_record().await;
    assert_eq!(record.state, State::Completed);
    assert_eq!(
        (&*record.repository, &*record.branch, &*record.path),
        ("data", "work", "a/b.bin")
    );
    assert_eq!(record.physical_address.as_deref(), Some("s3://bucket/data/g/x"));
    assert_eq!(
        (record.principal.as_deref(), record.auth_method.as_deref()),
        (Some("alice"), Some("basic"))
    );
    assert_eq!(record.client_address.to_string(), "192.0.2.7");
    assert_eq!(record.user_agent.as_deref(), Some("lakefs-python-sdk/1.88.0"));
    assert_eq!((record.parts_asked, record.parts_done), (Some(3), Some(2)));
    assert_eq!((record.parts_presigned, record.parts_copied), (1, 1));
    assert_eq!(
        (record.bytes, record.checksum.as_deref()),
        (Some(5_242_890), Some("55e2-2"))
    );
    assert!(record.completed.is_some());
    assert_eq!(world.metrics.uploads_open.get(), 0);

    let events = world.events();
    let named: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(named, ["create", "part_presign", "part_copy", "complete", "abort"]);
    for event in &events {
        assert_eq!(
            (&event["outcome"], &event["upload.id"], &event["principal"]),
            (&"ok".into(), &"u".into(), &"alice".into())
        );
        assert!(event["age_ms"].is_u64() && event["duration_ms"].is_f64(), "{event}");
    }
    assert_eq!(
        (&events[1]["part.number"], &events[3]["parts.count"]),
        (&2.into(), &2.into())
    );
    assert_eq!(
        (&events[3]["bytes"], &events[3]["checksum"]),
        (&5_242_890.into(), &"55e2-2".into())
    );
    no_secret(&world).await;
}

#[tokio::test]
async fn ten_megabytes_of_urls_pass_untouched_piece_by_piece() {
    let world = World::new();
    let whole = Bytes::from(created("the-id", 150_000));
    assert!(whole.len() > 10_000_000);
    let (pieces, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let response = world
        .send(create(), move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async { answer(201, body) }
        })
        .await;
    let mut body = std::pin::pin!(response.into_body());
    for (number, piece) in whole.chunks(16_384 + 7).enumerate() {
        let piece = whole.slice_ref(piece);
        pieces.send(Ok(piece.clone())).unwrap();
        // Each piece comes out, the same memory, before the next one is there: nothing is held back or copied.
        let out = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(
            (out.as_ptr(), out.len()),
            (piece.as_ptr(), piece.len()),
            "piece {number}"
        );
    }
    // The client has the upload id now, and so has the ledger, though the stream has not ended.
    assert_eq!(world.the_record().await.upload_id.as_deref(), Some("the-id"));
    drop(pieces);
    assert!(body.frame().await.is_none());
    assert_eq!(world.the_record().await.state, State::Open);
    assert_eq!(world.events().len(), 1);
    no_secret(&world).await;
}

#[tokio::test]
async fn the_intent_is_on_disk_before_the_create_goes_up() {
    let world = World::new();
    let store = world.store.clone();
    let seen = Arc::new(Mutex::new(None));
    let seen_by_lakefs = Arc::clone(&seen);
    world
        .send_and_read(create(), move |_| {
            let (store, seen) = (store.clone(), Arc::clone(&seen_by_lakefs));
            async move {
                let records = store.uploads(Filter::default(), 9).await.unwrap();
                *seen.lock().unwrap() = Some(records.iter().map(|upload| upload.state).collect::<Vec<_>>());
                answer(201, created("u", 0))
            }
        })
        .await;
    assert_eq!(seen.lock().unwrap().take(), Some(vec![State::Intent]));
}

/// A layer that answers instead of lakeFS.
struct Refuses(Rejection);

impl Step for Refuses {
    async fn call<S: Inner>(&self, request: Request, _: Next<S>) -> Response {
        self.0.respond(&Context::of(&request), request.method())
    }
}

async fn refused(world: &World, request: Request, rejection: Rejection) {
    let inner = service_fn(|_: Request| async { Ok::<_, Infallible>(answer(500, Body::empty())) });
    let inner = step(Refuses(rejection)).layer(inner);
    let response = step(world.layer()).layer(inner).call(request).await.unwrap();
    let body = response.into_body();
    _ = body.read_capped(1 << 20).await.unwrap();
}

#[tokio::test]
async fn a_refused_create_is_in_the_ledger_with_its_reason() {
    let world = World::new();
    let over = Rejection::OverShare {
        retry_after: Duration::from_secs(1),
        status: StatusCode::TOO_MANY_REQUESTS,
    };
    refused(&world, create(), over).await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.status), (State::Failed, Some(429)));
    assert!(record.error.unwrap().starts_with("over-share: "));
    let event = world.events().remove(0);
    assert_eq!(
        (&event["outcome"], &event["reason"]),
        (&"refused".into(), &"over-share".into())
    );
}

#[tokio::test]
async fn what_each_answer_makes_of_a_create_and_of_a_complete() {
    let down = Rejection::UpstreamDown("connection refused".into());
    for (rejection, of_create, of_complete) in [
        (down, State::Failed, State::Open),
        (Rejection::UpstreamTimeout, State::Unknown, State::Unknown),
        (
            Rejection::UpstreamBroken("reset".into()),
            State::Unknown,
            State::Unknown,
        ),
    ] {
        let told = rejection.clone();
        let answering = move |request: Request| {
            let response = told.respond(&Context::of(&request), request.method());
            async { response }
        };
        let world = World::new();
        world.send_and_read(create(), answering.clone()).await;
        assert_eq!(world.the_record().await.state, of_create, "{rejection:?}");
        let world = World::new();
        opened(&world).await;
        world.send_and_read(complete("u"), answering).await;
        assert_eq!(world.the_record().await.state, of_complete, "{rejection:?}");
    }
    for (status, of_create, of_complete) in [
        (400, State::Failed, State::Open),
        (401, State::Failed, State::Open),
        (403, State::Failed, State::Failed),
        (404, State::Failed, State::Failed),
        (409, State::Failed, State::Failed),
        (429, State::Failed, State::Failed),
        (500, State::Failed, State::Failed),
        (501, State::Failed, State::Failed),
    ] {
        let error = move |_| async move { answer(status, r#"{"message":"because"}"#.to_owned()) };
        let world = World::new();
        world.send_and_read(create(), error).await;
        let record = world.the_record().await;
        assert_eq!(
            (record.state, record.status, record.error.as_deref()),
            (of_create, Some(status), Some("because"))
        );
        let world = World::new();
        opened(&world).await;
        world.send_and_read(complete("u"), error).await;
        let record = world.the_record().await;
        assert_eq!(
            (record.state, record.status, record.error.as_deref()),
            (of_complete, Some(status), Some("because"))
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_its_request_along_leaves_an_unknown_upload() {
    let world = World::new();
    let arrived = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&arrived);
    let mut sending = Box::pin(world.send(create(), move |_| {
        let notify = Arc::clone(&notify);
        async move {
            notify.notify_one();
            std::future::pending().await
        }
    }));
    tokio::select! {
        _ = &mut sending => panic!("an answer"),
        () = arrived.notified() => {}
    }
    assert_eq!(world.the_record().await.state, State::Intent);
    drop(sending);
    let record = world.the_record().await;
    assert_eq!((record.state, record.status), (State::Unknown, None));
    assert_eq!(world.events()[0]["outcome"], "lost");
}

/// Sends a create whose answer comes in pieces, and gives half of it to the client.
async fn half_answered(world: &World) -> (mpsc::UnboundedSender<Result<Bytes, BodyError>>, Bytes, Body) {
    let (pieces, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let response = world
        .send(create(), move |_| {
            let body = body.lock().unwrap().take().unwrap();
            async { answer(201, body) }
        })
        .await;
    let mut text = Bytes::from(created("u", 3));
    let half = text.split_to(text.len() / 2);
    pieces.send(Ok(half)).unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    (pieces, text, body)
}

#[tokio::test]
async fn an_answer_cut_before_the_upload_id_says_so() {
    let world = World::new();
    let (pieces, _, mut body) = half_answered(&world).await;
    pieces.send(Err(BodyError::Gateway("idle"))).unwrap();
    assert!(body.frame().await.unwrap().is_err());
    let record = world.the_record().await;
    assert_eq!(
        (record.state, record.status, record.upload_id),
        (State::Unknown, Some(201), None)
    );
    assert_eq!(record.error.as_deref(), Some("the answer was cut short"));
    no_secret(&world).await;
}

#[tokio::test]
async fn a_client_that_leaves_within_the_answer_does_not_lose_the_upload_id() {
    let world = World::new();
    let (pieces, rest, body) = half_answered(&world).await;
    drop(body);
    assert_eq!(world.the_record().await.state, State::Intent);
    pieces.send(Ok(rest)).unwrap();
    pieces.closed().await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.upload_id.as_deref()), (State::Open, Some("u")));
    assert_eq!(world.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_answer_is_not_waited_for_for_ever() {
    let world = World::new();
    let (pieces, _, body) = half_answered(&world).await;
    drop(body);
    pieces.closed().await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.status), (State::Unknown, Some(201)));
    assert!(record.error.unwrap().contains("client left"));
}

/// What limit does with a mutation: it goes on in a task of its own.
struct OutlivesItsClient;

impl Step for OutlivesItsClient {
    async fn call<S: Inner>(&self, request: Request, next: Next<S>) -> Response {
        tokio::spawn(next.run(request)).await.unwrap()
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_does_not_lose_the_upload_id() {
    let world = World::new();
    let (arrived, leave) = (
        Arc::new(tokio::sync::Notify::new()),
        Arc::new(tokio::sync::Notify::new()),
    );
    let (at_lakefs, go_on) = (Arc::clone(&arrived), Arc::clone(&leave));
    let lakefs = service_fn(move |_| {
        let (arrived, leave) = (Arc::clone(&at_lakefs), Arc::clone(&go_on));
        async move {
            arrived.notify_one();
            leave.notified().await;
            Ok::<_, Infallible>(answer(201, created("u", 3)))
        }
    });
    let inner = step(OutlivesItsClient).layer(step(Records(world.store.clone())).layer(lakefs));
    let mut stack = step(world.layer()).layer(inner);
    let mut sending = stack.call(create());
    tokio::select! {
        _ = &mut sending => panic!("an answer"),
        () = arrived.notified() => {}
    }
    drop(sending);
    leave.notify_one();
    let mut counts = world.store.counts();
    counts.wait_for(|counts| counts.of(State::Open) == 1).await.unwrap();
    assert_eq!(world.the_record().await.upload_id.as_deref(), Some("u"));
    assert_eq!(world.events()[0]["outcome"], "ok");
}

#[tokio::test]
async fn a_repeated_complete_keeps_what_the_first_one_knew() {
    let world = World::new();
    opened(&world).await;
    world
        .send_and_read(complete("u"), |_| async { answer(200, COMPLETED.to_owned()) })
        .await;
    let gone = r#"{"message":"api error NoSuchUpload"}"#;
    world
        .send_and_read(complete("u"), move |_| async move { answer(500, gone.to_owned()) })
        .await;
    let record = world.the_record().await;
    assert_eq!(
        (record.state, record.status, record.error),
        (State::Completed, Some(200), None)
    );
    assert_eq!(record.bytes, Some(5_242_890));
}

#[tokio::test]
async fn an_upload_created_elsewhere_gets_a_record_by_its_first_step() {
    let world = World::new();
    world
        .send_and_read(complete("x"), |_| async { answer(200, COMPLETED.to_owned()) })
        .await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.parts_asked), (State::Completed, None));
    assert_eq!(record.physical_address.as_deref(), Some("s3://bucket/data/g/x"));
}

#[tokio::test]
async fn whom_lakefs_does_not_know_cannot_make_up_uploads() {
    let world = World::new();
    let denied = |_| async { answer(401, r#"{"message":"error authenticating request"}"#.to_owned()) };
    world
        .send_and_read(step_with_address(Method::DELETE, "/x"), denied)
        .await;
    world
        .send_and_read(step_with_address(Method::PUT, "/y/parts/1"), denied)
        .await;
    assert_eq!(world.records().await, []);
    assert_eq!(world.events().len(), 2, "they are told all the same");
}

#[tokio::test]
async fn a_message_that_quotes_the_request_is_kept_without_the_signature() {
    let world = World::new();
    opened(&world).await;
    let quoting = format!(
        r#"{{"message":"Error at \"/parts\": value {} is wrong, see http://store/x?X-Amz-Signature={URL_SECRET}\nSchema:\n {{}}"}}"#,
        address()
    );
    world
        .send_and_read(complete("u"), move |_| {
            let quoting = quoting.clone();
            async { answer(400, quoting) }
        })
        .await;
    assert!(
        world
            .the_record()
            .await
            .error
            .unwrap()
            .contains("s3://bucket/data/g/x is wrong")
    );
    no_secret(&world).await;
}

#[tokio::test]
async fn other_requests_leave_no_trace() {
    let world = World::new();
    let mut other = http::Request::new(Body::empty());
    *other.uri_mut() = "/api/v1/repositories".parse().unwrap();
    let (head, body) = other.into_parts();
    let classified = lakefs::classify(&head, &[]).unwrap();
    let other = Request::from_parts(head, body);
    Context::of(&other).set_classified(classified);
    world
        .send_and_read(other, |_| async { answer(200, "{}".to_owned()) })
        .await;
    assert_eq!(world.records().await, []);
    assert!(world.events().is_empty());
}

#[tokio::test]
async fn a_ledger_that_cannot_write_holds_nothing_back() {
    let (store, full) = Store::with_a_disk();
    let world = World::over(store);
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let (status, body) = world
        .send_and_read(complete("u"), |_| async { answer(200, COMPLETED.to_owned()) })
        .await;
    assert_eq!((status, &*body), (StatusCode::OK, COMPLETED.as_bytes()));
    assert!(world.store.flush().await.is_err());
    assert_eq!(world.metrics.ledger_failures.get(), 2);
    let complete = world
        .events()
        .into_iter()
        .find(|event| event["event"] == "complete")
        .unwrap();
    assert_eq!((&complete["outcome"], complete.get("age_ms")), (&"ok".into(), None));
}
