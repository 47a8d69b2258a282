//! The HTTP side: connections, bodies with limits, and the way from a request to its handler in lakeFS's order of checks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Sandboxed;
use super::call::{Call, Query, bind_json, bind_path};
use super::presign;
use super::reply::{Chunks, Failure, Reply};
use super::route::{Destination, Route, route};
use super::script::{Close, Received};
use super::store::now;

/// The largest JSON body. (lakeFS has no limit.)
const MAX_JSON: u64 = 64 << 20;
/// The largest head, as Go has it.
const MAX_HEAD: usize = (1 << 20) + 4096;
/// Go's `ReadHeaderTimeout` as lakeFS sets it.
const HEADER_TIME: Duration = Duration::from_secs(60);
/// The page that stands in for lakeFS's user interface.
const PAGE: &str = "<!doctype html><html lang=\"en\"><head><title>lakeFS sandbox</title></head><body><h1>lakeFS sandbox</h1>\
<p>This is lakegate's small lakeFS look-alike. It speaks the API under <code>/api/v1</code>; it has no user interface.</p></body></html>";

/// Accepts connections until `stopped` is told or its sender is gone.
pub(super) async fn accept(listener: TcpListener, sandbox: Arc<Sandboxed>, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => drop(connections.spawn(connection(stream, peer, Arc::clone(&sandbox), stopped.clone()))),
                // Out of descriptors, most likely: wait for some to be given back.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut when the set is dropped.
    let _ = tokio::time::timeout(Duration::from_secs(2), all_done).await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, sandbox: Arc<Sandboxed>, mut stopped: watch::Receiver<()>) {
    // Only a delay is lost if this fails.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let sandbox = Arc::clone(&sandbox);
        async move { sandbox.answer(request, peer).await }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .title_case_headers(true)
        .max_headers(5000)
        .max_buf_size(MAX_HEAD);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stopped.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

impl Sandboxed {
    /// Answers a request. An error closes the connection.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> io::Result<Response<Chunks>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        // A proxy on this machine must not lend its address to others.
        let local = peer.ip().is_loopback() && !parts.headers.contains_key("x-forwarded-for");
        if self.config.scripting && local && path.starts_with("/_sandbox/") {
            let body = self.read(&parts, body, MAX_JSON).await?;
            let reply = body.map_or_else(Reply::from, |body| {
                self.script.serve(parts.method.as_str(), path, &body)
            });
            return Ok(respond(reply));
        }
        if path.starts_with(presign::PREFIX) {
            let query = parts.uri.query().unwrap_or_default();
            let reply = match self.read(&parts, body, self.config.max_object).await? {
                Ok(body) => self.store.serve(&parts.method, path, query, body, now()).await,
                Err(failure) => Reply::from(failure),
            };
            return Ok(respond(self.saved(&parts.method, reply).await));
        }
        let destination = route(&parts.method, path);
        let received = Received {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            operation: match &destination {
                Destination::Api(route, _) => route.id(),
                _ => String::new(),
            },
            headers: parts.headers.clone(),
        };
        let scripted = self.script.take(&received);
        self.script.remember(received);
        let Some(scripted) = scripted else {
            return Ok(respond(self.act(&parts, body, destination).await?));
        };
        tokio::time::sleep(scripted.delay()).await;
        if scripted.close == Some(Close::BeforeHead) {
            return Err(io::Error::other("closed by script"));
        }
        let real = if scripted.status == 0 {
            Some(self.act(&parts, body, destination).await?)
        } else {
            // As lakeFS would: the body is read, whatever comes of it.
            let _ = self.read(&parts, body, self.config.max_object).await?;
            None
        };
        Ok(respond(scripted.apply(real)))
    }

    /// Does what is asked.
    async fn act(&self, parts: &Parts, body: Incoming, destination: Destination) -> io::Result<Reply> {
        if is_s3(parts) {
            return Ok(s3_reply(parts.uri.path()));
        }
        let methods = [
            "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
        ];
        if !methods.contains(&parts.method.as_str()) {
            return Ok(Reply::empty(StatusCode::METHOD_NOT_ALLOWED).anonymous());
        }
        if parts.uri.scheme().is_some() {
            return Ok(Failure::Invalid("no matching operation was found".to_owned()).into());
        }
        match destination {
            Destination::Api(route, sent) => self.operate(parts, body, route, &sent).await,
            Destination::Unable(operation) => {
                let message = format!("the sandbox does not do {operation}");
                Ok(Failure::new(StatusCode::NOT_IMPLEMENTED, message).into())
            }
            Destination::NoEndpoint => {
                let missing = json!({ "message": "invalid API endpoint" });
                Ok(Reply::json(StatusCode::NOT_FOUND, &missing).anonymous())
            }
            Destination::Malformed => Ok(Reply::text(StatusCode::BAD_REQUEST, "400 Bad Request")
                .with_static(header::CONNECTION, "close")
                .anonymous()),
            Destination::Other(path) => Ok(match path.as_str() {
                "/_health" => {
                    let alive = self.look(|state| format!("alive! {}", state.installation));
                    Reply::text(StatusCode::OK, alive).anonymous()
                }
                "/logout" => self.logout(),
                "*" => Reply::empty(StatusCode::OK).anonymous(),
                _ => Reply::text(StatusCode::OK, PAGE)
                    .with_static(header::CONTENT_TYPE, "text/html; charset=utf-8")
                    .with_static(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                    .with_static(header::X_FRAME_OPTIONS, "SAMEORIGIN")
                    .anonymous(),
            }),
        }
    }

    /// An operation: validator, authentication, binder, handler, in lakeFS's order.
    async fn operate(&self, parts: &Parts, body: Incoming, route: Route, sent: &[String]) -> io::Result<Reply> {
        let spec = route.spec();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let mut body = Some(body);
        let prepared: Result<Call, Failure> = async {
            query.validate(route)?;
            let json = match (spec.body, body.take_if(|_| !matches!(spec.body, "" | "*"))) {
                (_, Some(body)) => match self.read(parts, body, MAX_JSON).await {
                    Ok(read) => bind_json(route, &parts.headers, &read?)?,
                    // The client broke off; whoever is left to read this learns it.
                    Err(_) => return Err(Failure::Invalid("request body has an error: reading failed".to_owned())),
                },
                (_, None) => Value::Null,
            };
            let open = matches!(
                route,
                Route::GetSetupState
                    | Route::Setup
                    | Route::SetupCommPrefs
                    | Route::Login
                    | Route::ExternalPrincipalLogin
                    | Route::StsLogin
                    | Route::OauthCallback
                    | Route::GetAuthCapabilities
                    | Route::HealthCheck
            );
            let user = if open { None } else { self.authenticate(&parts.headers)? };
            query.bind(route)?;
            let path = bind_path(route, sent)?;
            if user.is_none() && !open && route != Route::GetCurrentUser {
                return Err(Failure::unauthenticated());
            }
            Ok(Call {
                path,
                query,
                headers: parts.headers.clone(),
                json,
                bytes: Bytes::new(),
                user: user.map(|user| user.name).unwrap_or_default(),
            })
        }
        .await;
        let mut call = match prepared {
            Ok(call) => call,
            Err(failure) => return Ok(failure.into()),
        };
        if spec.body == "*" {
            // lakeFS looks for the branch before it reads the object.
            if let Err(failure) = self.may_upload(&call) {
                return Ok(failure.into());
            }
            if let Some(body) = body.take() {
                match self.read(parts, body, self.config.max_object).await? {
                    Ok(read) => call.bytes = read,
                    Err(failure) => return Ok(failure.into()),
                }
            }
        }
        let reply = self.handle(route, &call).await.unwrap_or_else(Reply::from);
        Ok(self.saved(&parts.method, reply).await)
    }

    /// The handlers.
    async fn handle(&self, route: Route, call: &Call) -> Result<Reply, Failure> {
        match route {
            Route::GetSetupState => Ok(self.setup_state()),
            Route::Setup => self.setup(call),
            Route::SetupCommPrefs | Route::OauthCallback => Ok(Reply::empty(StatusCode::OK)),
            Route::GetCurrentUser => Ok(self.current_user(&call.user)),
            Route::Login => self.login(call),
            Route::ExternalPrincipalLogin | Route::StsLogin => Err(Failure::not_implemented()),
            Route::GetAuthCapabilities => Ok(Reply::ok(&json!({ "invite_user": false }))),
            Route::ListUsers => Ok(self.list_users()),
            Route::CreateUser => Err(Failure::conflict("Already exists")),
            Route::GetUser => self.get_user(call.segment(0)),
            Route::GetConfig => Ok(Reply::ok(&json!({
                "capabilities_config": {}, "storage_config": storage_config(), "storage_config_list": [], "ui_config": {},
                "version_config": version(),
            }))),
            Route::GetLakeFsVersion => Ok(Reply::ok(&version())),
            Route::GetStorageConfig => Ok(Reply::ok(&storage_config())),
            Route::HealthCheck => Ok(Reply::no_content()),
            Route::ListRepositories => Ok(self.list_repositories(call)),
            Route::CreateRepository => self.create_repository(call),
            Route::GetRepository => self.get_repository(call),
            Route::DeleteRepository => self.delete_repository(call).await,
            Route::GetRepositoryMetadata => self.get_repository(call).map(|_| Reply::ok(&json!({}))),
            Route::GetBranchProtectionRules | Route::InternalGetBranchProtectionRules => self.get_rules(call),
            Route::SetBranchProtectionRules => self.set_rules(call),
            Route::InternalCreateBranchProtectionRule => self.change_rule(call, true),
            Route::InternalDeleteBranchProtectionRule => self.change_rule(call, false),
            Route::CreateBranchProtectionRulePreflight => Ok(Reply::no_content()),
            Route::ListBranches => self.list_branches(call),
            Route::CreateBranch => self.create_branch(call),
            Route::GetBranch => self.get_branch(call),
            Route::DeleteBranch => self.delete_branch(call),
            Route::ResetBranch => self.reset_branch(call).await,
            Route::HardResetBranch => self.hard_reset(call).await,
            Route::Commit => self.commit(call).await,
            Route::DiffBranch => self.diff_branch(call),
            Route::RevertBranch => self.revert(call).await,
            Route::CherryPick => self.cherry_pick(call).await,
            Route::UploadObject => self.upload_object(call).await,
            Route::DeleteObject => self.delete_object(call).await,
            Route::DeleteObjects => self.delete_objects(call).await,
            Route::CopyObject => self.copy_object(call).await,
            Route::UpdateObjectUserMetadata => self.update_user_metadata(call).await,
            Route::GetPhysicalAddress => self.get_physical_address(call),
            Route::LinkPhysicalAddress => self.link_physical_address(call).await,
            Route::CreatePresignMultipartUpload => self.create_upload(call),
            Route::CompletePresignMultipartUpload => self.complete_upload(call).await,
            Route::AbortPresignMultipartUpload => self.abort_upload(call).await,
            Route::UploadPart => self.upload_part(call),
            Route::UploadPartCopy => self.upload_part_copy(call).await,
            Route::GetCommit => self.get_commit(call),
            Route::LogCommits => self.log(call),
            Route::DiffRefs => self.diff_refs(call),
            Route::MergeIntoBranch => self.merge_into_branch(call).await,
            Route::FindMergeBase => self.find_merge_base(call),
            Route::GetObject => self.get_object(call).await,
            Route::HeadObject => self.head_object(call),
            Route::StatObject => self.stat_object(call),
            Route::ListObjects => self.list_objects(call),
            Route::ListTags => self.list_tags(call),
            Route::CreateTag => self.create_tag(call),
            Route::GetTag => self.get_tag(call),
            Route::DeleteTag => self.delete_tag(call),
        }
    }

    /// The answer, once what it changed is on disk.
    async fn saved(&self, method: &Method, reply: Reply) -> Reply {
        if matches!(*method, Method::GET | Method::HEAD) {
            return reply;
        }
        match self.save().await {
            Ok(()) => reply,
            Err(error) => Failure::internal(format!("the sandbox could not save its state: {error}")).into(),
        }
    }

    /// A whole body of at most `limit` bytes. The outer error is the client's connection failing.
    async fn read(&self, parts: &Parts, mut body: Incoming, limit: u64) -> io::Result<Result<Bytes, Failure>> {
        let declared = parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let too_large = || {
            let message = format!("the sandbox takes bodies of at most {limit} bytes here");
            Ok(Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)))
        };
        if declared.is_some_and(|declared| declared > limit) {
            return too_large();
        }
        let (mut whole, mut permits) = (BytesMut::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(io::Error::other)?.into_data() else {
                continue;
            };
            whole.extend_from_slice(&data);
            if whole.len() as u64 > limit {
                return too_large();
            }
            while permits.len() < whole.len() >> 20 {
                let Ok(permit) = self.arriving.try_acquire() else {
                    let message = "too many bodies are on their way to the sandbox at once";
                    return Ok(Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message)));
                };
                permits.push(permit);
            }
        }
        Ok(Ok(whole.freeze()))
    }
}

