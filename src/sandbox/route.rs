//! Which operation a request names: a matcher of its own, so that a mistake in the gateway's classifier shows up against it.
//!
//! It follows Go: `URL.RawPath` is kept where the sent path is not Go's canonical encoding, chi splits that (or the decoded path), and the
//! generated binders unescape each parameter once more (so `%256Dain` names `main`). What an operation does is in the handlers.

use http::Method;

use crate::lakefs::Operation;

use super::reply::Failure;

macro_rules! routes {
    ($($name:ident $method:ident $path:literal $query:literal $body:literal;)*) => {
        /// The operations of lakeFS that the sandbox does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Route { $($name),* }

        impl Route {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Method, path template, query parameters, body: see [`Spec`].
            pub(super) const fn spec(self) -> Spec {
                match self {
                    $(Self::$name => Spec { name: stringify!($name), method: stringify!($method), path: $path, query: $query, body: $body }),*
                }
            }
        }
    };
}

/// What is true of a route.
///
/// `query` lists parameters: `!` marks a required one, `:b` a boolean, `:i` an integer, `:l` one that may repeat. `body` is empty (lakeFS then ignores what is sent)
/// or names the schema and its properties: `!` required, `:s` string, `:i` integer, `:b` boolean with default false, `:a` array and `:o` object (with
/// what is in them in brackets), `:m` map of texts.
/// A `?` before it: the body may be left out. `[]` before it: an array of such objects. `*`: any bytes, read by the handler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    pub(super) query: &'static str,
    pub(super) body: &'static str,
}

