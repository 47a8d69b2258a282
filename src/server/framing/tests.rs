//! Streams of bytes and their judgement, however they are cut into pieces.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { head: 600, lines: 20 };

/// Judges a stream cut into the given pieces, as the caller of [`Framing::judge`] does: what was passed, and the fault.
fn judged(pieces: &[&[u8]]) -> (Vec<u8>, Option<Fault>, Phase) {
    let mut framing = Framing::new(LIMITS);
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for piece in pieces {
        held.extend_from_slice(piece);
        let judgement = framing.judge(&held);
        passed.extend(held.drain(..judgement.passed));
        if judgement.fault.is_some() {
            return (passed, judgement.fault, framing.phase());
        }
    }
    (passed, None, framing.phase())
}

fn fault(stream: &str) -> Option<Fault> {
    judged(&[stream.as_bytes()]).1
}

fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

#[test]
fn requests_pass_whole_one_after_another() {
    for stream in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nhost:h \t\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "PUT /a?b HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a;x=\"y\";z\r\n0123456789\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\nx\r\n0\r\nA-B: c\td\r\nE:\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        "GET HTTP://A.example:80/x HTTP/1.1\r\nHost: a.EXAMPLE:80\r\n\r\n",
        "GET http://a/x HTTP/1.0\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET https://a:?x HTTP/1.1\r\nHost:\r\n\r\n",
        "OPTIONS http://[::1]:8000 HTTP/1.1\r\nHost: b\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /%zz/a\"b{}|^[]\\?`x HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.0\r\nExpect: anything\r\n\r\n",
        "X!-1 / HTTP/1.1\r\nHost: h\r\nx: caf\u{e9}\r\nX:\r\n\r\n",
    ] {
        assert_eq!(
            judged(&[stream.as_bytes()]),
            (stream.as_bytes().to_vec(), None, Phase::Between),
            "{stream}"
        );
    }
}

#[test]
fn what_is_not_whole_is_held_back() {
    assert_eq!(
        judged(&[b"GET / HTTP/1.1\r\nHost: h\r\n"]),
        (Vec::new(), None, Phase::Head)
    );
    let body = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel";
    assert_eq!(judged(&[body]), (body.to_vec(), None, Phase::Body));
    let (first, rest) = ("GET / HTTP/1.0\r\n\r\n", "GE");
    assert_eq!(
        judged(&[(first.to_owned() + rest).as_bytes()]),
        (first.into(), None, Phase::Head)
    );
}

#[test]
fn bad_request_lines_are_refused() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "/ HTTP/1.1",
        "get / HTTP/1.1",
        "Get / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET  HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /?a#b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /<x> HTTP/1.1",
        "GET /a`b HTTP/1.1",
        "GET /?a\"b HTTP/1.1",
        "GET ftp://h/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://?x HTTP/1.1",
        "GET http://:80/ HTTP/1.1",
        "GET http:/h/ HTTP/1.1",
        "GET http://h,i/ HTTP/1.1",
        "GET http://%68/ HTTP/1.1",
        "GET http://h\\@i/ HTTP/1.1",
        "GET http://h:123456/ HTTP/1.1",
        "GET http://[::1/ HTTP/1.1",
        "GET http://u@h/ HTTP/1.1",
        "GET http://u:p@h/ HTTP/1.1",
        "GET http://h:x/ HTTP/1.1",
        "GET http:h HTTP/1.1",
        "GET h:80 HTTP/1.1",
        "SSH-2.0-OpenSSH_9.2",
        "\u{16}\u{3}\u{1}\u{2}",
        "GET /\u{0} HTTP/1.1",
        "GET / HTTP/1.1\r",
    ] {
        let found = fault(&format!("{line}\r\nHost: h\r\n\r\n"));
        assert!(matches!(found, Some(Fault::Bad(_))), "{line:?}: {found:?}");
    }
    for line in ["GET / HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9", "PRI * HTTP/2.0"] {
        assert_eq!(fault(&format!("{line}\r\n\r\n")), Some(Fault::Version), "{line}");
    }
    for line in ["CONNECT h:80 HTTP/1.1", "TRACE / HTTP/1.1"] {
        assert_eq!(
            fault(&format!("{line}\r\nHost: h\r\n\r\n")),
            Some(Fault::Method),
            "{line}"
        );
    }
}

#[test]
fn bad_header_lines_are_refused() {
    for lines in [
        "Host: h\r\n",
        "Host : x\r\n",
        "a b: c\r\n",
        ": c\r\n",
        "nocolon\r\n",
        "a\u{e9}: c\r\n",
        "a: b\r\n c\r\n",
        " a: b\r\n",
        "\ta: b\r\n",
        "a: b\u{0}c\r\n",
        "a: b\rc\r\n",
        "a: b\nc: d\r\n",
        "a: b\u{7f}\r\n",
        "a\u{0}: b\r\n",
        "\"a\": b\r\n",
        "a: b\n\r\n",
    ] {
        let found = fault(&get(lines));
        assert!(matches!(found, Some(Fault::Bad(_))), "{lines:?}: {found:?}");
    }
}

#[test]
fn a_request_says_where_it_goes_once() {
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: u@h\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a, b\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
    ] {
        let found = fault(&format!("{head}\r\n"));
        assert!(matches!(found, Some(Fault::Bad(_))), "{head:?}: {found:?}");
    }
}