/// Whether lakeFS would take the request for one of its S3 gateway (pkg/gateway/sig/sig.go, and the Host).
fn is_s3(parts: &Parts) -> bool {
    let text = |name: &str| parts.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let host = String::from_utf8_lossy(text("host")).into_owned();
    let host = host.split(':').next().unwrap_or_default();
    let s3_host = host == "s3.local.lakefs.io"
        || host
            .strip_suffix(".s3.local.lakefs.io")
            .is_some_and(|name| !name.contains('.'));
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let signed = text("authorization").starts_with(b"AWS4") || text("authorization").starts_with(b"AWS ");
    let given = |name| query.get(name).is_some_and(|value| !value.is_empty());
    s3_host || signed || !text("x-amz-signature").is_empty() || given("AWSAccessKeyId") || given("X-Amz-Credential")
}

/// lakeFS's answer to an API call that it took for S3; to anything else of S3 the sandbox says that it cannot.
fn s3_reply(path: &str) -> Reply {
    let (status, code, message) = if path.starts_with("/api/v1") {
        let message = "Repository &#34;api&#34; not found; this can happen if your endpoint URL mistakenly ends in &#34;/api/v1&#34;.";
        (StatusCode::NOT_FOUND, "ErrNoSuchBucketPossibleAPIEndpoint", message)
    } else {
        (
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "The sandbox has no S3 gateway.",
        )
    };
    Reply::xml(status, code, message).with_static(header::CONTENT_TYPE, "text/xml; charset=utf-8")
}

fn respond(mut reply: Reply) -> Response<Chunks> {
    if reply.identified {
        let id = uuid::Uuid::new_v4().to_string();
        reply = reply.with(header::HeaderName::from_static("x-request-id"), &id);
    }
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

fn version() -> Value {
    json!({ "version": "dev", "version_context": "lakeFS" })
}

fn storage_config() -> Value {
    json!({
        "blockstore_description": "", "blockstore_id": "", "blockstore_namespace_ValidityRegex": "^s3://",
        "blockstore_namespace_example": "s3://example-bucket/", "blockstore_type": "s3", "default_namespace_prefix": "",
        "import_support": true, "import_validity_regex": "^s3://", "pre_sign_multipart_upload": true, "pre_sign_support": true,
        "pre_sign_support_ui": false,
    })
}