routes! {
    GetSetupState GET "/setup_lakefs" "" "";
    Setup POST "/setup_lakefs" "" "Setup: username!:s key:o(access_key_id!:s secret_access_key!:s)";
    SetupCommPrefs POST "/setup_comm_prefs" "" "CommPrefsInput: email:s featureUpdates!:b securityUpdates!:b";
    GetCurrentUser GET "/user" "" "";
    Login POST "/auth/login" "" "?LoginInformation: access_key_id!:s secret_access_key!:s";
    ExternalPrincipalLogin POST "/auth/external/principal/login" "" "?ExternalLoginInformation: identityRequest!:o";
    StsLogin POST "/sts/login" "" "StsAuthRequest: code!:s state!:s redirect_uri!:s ttl_seconds:i";
    GetAuthCapabilities GET "/auth/capabilities" "" "";
    OauthCallback GET "/oidc/callback" "" "";
    ListUsers GET "/auth/users" "prefix after amount:i" "";
    CreateUser POST "/auth/users" "" "?UserCreation: id!:s invite_user:b";
    GetUser GET "/auth/users/{userId}" "" "";
    GetConfig GET "/config" "" "";
    GetLakeFsVersion GET "/config/version" "" "";
    GetStorageConfig GET "/config/storage" "" "";
    HealthCheck GET "/healthcheck" "" "";
    ListRepositories GET "/repositories" "prefix after amount:i search" "";
    CreateRepository POST "/repositories" "bare:b" "RepositoryCreation: name!:s storage_id:s storage_namespace!:s default_branch:s sample_data:b read_only:b";
    GetRepository GET "/repositories/{repository}" "" "";
    DeleteRepository DELETE "/repositories/{repository}" "force:b" "";
    GetRepositoryMetadata GET "/repositories/{repository}/metadata" "" "";
    GetBranchProtectionRules GET "/repositories/{repository}/settings/branch_protection" "" "";
    SetBranchProtectionRules PUT "/repositories/{repository}/settings/branch_protection" "" "[]: pattern!:s";
    InternalGetBranchProtectionRules GET "/repositories/{repository}/branch_protection" "" "";
    InternalCreateBranchProtectionRule POST "/repositories/{repository}/branch_protection" "" "BranchProtectionRule: pattern!:s";
    InternalDeleteBranchProtectionRule DELETE "/repositories/{repository}/branch_protection" "" ": pattern!:s";
    CreateBranchProtectionRulePreflight GET "/repositories/{repository}/branch_protection/set_allowed" "" "";
    ListBranches GET "/repositories/{repository}/branches" "prefix after amount:i show_hidden:b" "";
    CreateBranch POST "/repositories/{repository}/branches" "" "BranchCreation: name!:s source!:s force:b hidden:b";
    GetBranch GET "/repositories/{repository}/branches/{branch}" "" "";
    DeleteBranch DELETE "/repositories/{repository}/branches/{branch}" "force:b" "";
    ResetBranch PUT "/repositories/{repository}/branches/{branch}" "" "ResetCreation: type!:s path:s force:b";
    HardResetBranch PUT "/repositories/{repository}/branches/{branch}/hard_reset" "ref! force:b" "";
    Commit POST "/repositories/{repository}/branches/{branch}/commits" "source_metarange" "CommitCreation: message!:s metadata:m date:i allow_empty:b force:b";
    DiffBranch GET "/repositories/{repository}/branches/{branch}/diff" "after amount:i prefix delimiter" "";
    RevertBranch POST "/repositories/{repository}/branches/{branch}/revert" "" "RevertCreation: ref!:s parent_number!:i force:b allow_empty:b commit_overrides:o";
    CherryPick POST "/repositories/{repository}/branches/{branch}/cherry-pick" "" "CherryPickCreation: ref!:s parent_number:i force:b commit_overrides:o";
    UploadObject POST "/repositories/{repository}/branches/{branch}/objects" "path! storageClass force:b" "*";
    DeleteObject DELETE "/repositories/{repository}/branches/{branch}/objects" "path! force:b no_tombstone:b" "";
    DeleteObjects POST "/repositories/{repository}/branches/{branch}/objects/delete" "force:b no_tombstone:b" "PathList: paths!:a";
    CopyObject POST "/repositories/{repository}/branches/{branch}/objects/copy" "dest_path!" "ObjectCopyCreation: src_path!:s src_ref:s force:b shallow:b";
    UpdateObjectUserMetadata PUT "/repositories/{repository}/branches/{branch}/objects/stat/user_metadata" "path!" "UpdateObjectUserMetadata: set!:m";
    GetPhysicalAddress GET "/repositories/{repository}/branches/{branch}/staging/backing" "path! presign:b" "";
    LinkPhysicalAddress PUT "/repositories/{repository}/branches/{branch}/staging/backing" "path!" "StagingMetadata: staging!:o checksum!:s size_bytes!:i user_metadata:m content_type:s mtime:i force:b";
    CreatePresignMultipartUpload POST "/repositories/{repository}/branches/{branch}/staging/pmpu" "path! parts:i" "";
    CompletePresignMultipartUpload PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}" "path!" "?CompletePresignMultipartUpload: physical_address!:s parts!:a(part_number!:i etag!:s) user_metadata:m content_type:s";
    AbortPresignMultipartUpload DELETE "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}" "path!" "?AbortPresignMultipartUpload: physical_address!:s";
    UploadPart PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}/parts/{partNumber}" "path!" "UploadPartFrom: physical_address!:s";
    UploadPartCopy PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}/parts/{partNumber}/copy" "path!" "UploadPartCopyFrom: physical_address!:s copy_source!:o(repository!:s ref!:s path!:s range:s)";
    GetCommit GET "/repositories/{repository}/commits/{commitId}" "" "";
    LogCommits GET "/repositories/{repository}/refs/{ref}/commits" "after amount:i objects:l prefixes:l limit:b first_parent:b since stop_at" "";
    DiffRefs GET "/repositories/{repository}/refs/{leftRef}/diff/{rightRef}" "after amount:i prefix delimiter type include_right_stats:b" "";
    MergeIntoBranch POST "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}" "" "?Merge: message:s metadata:m strategy:s force:b allow_empty:b squash_merge:b";
    FindMergeBase GET "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}" "" "";
    GetObject GET "/repositories/{repository}/refs/{ref}/objects" "path! presign:b" "";
    HeadObject HEAD "/repositories/{repository}/refs/{ref}/objects" "path!" "";
    StatObject GET "/repositories/{repository}/refs/{ref}/objects/stat" "path! user_metadata:b presign:b" "";
    ListObjects GET "/repositories/{repository}/refs/{ref}/objects/ls" "user_metadata:b presign:b after amount:i delimiter prefix" "";
    ListTags GET "/repositories/{repository}/tags" "prefix after amount:i" "";
    CreateTag POST "/repositories/{repository}/tags" "" "TagCreation: id!:s ref!:s force:b";
    GetTag GET "/repositories/{repository}/tags/{tag}" "" "";
    DeleteTag DELETE "/repositories/{repository}/tags/{tag}" "force:b" "";
}

