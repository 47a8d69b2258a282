//! The S3 gateway's requests through the whole stack: what is signed arrives byte for byte, in the client's own framing, and what is
//! refused is refused in S3's own words.

use lakegate::config::{HardResetMember, Preset, RuleConfig, RuleMode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::gateway::TestGateway;
use super::support::lakefs::{RawLakefs, ok};
use super::support::raw::Message;

const AUTHORIZATION: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAX/20261123/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=0a1b";
const LISTING: &str = "<Delete><Object><Key>main/a</Key></Object><Object><Key>dev/b</Key></Object></Delete>";

/// A signed request as its client writes it.
#[derive(Debug, Clone)]
struct Signed {
    method: &'static str,
    target: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// The sizes of its chunks, if it is chunked.
    chunks: Option<Vec<usize>>,
    trailer: Option<String>,
}

impl Signed {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\n{}\r\n",
            self.method,
            self.target,
            self.headers.join("\r\n")
        )
        .into_bytes();
        let Some(sizes) = &self.chunks else {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).bytes());
            bytes.extend(&self.body);
            return bytes;
        };
        bytes.extend(b"Transfer-Encoding: chunked\r\n");
        if self.trailer.is_some() {
            bytes.extend(b"Trailer: X-Amz-Checksum-Crc32\r\n");
        }
        bytes.extend(b"\r\n");
        let (mut left, mut sizes) = (&self.body[..], sizes.iter().copied());
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(sizes.next().unwrap_or(left.len()).clamp(1, left.len()));
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk.iter().chain(b"\r\n"));
            left = rest;
        }
        bytes.extend(b"0\r\n");
        bytes.extend(self.trailer.iter().flat_map(|line| line.bytes().chain(*b"\r\n")));
        bytes.extend(b"\r\n");
        bytes
    }

    fn assert_arrived(&self, arrived: &Message) {
        assert_eq!(arrived.start, format!("{} {} HTTP/1.1", self.method, self.target));
        let name = |line: &str| line.split(':').next().unwrap().to_ascii_lowercase();
        for sent in &self.headers {
            let same = |lines: &[String]| -> Vec<String> {
                let of_name = lines.iter().filter(|line| name(line) == name(sent));
                of_name.cloned().collect()
            };
            assert_eq!(same(&arrived.headers), same(&self.headers), "{sent}");
        }
        assert_eq!(arrived.body, self.body);
        let length = self.body.len().to_string();
        let framing = match self.chunks {
            Some(_) => (Some("chunked"), None),
            None => (None, Some(&*length)),
        };
        assert_eq!(
            (arrived.header("transfer-encoding"), arrived.header("content-length")),
            framing
        );
        assert_eq!(arrived.trailers, Vec::from_iter(self.trailer.clone()));
    }
}

fn signed() -> impl Strategy<Value = Signed> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._~!$&'()*+,;=:@-]{1,6}",
        1 => prop::sample::select(vec!["/", "//", "..", ".", "%2F", "%2f", "%20", "%25", "%C3%BC", "%00", "+"]).prop_map(str::to_owned),
    ];
    let path = prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("/repo/main/{}", pieces.concat()));
    let query = prop_oneof![
        Just(String::new()),
        Just("?delete".to_owned()),
        Just("?delete=x&y".to_owned()),
        "[a-zA-Z0-9=&+/?;:@!$'()*,._~-]{0,12}".prop_map(|query| format!("?{query}")),
        Just(
            "?X-Amz-Credential=AKIAX%2F20261123%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=00&partNumber=1&uploadId=u"
                .to_owned()
        ),
    ];
    let bucket = Just("/repo?delete".to_owned());
    let target = prop_oneof![4 => (path, query).prop_map(|(path, query)| path + &query), 1 => bucket];
    let host = prop::sample::select(vec![
        "h",
        "H.example:8000",
        "s3.local.lakefs.io",
        "repo.s3.local.lakefs.io:80",
        "[::1]:9",
    ]);
    let value = "[!-~]([ -~]{0,10}[!-~])?";
    let header = (
        prop::sample::select(vec![
            "X-Amz-Date",
            "x-amz-meta-A",
            "X-AMZ-Content-SHA256",
            "Content-MD5",
            "content-type",
            "Accept-Encoding",
            "User-Agent",
            "amz-sdk-invocation-id",
            "X-Amz-Security-Token",
            "Range",
            "If-None-Match",
            "x-amz-decoded-content-length",
        ]),
        value,
    );
    let body = prop_oneof![
        Just(Vec::new()),
        Just(LISTING.as_bytes().to_vec()),
        Just(b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=01\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..3000),
    ];
    let chunks = prop::option::of(prop::collection::vec(1..2000_usize, 0..5));
    let methods = prop::sample::select(vec!["PUT", "POST", "GET", "DELETE"]);
    (
        methods,
        target,
        host,
        prop::collection::vec(header, 0..6),
        body,
        chunks,
        any::<bool>(),
    )
        .prop_map(|(method, target, host, more, body, chunks, trailed)| {
            let mut headers = vec![format!("Host: {host}"), AUTHORIZATION.to_owned()];
            headers.extend(more.into_iter().map(|(name, value)| format!("{name}: {value}")));
            let trailer = (trailed && chunks.is_some()).then(|| "x-amz-checksum-crc32: AAAAAA==".to_owned());
            Signed {
                method,
                target,
                headers,
                body,
                chunks,
                trailer,
            }
        })
}

