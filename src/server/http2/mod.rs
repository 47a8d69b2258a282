//! One HTTP/2 connection: many requests at a time, each made into what HTTP/1.1 would have brought (`adapt`) and driven with deadlines of
//! its own (`streams`).
//!
//! What clients may not do here they are told by the frames' own means, most of it by hyper: frames out of order, floods of resets and of
//! empty frames end the connection. A head too large is let in up to a multiple of the limit, so that it gets an answer that says so.

mod adapt;
mod patient;
mod streams;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use super::connection::{Shared, ended};
use super::framing::Asked;
use super::refusal::Refusals;
use crate::exchange::Connection;
use adapt::adapt;
use patient::Patient;
use streams::Streams;

/// Requests at a time.
const STREAMS_MAX: u32 = 100;
/// Requests that a client has reset before they were looked at; beyond that it is attacking (CVE-2023-44487).
const RESETS_MAX: usize = 20;
/// What may be on its way up unasked: of one body, and of all.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// A head of so many times the limit is still read, to be refused like one of HTTP/1.1. Beyond that hyper answers 431 without a body, and
/// without a word to us, or ends the connection.
const HEAD_READ: usize = 4;
/// What is kept of one answer that the client has no room for.
const SEND_BUFFER: usize = 64 << 10;
/// How often a client is asked whether it is there, and how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a client that was told goodbye, and has no request under way, may take to go.
const FAREWELL: Duration = Duration::from_secs(5);

fn builder(streams: Streams, shared: &Shared) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(shared.limits.head.saturating_mul(HEAD_READ)).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// What a head asks for that is refused.
fn asked(head: &Parts) -> Asked {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    Asked {
        method: head.method.clone(),
        target: target.to_owned(),
    }
}

/// Serves a connection that has agreed on HTTP/2, to its end.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send, connection: Connection, shared: &Shared) {
    let streams = Streams::new(shared.deadlines.idle);
    let refusals = Arc::new(Refusals::new(connection, Arc::clone(&shared.metrics)));
    let service = service_fn(|request: Request<Incoming>| {
        let open = streams.begin();
        let (mut head, incoming) = request.into_parts();
        let judged = adapt(&mut head, &shared.limits).map_err(|fault| (fault, asked(&head)));
        head.extensions.insert(connection);
        let request = Request::from_parts(head, streams.request_body(incoming));
        let pipeline = shared.pipeline();
        let refusals = Arc::clone(&refusals);
        async move {
            let response = match judged {
                Ok(()) => pipeline.dispatch(request).await,
                Err((fault, asked)) => refusals.respond(fault, Some(asked)),
            };
            Ok::<_, Infallible>(response.map(|body| open.answer(body)))
        }
    });
    let io = TokioIo::new(Patient::new(stream, shared.deadlines.idle));
    let mut served = pin!(builder(streams.clone(), shared).serve_connection(io, service));
    let (mut drain, mut cut) = (shared.drain.clone(), shared.drain.clone());
    let mut told: Option<Instant> = None;
    // How long the client may still rest.
    let left = |told: Option<Instant>| match told {
        Some(told) => FAREWELL.saturating_sub(streams.rests().min(told.elapsed())),
        None if streams.has_begun() => shared.deadlines.keep_alive.saturating_sub(streams.rests()),
        None => shared.deadlines.header.saturating_sub(streams.rests()),
    };
    let result = loop {
        tokio::select! {
            biased;
            result = served.as_mut() => break Some(result),
            () = cut.cut() => break None,
            () = drain.begun(), if told.is_none() => {
                served.as_mut().graceful_shutdown();
                told = Some(Instant::now());
            }
            // Requests come and go while this waits, so it looks again.
            () = sleep(left(told).min(shared.deadlines.keep_alive)) => match told {
                _ if !left(told).is_zero() => {}
                Some(_) => break Some(Ok(())),
                None => {
                    served.as_mut().graceful_shutdown();
                    told = Some(Instant::now());
                }
            }
        }
    };
    ended(result, connection);
}