#[test]
fn a_body_has_one_end() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let found = fault(&get(lines));
        assert!(matches!(found, Some(Fault::Bad(_))), "{lines:?}: {found:?}");
    }
    for coding in [
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        ",chunked",
        "chunked;x",
        "identity",
        "",
        "\u{b}chunked",
    ] {
        let found = fault(&get(&format!("Transfer-Encoding: {coding}\r\n")));
        assert!(
            matches!(found, Some(Fault::Coding | Fault::Bad(_))),
            "{coding:?}: {found:?}"
        );
    }
    assert!(fault("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_some());
    assert_eq!(fault(&get("Expect: 200-ok\r\n")), Some(Fault::Expectation));
}

#[test]
fn bad_chunks_are_refused_where_they_begin() {
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (good, bad) in [
        ("", "\r\n"),
        ("", ";x"),
        ("0", "x1\r\n"),
        ("0", "_1\r\n"),
        ("", "+1\r\n"),
        ("", "-1\r\n"),
        ("", " 1\r\n"),
        ("1", "\n"),
        ("1\r", "x"),
        ("1 ", "\r\n"),
        ("1 ", "1\r\n"),
        ("1;a", "\n"),
        ("1;a", "\0"),
        ("1;a", "\u{1}"),
        ("1\r\nx", "y"),
        ("1\r\nx", "\n"),
        ("1\r\nx\r", "y"),
        ("0\r\n", " x\r\n"),
        ("0\r\n", ":\r\n"),
        ("0\r\na", " : b"),
        ("0\r\na: b", "\n"),
        ("0\r\na: b\r\n", " c\r\n"),
        ("0\r\n\r", "x"),
        ("000000000000000", "0\r\n"),
    ] {
        let (passed, found, _) = judged(&[format!("{head}{good}{bad}").as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&passed), format!("{head}{good}"), "{bad:?}");
        assert!(matches!(found, Some(Fault::Bad(_))), "{bad:?}");
    }
}

#[test]
fn long_heads_are_refused_at_their_limit() {
    let long = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(length - 27));
    assert_eq!((long(600).len(), fault(&long(600))), (600, None));
    assert_eq!(fault(&long(601)), Some(Fault::HeadTooLarge));
    assert_eq!(
        fault(&"a".repeat(599)),
        None,
        "what ends there could still be refused as what it is"
    );
    assert_eq!(fault(&"a".repeat(600)), Some(Fault::HeadTooLarge));
    assert_eq!(fault(&get(&"a:\r\n".repeat(19))), None);
    assert_eq!(fault(&get(&"a:\r\n".repeat(20))), Some(Fault::HeadTooLarge));
}

#[test]
fn a_fault_behind_a_good_request_leaves_that_one_alone() {
    let good = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (passed, found, _) = judged(&[format!("{good}garbage\r\n").as_bytes()]);
    assert_eq!(passed, good.as_bytes());
    assert!(matches!(found, Some(Fault::Bad(_))));
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()),
        2 => Just("PUT http://h/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()),
        1 => Just("PUT / HTTP/1.0\r\nContent-Length: 7\r\n\r\n".to_owned()),
        3 => prop::sample::select(vec![
            "\r\n", "\n", "\r", "0\r\n", "a\r\n0123456789\r\n", "5;e\r\nhello\r\n", "0\r\n\r\n", "GET ", "Host: h\r\n", "x: y\r\n", " ",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "1234567", "#", "\0", ":", "HTTP/1.1\r\n",
        ]).prop_map(str::to_owned),
        1 => "[ -~\r\n]{0,12}",
        1 => Just(format!("X: {}\r\n", "y".repeat(200))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_judgement_does_not_depend_on_how_the_stream_is_cut(
        pieces in prop::collection::vec(piece(), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let stream: String = pieces.concat();
        let whole = judged(&[stream.as_bytes()]);
        let mut rest = stream.as_bytes();
        let mut cut = Vec::new();
        for length in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (first, second) = rest.split_at((*length).min(rest.len()));
            cut.push(first);
            rest = second;
        }
        prop_assert_eq!(judged(&cut), whole.clone());
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        prop_assert_eq!(judged(&bytes), whole);
    }

    #[test]
    fn what_passes_as_a_target_is_one_for_the_http_crate_and_is_kept(target in "/[!-~]{0,30}") {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        if fault(&head).is_none() {
            let uri: http::Uri = target.parse().unwrap();
            prop_assert_eq!(uri.to_string(), target);
        }
    }

    #[test]
    fn what_passes_as_a_host_is_one_for_the_http_crate_and_is_kept(host in "[!-.:->@-~]{0,6}|[a-z.]{1,3}[!-.:->@-~]{0,2}:?[0-9]{0,5}|\\[[0-9a-f:.]{0,5}\\](:[0-9]{0,5})?") {
        let target = format!("http://{host}/x");
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        if fault(&head).is_none() {
            let uri = target.parse::<http::Uri>();
            prop_assert!(uri.is_ok(), "{target}: {uri:?}");
            let uri = uri.unwrap();
            let origin = uri.authority().map_or("", |authority| authority.as_str());
            prop_assert!(target.starts_with(&format!("http://{origin}")) && uri.to_string() == target, "{uri}");
        }
    }

    #[test]
    fn what_passes_as_a_head_is_one_for_the_http_crate(line in "[ -~]{0,20}: ?[\t -~\u{80}-\u{ff}]{0,20}") {
        if fault(&get(&format!("{line}\r\n"))).is_none() {
            let (name, value) = line.split_once(':').unwrap();
            prop_assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok());
            prop_assert!(http::HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).is_ok());
        }
    }
}
