//! S3 multipart uploads through the gateway, and the requests of `cpmpu`, in the ledger.

use super::*;
use crate::store::Kind;

const CREATED: &str = "<InitiateMultipartUploadResult><Bucket>data</Bucket><Key>work/a/b.bin</Key><UploadId>s1</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult><ETag>&#34;e-2&#34;</ETag></CompleteMultipartUploadResult>";
const NONE: &str =
    "<Error><Code>NoSuchUpload</Code><Message>The specified multipart upload does not exist.</Message></Error>";

async fn send(world: &World, method: Method, query: &str, status: u16, body: &'static str) {
    let request = s3_request(method, &format!("/data/work/a/b.bin?{query}"));
    let answered = move |_| async move {
        http::Response::builder()
            .status(status)
            .header("etag", "\"part-etag\"")
            .body(Body::from(body.to_owned()))
            .unwrap()
    };
    let (got, read) = world.send_and_read(request, answered).await;
    assert_eq!((got.as_u16(), &*read), (status, body.as_bytes()));
}

#[tokio::test]
async fn an_s3_uploads_life_is_in_the_ledger_and_in_the_log() {
    let world = World::new();
    send(&world, Method::POST, "uploads", 200, CREATED).await;
    let record = world.the_record().await;
    assert_eq!((record.state, record.upload_id.as_deref()), (State::Open, Some("s1")));
    for part in [1, 2] {
        send(&world, Method::PUT, &format!("partNumber={part}&uploadId=s1"), 200, "").await;
    }
    send(&world, Method::GET, "uploadId=s1", 200, "<ListPartsResult/>").await;
    send(&world, Method::POST, "uploadId=s1", 200, COMPLETED).await;
    let record = world.the_record().await;
    assert_eq!((record.kind, record.state), (Kind::S3, State::Completed));
    assert_eq!((record.parts_uploaded, record.bytes), (2, Some(10_485_760)));
    assert_eq!(record.checksum.as_deref(), Some("e-2"));
    let events = world.events();
    let named: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(named, ["create", "part", "part", "list", "complete"]);
    assert_eq!(
        (&events[1]["bytes"], &events[1]["checksum"], &events[1]["kind"]),
        (&5_242_880.into(), &"part-etag".into(), &"s3".into())
    );
    no_secret(&world).await;
}

#[tokio::test]
async fn a_complete_that_begins_well_and_ends_with_an_error_has_failed() {
    let world = World::new();
    send(&world, Method::POST, "uploads", 200, CREATED).await;
    send(&world, Method::POST, "uploadId=s1", 200, NONE).await;
    let record = world.the_record().await;
    assert_eq!(record.state, State::Failed);
    assert_eq!(
        record.error.as_deref(),
        Some("The specified multipart upload does not exist.")
    );
}

#[tokio::test]
async fn an_aborted_one_stays_so_and_made_up_ones_leave_no_trace() {
    let world = World::new();
    send(&world, Method::POST, "uploads", 200, CREATED).await;
    send(&world, Method::DELETE, "uploadId=s1", 204, "").await;
    send(&world, Method::POST, "uploadId=s1", 404, NONE).await;
    for (method, query) in [(Method::PUT, "partNumber=1&uploadId=no"), (Method::POST, "uploadId=no")] {
        send(&world, method, query, 404, NONE).await;
    }
    assert_eq!(world.the_record().await.state, State::Aborted);
}

#[tokio::test]
async fn what_cpmpu_asks_for_is_a_sign_of_life_and_no_end() {
    let world = World::new();
    for asked in ["parts/2/copy_request", "complete_request", "prepare_request"] {
        let target = format!("/api/v1/repositories/data/branches/work/staging/cpmpu/c1/{asked}?path=a");
        let request = s3_request(Method::POST, &target);
        world
            .send_and_read(request, |_| async { answer(200, "{}".to_owned()) })
            .await;
    }
    let record = world.the_record().await;
    assert_eq!(
        (record.kind, record.state, record.parts_presigned),
        (Kind::Cpmpu, State::Open, 2)
    );
    let events = world.events();
    assert_eq!(events[1]["event"], "complete_request");
}