impl Route {
    /// lakeFS's operation id.
    pub(super) fn id(self) -> String {
        let name = self.spec().name;
        name.chars()
            .take(1)
            .map(|c| c.to_ascii_lowercase())
            .chain(name.chars().skip(1))
            .collect()
    }
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// An operation, and its path parameters as sent (still to be unescaped).
    Api(Route, Vec<String>),
    /// An operation of lakeFS that the sandbox does not do.
    Unable(&'static str),
    /// Below `/api/v1`, but no operation.
    NoEndpoint,
    /// Not the API: a health check, the user interface.
    Other(String),
    /// Go's own parser refuses the path.
    Malformed,
}

/// Routes the path of a request (without its query).
pub(super) fn route(method: &Method, sent: &str) -> Destination {
    let Some(decoded) = unescape(sent, Plus::Keep) else {
        return Destination::Malformed;
    };
    let routed = if canonical(&decoded) == sent.as_bytes() {
        String::from_utf8_lossy(&decoded).into_owned()
    } else {
        sent.to_owned()
    };
    let Some(below) = routed.strip_prefix("/api/v1") else {
        return Destination::Other(routed);
    };
    if !below.is_empty() && !below.starts_with('/') {
        return Destination::Other(routed);
    }
    Route::ALL
        .iter()
        .filter(|route| route.spec().method == method.as_str())
        .find_map(|route| Some(Destination::Api(*route, parameters(route.spec().path, below)?)))
        .or_else(|| {
            // The operations of the open server stand first in the table.
            let open = Operation::ALL
                .iter()
                .take_while(|operation| **operation != Operation::GetTokenRedirect);
            let mut others = open
                .map(|operation| operation.spec())
                .filter(|spec| spec.method == method.as_str());
            let other = others.find(|spec| parameters(spec.path, below).is_some());
            other.map(|spec| Destination::Unable(spec.id))
        })
        .unwrap_or(Destination::NoEndpoint)
}

/// The parameters of `path` if it follows `template`.
fn parameters(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(name), Some(value)) if name.starts_with('{') && !value.is_empty() => found.push(value.to_owned()),
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

/// The second decoding, by the generated binder: `+` is a space here.
pub(super) fn bind(route: Route, index: usize, sent: &str) -> Result<String, Failure> {
    let name = route
        .spec()
        .path
        .split(['{', '}'])
        .skip(1)
        .step_by(2)
        .nth(index)
        .unwrap_or_default();
    match unescape(sent, Plus::Space) {
        Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        None => Err(Failure::Unbound(format!(
            "Invalid format for parameter {name}: error unescaping query parameter '{name}': invalid URL escape \"{}\"",
            bad_escape(sent)
        ))),
    }
}

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    Keep,
    Space,
}

/// Go's `url.PathUnescape` and `url.QueryUnescape`; nothing where it would be an error.
pub(super) fn unescape(text: &str, plus: Plus) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high << 4 | low
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// The first escape that Go would complain of.
fn bad_escape(text: &str) -> String {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits: String = after.chars().take(2).collect();
        if digits.len() < 2 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return format!("%{digits}");
        }
        rest = after;
    }
    String::new()
}

/// Go's own encoding of a path (`net/url`, `encodePath`).
fn canonical(path: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(path.len());
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            encoded.push(byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}
