//! One access line a request, written when its answer has gone, or when the client has. Secrets are not among its fields.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, header};

use super::metrics::{RefusalLabels, RequestLabels};
use super::{Finished, Metrics, Witness};
use crate::exchange::{Context, Ended, Proof, Request, Response};
use crate::lakefs::{Classified, Danger, Dangers, Force, Operation, Protocol, Role};

/// Longest target and user agent that a line holds, in bytes.
const TARGET_MAX: usize = 2048;
const USER_AGENT_MAX: usize = 200;
/// The most targets that a line holds of what a body names, and the longest name. The audit log has all.
const TARGETS_MAX: usize = 20;
const NAME_MAX: usize = 256;

/// What a request whose client left before an answer is logged with (nginx's number; lakeFS uses it too).
const CLIENT_LEFT: u16 = 499;

/// The line of one request. Dropping it writes it, so none is lost when a client leaves.
pub(super) struct AccessLine {
    context: Context,
    metrics: Arc<Metrics>,
    witness: Option<Arc<dyn Witness>>,
    /// Method and target, if that much could be read.
    asked: Option<(Method, String)>,
    user_agent: Option<String>,
    received: Arc<AtomicU64>,
    status: u16,
    sent: u64,
    ended: Ended,
}

impl AccessLine {
    /// Notes what is known at the head, and counts the request's body as it passes.
    pub(super) fn begin(
        request: &mut Request,
        context: Context,
        metrics: Arc<Metrics>,
        witness: Option<Arc<dyn Witness>>,
    ) -> Self {
        metrics.in_flight.inc();
        let received = Arc::new(AtomicU64::new(0));
        if !request.body().is_complete() {
            let (each, body) = (
                Arc::clone(&received),
                std::mem::replace(request.body_mut(), crate::exchange::Body::empty()),
            );
            let count = move |chunk: &bytes::Bytes| {
                each.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            };
            *request.body_mut() = body.watch(count, |_, _| {});
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let user_agent = request
            .headers()
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok());
        Self {
            context,
            metrics,
            witness,
            asked: Some((request.method().clone(), written(target))),
            user_agent: user_agent.map(|agent| truncated(agent, USER_AGENT_MAX).to_owned()),
            received,
            status: CLIENT_LEFT,
            sent: 0,
            ended: Ended::Dropped,
        }
    }

    /// Of what was refused at the door.
    pub(super) fn of_no_request(context: Context, metrics: Arc<Metrics>, asked: Option<(Method, String)>) -> Self {
        metrics.in_flight.inc();
        Self {
            context,
            metrics,
            witness: None,
            asked: asked.map(|(method, target)| (method, written(&target))),
            user_agent: None,
            received: Arc::default(),
            status: CLIENT_LEFT,
            sent: 0,
            ended: Ended::Dropped,
        }
    }

    /// Lets the line be written when the answer's last byte has gone.
    pub(super) fn attach(mut self, response: Response) -> Response {
        self.status = response.status().as_u16();
        response.map(|body| {
            body.on_end(move |bytes, ended| {
                (self.sent, self.ended) = (bytes, ended);
                drop(self);
            })
        })
    }

    fn count(&self) {
        let classified = self.context.classified();
        let labels = RequestLabels {
            protocol: classified.map_or("rest", |classified| protocol(classified.protocol)),
            class: classified.map_or("unknown", |classified| classified.operation.spec().class.as_str()),
            status: self.status,
        };
        self.metrics.requests.get_or_create(&labels).inc();
        {
            let facts = self.context.facts();
            let shadow = facts.shadow_refusals.iter().map(|reason| (*reason, "shadow"));
            for (reason, mode) in shadow.chain(facts.reason.map(|reason| (reason, "enforce"))) {
                let labels = RefusalLabels { reason, mode };
                self.metrics.refusals.get_or_create(&labels).inc();
            }
        }
        self.metrics
            .request_seconds
            .observe(self.context.started().elapsed().as_secs_f64());
        self.metrics
            .received_bytes
            .inc_by(self.received.load(Ordering::Relaxed));
        self.metrics.sent_bytes.inc_by(self.sent);
        self.metrics.in_flight.dec();
    }

    fn write(&self) {
        let facts = self.context.facts();
        let classified = self.context.classified();
        let principal = self.context.principal();
        let subject = classified.and_then(|c| c.targets.iter().find(|target| target.role == Role::Subject));
        let asked = self.asked.as_ref();
        let (method, uri) = (
            asked.map(|(method, _)| method.as_str()),
            asked.map(|(_, target)| &**target),
        );
        let shadow = joined(&facts.shadow);
        let dangers = classified.zip(asked).and_then(|(classified, (method, _))| {
            let names: Vec<_> = Dangers::of(classified, method).iter().map(Danger::name).collect();
            (!names.is_empty()).then(|| names.join(","))
        });
        let ended = match self.ended {
            Ended::Done => "done",
            Ended::Failed => "failed",
            Ended::Dropped => "client-left",
        };
        // To the microsecond: more digits would be noise.
        let milliseconds = |duration: std::time::Duration| duration.as_micros() as f64 / 1000.0;
        tracing::info!(
            target: "lakegate::access",
            {
                request.id = %self.context.id(),
                client.address = %self.context.client().address,
                principal = principal.map(|principal| &*principal.name),
                groups = joined(principal.map_or(&[], |principal| &*principal.groups)),
                key = principal.and_then(|principal| principal.key.as_deref()),
                auth.method = principal.map(|principal| principal.method),
                auth.proved = principal.map(|principal| principal.proof == Proof::Proved),
                method,
                uri,
                operation = classified.map(|classified| classified.operation.spec().id),
                repository = subject.map(|subject| &*subject.repository),
                reference = subject.and_then(|subject| subject.reference.as_deref()),
                protocol = classified.map(|classified| protocol(classified.protocol)),
                targets = classified.and_then(beyond_the_head),
                force = classified.map(|classified| classified.force != Force::No),
                dangers,
                status = self.status,
                decision = facts.decision.unwrap_or("unanswered"),
                reason = facts.reason,
                rule = facts.rule.as_deref(),
                shadow,
                upstream.status = facts.upstream_status,
                upstream.request_id = facts.upstream_request_id.as_deref(),
                upstream.latency_ms = facts.upstream_latency.map(milliseconds),
                queue_ms = milliseconds(facts.queued),
                duration_ms = milliseconds(self.context.started().elapsed()),
                received_bytes = self.received.load(Ordering::Relaxed),
                sent_bytes = self.sent,
                ended,
                user_agent = self.user_agent.as_deref(),
                error = facts.error.as_deref(),
            },
            "{} {} -> {}",
            method.unwrap_or("no"), uri.unwrap_or("request"), self.status
        );
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        self.count();
        self.write();
        if let (Some(witness), Some((method, _))) = (&self.witness, &self.asked) {
            witness.ended(&Finished {
                context: &self.context,
                method,
                status: self.status,
                received_bytes: self.received.load(Ordering::Relaxed),
                sent_bytes: self.sent,
            });
        }
    }
}