#[test]
fn signed_requests_arrive_byte_for_byte() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (gateway, served) = runtime.block_on(async {
        let lakefs = RawLakefs::listen().await;
        let gateway = TestGateway::before(lakefs.address(), |_| {}).await;
        (gateway, lakefs.serve(|_| ok("{}")))
    });
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::with_cases(128)
    });
    let result = runner.run(&signed(), |request| {
        let answer = runtime.block_on(async { gateway.connect().await.ask(request.bytes()).await });
        prop_assert_eq!(answer.status(), 200, "{:?}", answer);
        request.assert_arrived(&served.last());
        Ok(())
    });
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_says_slow_down_and_nothing_to_head() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.limit.principal.requests_per_second = 1;
        config.limit.principal.burst = 1;
        config.limit.max_wait = "1ms".parse().unwrap();
        config.limit.too_many_status = 420;
    })
    .await;
    let _served = lakefs.serve(|_| ok("{}"));
    let mut wire = gateway.connect().await;
    let get = format!("GET /repo/main/a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n{AUTHORIZATION}\r\n\r\n");
    assert_eq!(wire.ask(&get).await.status(), 200);
    let refused = wire.ask(&get).await;
    assert_eq!(
        (refused.status(), refused.header("x-lakegate-reason")),
        (503, Some("over-share"))
    );
    assert_eq!(refused.header("content-type"), Some("text/xml; charset=utf-8"));
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("<Code>SlowDown</Code>"), "{}", refused.text());
    wire.send(get.replacen("GET", "HEAD", 1)).await;
    let head = wire.answer_to("HEAD").await;
    assert_eq!(
        (head.status(), head.header("x-lakegate-reason")),
        (503, Some("over-share"))
    );
    let again = wire.ask(&get).await;
    assert_eq!(again.status(), 503, "no body stood between the two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_of_a_listing_goes_up_all_the_same_and_what_is_too_long_is_refused_in_xml() {
    let lakefs = RawLakefs::listen().await;
    let gateway = TestGateway::before(lakefs.address(), |config| {
        config.server.inspected_body = "1KiB".parse().unwrap();
        config.guard.rules = vec![RuleConfig {
            name: "main-stays".to_owned(),
            repositories: vec!["*".to_owned()],
            branches: vec!["main".to_owned()],
            preset: Preset::Protect,
            hard_reset: HardResetMember::Forced,
            mode: RuleMode::Enforce,
        }];
    })
    .await;
    let served = lakefs.serve(|_| ok("{}"));
    let delete = |body: &str| {
        let length = body.len();
        format!("POST /repo?delete HTTP/1.1\r\nHost: h\r\n{AUTHORIZATION}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    for body in ["<Delete><Object>", "", "\u{fc}\0"] {
        assert_eq!(gateway.connect().await.ask(delete(body)).await.status(), 200, "{body}");
        assert_eq!(served.last().text(), body);
    }
    let long = gateway.connect().await.ask(delete(&LISTING.repeat(20))).await;
    assert_eq!(
        (long.status(), long.header("content-type")),
        (413, Some("application/xml"))
    );
    assert!(long.text().contains("<Code>EntityTooLarge</Code>"), "{}", long.text());
}