/// A target as the line has it.
fn written(target: &str) -> String {
    truncated(&redacted(target), TARGET_MAX).to_owned()
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Rest => "rest",
        Protocol::S3 => "s3",
        Protocol::Web => "web",
    }
}

/// A list in one field; none where it is empty.
fn joined(list: &[String]) -> Option<String> {
    (!list.is_empty()).then(|| list.join(","))
}

/// What a request touches where its body says so, in JSON: for `lakegate replay`, which knows the rest by method and target.
fn beyond_the_head(classified: &Classified) -> Option<String> {
    use Operation as O;
    let in_body = matches!(
        classified.operation,
        O::S3DeleteObjects | O::DeleteObjects | O::ImportStart | O::CreateBranch | O::CreateTag
    );
    if !in_body {
        return None;
    }
    let targets = classified.targets.iter().take(TARGETS_MAX).map(|target| {
        serde_json::json!({
            "role": if target.role == Role::Subject { "subject" } else { "source" },
            "repository": truncated(&target.repository, NAME_MAX),
            "reference": target.reference.as_deref().map(|name| truncated(name, NAME_MAX)),
            "path": target.path.as_deref().map(|name| truncated(name, NAME_MAX)),
        })
    });
    serde_json::to_string(&targets.collect::<Vec<_>>()).ok()
}

/// The target with every query value gone that signs or authenticates, or holds a URL that does: a presigned URL is a credential.
fn redacted(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else {
        return Cow::Borrowed(target);
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(target);
    }
    let pairs: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(pair) => Cow::Owned(format!("{name}=REDACTED")),
            _ => Cow::Borrowed(pair),
        })
        .collect();
    Cow::Owned(format!("{path}?{}", pairs.join("&")))
}

/// Whether a pair of a query must not be written down: by its own name, or by that of a pair inside its value.
fn is_secret(pair: &str) -> bool {
    const SECRET: [&str; 8] = [
        "signature",
        "credential",
        "token",
        "secret",
        "password",
        "code",
        "samlresponse",
        "awsaccesskeyid",
    ];
    let pair = percent_encoding::percent_decode_str(pair)
        .decode_utf8_lossy()
        .to_ascii_lowercase();
    // A pair inside the value begins behind a separator: a path may well hold `country_code=`.
    let starts = pair.match_indices(['?', '&', ';']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).any(|start| {
        let begun = pair.get(start..).unwrap_or_default();
        let name = begun.split(['=', '?', '&', ';']).next().unwrap_or_default();
        // (`sig` is Azure's.)
        name == "sig" || SECRET.iter().any(|secret| name.contains(secret))
    })
}

/// The longest beginning of at most `max` bytes that ends at a character.
fn truncated(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_that_authenticate_are_redacted() {
        let target = "/b/k?X-Amz-Signature=abc&x=1&X-Amz-%53ecurity-Token=t&X-Amz-Credential=AK";
        let expected = "/b/k?X-Amz-Signature=REDACTED&x=1&X-Amz-%53ecurity-Token=REDACTED&X-Amz-Credential=REDACTED";
        assert_eq!(redacted(target), expected);
        for (secret, safe) in [
            ("/x?sig=abc&sv=1", "/x?sig=REDACTED&sv=1"),
            ("/x?a=1;X-Amz-Signature=abc&b=2", "/x?a=REDACTED&b=2"),
            ("/x?url=https%3A%2F%2Fs3%2Fk%3FX-Amz-Signature%3Dabc", "/x?url=REDACTED"),
            ("/x?url=https://s3/k?sv=1%26sig=abc", "/x?url=REDACTED"),
        ] {
            assert_eq!(redacted(secret), safe);
        }
        for plain in [
            "/api/v1/x?path=a%2Fb&ref=main",
            "/x?path=token&prefix=code/",
            "/x?path=design",
            "/x?path=a%3Db",
            "/x?path=country_code%3DUS%2Ftoken=1",
            "/token?x",
        ] {
            assert_eq!(redacted(plain), plain);
        }
    }

    #[test]
    fn long_text_ends_at_a_character() {
        assert_eq!(truncated("aü", 2), "a");
        assert_eq!(truncated("aü", 3), "aü");
    }
}
