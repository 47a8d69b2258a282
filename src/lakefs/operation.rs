//! Every operation lakegate knows, and what is true of each: the table that classification, guard, limits, logs and metrics share.
//!
//! Source: lakeFS `api/swagger.yml` at v1.84 (134 operations), and those of older and enterprise servers that clients still send.
//! Pure data; how a request is matched to a row is in `rest.rs` and `s3.rs`.

/// What kind of work an operation is: limits and rules may name it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Reads and listings.
    Read,
    /// Writes to staging: uploads, links, deletes of objects.
    Write,
    /// Commits and merges: work that can take minutes.
    Merge,
    /// Makes, moves or deletes branches and tags.
    Branch,
    /// Repositories, settings, garbage collection, set-up.
    Admin,
    /// Users, groups, credentials, login.
    Auth,
}

impl Class {
    /// Its name in rules, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Merge => "merge",
            Self::Branch => "branch",
            Self::Admin => "admin",
            Self::Auth => "auth",
        }
    }
}

/// Where an operation can carry `force`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForceIn {
    /// Nowhere.
    Nothing,
    /// In the query (7 operations).
    Query,
    /// In the JSON body (14 operations).
    Body,
}

/// What is true of one operation.
#[derive(Debug)]
pub struct Spec {
    /// lakeFS's own operation id; `s3:...` for the S3 gateway, `web:...` for what is neither.
    pub id: &'static str,
    /// Its method, empty where any will do.
    pub method: &'static str,
    /// Its path template below `/api/v1`; empty where it is not a REST operation.
    pub path: &'static str,
    /// What kind of work it is.
    pub class: Class,
    /// Where it can carry `force`.
    pub force: ForceIn,
    /// Whether it changes anything.
    pub mutates: bool,
    /// Whether a client or the gateway may send it twice without harm.
    pub repeatable: bool,
    /// Whether lakeFS serves it without credentials.
    pub anonymous: bool,
    /// Whether lakeFS calls it experimental.
    pub experimental: bool,
    /// Whether its body is read before it is forwarded: it can carry `force`, or an upload's step, or the names of objects.
    pub inspected: bool,
}

impl Spec {
    const fn new(id: &'static str, method: &'static str, path: &'static str, class: Class) -> Self {
        Self {
            id,
            method,
            path,
            class,
            force: ForceIn::Nothing,
            mutates: false,
            repeatable: false,
            anonymous: false,
            experimental: false,
            inspected: false,
        }
    }

    const fn mutating(mut self) -> Self {
        self.mutates = true;
        self
    }

    const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    const fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }

    const fn force_in_query(mut self) -> Self {
        self.force = ForceIn::Query;
        self
    }

    const fn inspected(mut self) -> Self {
        self.inspected = true;
        self
    }

    const fn force_in_body(mut self) -> Self {
        self.force = ForceIn::Body;
        self.inspected = true;
        self
    }
}

macro_rules! operations {
    ($($name:ident = $id:literal, $method:ident $path:literal, $class:ident $(.$flag:ident())*;)*) => {
        /// One operation of lakeFS, by its operation id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are lakeFS's own operation ids")]
        pub enum Operation { $($name),* }

        impl Operation {
            /// All of them, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What is true of it.
            pub const fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$name => const { &Spec::new($id, stringify!($method), $path, Class::$class)$(.$flag())* }),*
                }
            }
        }
    };
}

// The S3 and web rows have no template: `s3.rs` and `web.rs` decide them.
operations! {
    SetupCommPrefs = "setupCommPrefs", POST "/setup_comm_prefs", Admin .mutating().anonymous();
    GetSetupState = "getSetupState", GET "/setup_lakefs", Read .repeatable().anonymous();
    Setup = "setup", POST "/setup_lakefs", Admin .mutating().anonymous();
    GetCurrentUser = "getCurrentUser", GET "/user", Auth .repeatable();
    Login = "login", POST "/auth/login", Auth .repeatable().anonymous();
    ExternalPrincipalLogin = "externalPrincipalLogin", POST "/auth/external/principal/login", Auth .anonymous().experimental();
    StsLogin = "stsLogin", POST "/sts/login", Auth .anonymous().experimental();
    GetAuthCapabilities = "getAuthCapabilities", GET "/auth/capabilities", Auth .repeatable().anonymous();
    ListUsers = "listUsers", GET "/auth/users", Auth .repeatable();
    CreateUser = "createUser", POST "/auth/users", Auth .mutating();
    GetUser = "getUser", GET "/auth/users/{userId}", Auth .repeatable();
    DeleteUser = "deleteUser", DELETE "/auth/users/{userId}", Auth .mutating();
    ListGroups = "listGroups", GET "/auth/groups", Auth .repeatable();
    CreateGroup = "createGroup", POST "/auth/groups", Auth .mutating();
    GetGroup = "getGroup", GET "/auth/groups/{groupId}", Auth .repeatable();
    DeleteGroup = "deleteGroup", DELETE "/auth/groups/{groupId}", Auth .mutating();
    ListPolicies = "listPolicies", GET "/auth/policies", Auth .repeatable();
    CreatePolicy = "createPolicy", POST "/auth/policies", Auth .mutating();
    GetPolicy = "getPolicy", GET "/auth/policies/{policyId}", Auth .repeatable();
    UpdatePolicy = "updatePolicy", PUT "/auth/policies/{policyId}", Auth .mutating().repeatable();
    DeletePolicy = "deletePolicy", DELETE "/auth/policies/{policyId}", Auth .mutating();
    ListGroupMembers = "listGroupMembers", GET "/auth/groups/{groupId}/members", Auth .repeatable();
    AddGroupMembership = "addGroupMembership", PUT "/auth/groups/{groupId}/members/{userId}", Auth .mutating().repeatable();
    DeleteGroupMembership = "deleteGroupMembership", DELETE "/auth/groups/{groupId}/members/{userId}", Auth .mutating().repeatable();
    ListUserCredentials = "listUserCredentials", GET "/auth/users/{userId}/credentials", Auth .repeatable();
    CreateCredentials = "createCredentials", POST "/auth/users/{userId}/credentials", Auth .mutating();
    DeleteCredentials = "deleteCredentials", DELETE "/auth/users/{userId}/credentials/{accessKeyId}", Auth .mutating();
    GetCredentials = "getCredentials", GET "/auth/users/{userId}/credentials/{accessKeyId}", Auth .repeatable();
    ListUserGroups = "listUserGroups", GET "/auth/users/{userId}/groups", Auth .repeatable();
    ListUserPolicies = "listUserPolicies", GET "/auth/users/{userId}/policies", Auth .repeatable();
    AttachPolicyToUser = "attachPolicyToUser", PUT "/auth/users/{userId}/policies/{policyId}", Auth .mutating();
    DetachPolicyFromUser = "detachPolicyFromUser", DELETE "/auth/users/{userId}/policies/{policyId}", Auth .mutating();
    CreateUserExternalPrincipal = "createUserExternalPrincipal", POST "/auth/users/{userId}/external/principals", Auth .mutating().experimental();
    DeleteUserExternalPrincipal = "deleteUserExternalPrincipal", DELETE "/auth/users/{userId}/external/principals", Auth .mutating().experimental();
    ListUserExternalPrincipals = "listUserExternalPrincipals", GET "/auth/users/{userId}/external/principals/ls", Auth .repeatable().experimental();
    GetExternalPrincipal = "getExternalPrincipal", GET "/auth/external/principals", Auth .repeatable().experimental();
    ListGroupPolicies = "listGroupPolicies", GET "/auth/groups/{groupId}/policies", Auth .repeatable();
    AttachPolicyToGroup = "attachPolicyToGroup", PUT "/auth/groups/{groupId}/policies/{policyId}", Auth .mutating();
    DetachPolicyFromGroup = "detachPolicyFromGroup", DELETE "/auth/groups/{groupId}/policies/{policyId}", Auth .mutating();
    SetGroupAcl = "setGroupACL", POST "/auth/groups/{groupId}/acl", Auth .mutating();
    GetGroupAcl = "getGroupACL", GET "/auth/groups/{groupId}/acl", Auth .repeatable();
    ListRepositories = "listRepositories", GET "/repositories", Read .repeatable();
    CreateRepository = "createRepository", POST "/repositories", Admin .mutating();
    GetRepository = "getRepository", GET "/repositories/{repository}", Read .repeatable();
    DeleteRepository = "deleteRepository", DELETE "/repositories/{repository}", Admin .force_in_query().mutating();
    GetRepositoryMetadata = "getRepositoryMetadata", GET "/repositories/{repository}/metadata", Read .repeatable();
    SetRepositoryMetadata = "setRepositoryMetadata", POST "/repositories/{repository}/metadata", Admin .mutating().repeatable();
    DeleteRepositoryMetadata = "deleteRepositoryMetadata", DELETE "/repositories/{repository}/metadata", Admin .mutating();
    GetGcRules = "getGCRules", GET "/repositories/{repository}/settings/gc_rules", Read .repeatable();
    SetGcRules = "setGCRules", PUT "/repositories/{repository}/settings/gc_rules", Admin .mutating().repeatable();
    DeleteGcRules = "deleteGCRules", DELETE "/repositories/{repository}/settings/gc_rules", Admin .mutating().repeatable();
    GetBranchProtectionRules = "getBranchProtectionRules", GET "/repositories/{repository}/settings/branch_protection", Read .repeatable();
    SetBranchProtectionRules = "setBranchProtectionRules", PUT "/repositories/{repository}/settings/branch_protection", Admin .mutating().repeatable();
    DumpRefs = "dumpRefs", PUT "/repositories/{repository}/refs/dump", Admin .mutating();
    RestoreRefs = "restoreRefs", PUT "/repositories/{repository}/refs/restore", Admin .force_in_body().mutating();
    DumpSubmit = "dumpSubmit", POST "/repositories/{repository}/dump", Admin .mutating();
    DumpStatus = "dumpStatus", GET "/repositories/{repository}/dump", Read .repeatable();
    RestoreSubmit = "restoreSubmit", POST "/repositories/{repository}/restore", Admin .force_in_body().mutating();
    RestoreStatus = "restoreStatus", GET "/repositories/{repository}/restore", Read .repeatable();
    ListTags = "listTags", GET "/repositories/{repository}/tags", Read .repeatable();
    CreateTag = "createTag", POST "/repositories/{repository}/tags", Branch .force_in_body().mutating();
    GetTag = "getTag", GET "/repositories/{repository}/tags/{tag}", Read .repeatable();
    DeleteTag = "deleteTag", DELETE "/repositories/{repository}/tags/{tag}", Branch .force_in_query().mutating();
    ListBranches = "listBranches", GET "/repositories/{repository}/branches", Read .repeatable();
    CreateBranch = "createBranch", POST "/repositories/{repository}/branches", Branch .force_in_body().mutating();
    LogCommits = "logCommits", GET "/repositories/{repository}/refs/{ref}/commits", Read .repeatable();
    Commit = "commit", POST "/repositories/{repository}/branches/{branch}/commits", Merge .force_in_body().mutating();
    CreateCommitRecord = "CreateCommitRecord", POST "/repositories/{repository}/commits", Admin .force_in_body().mutating();
    GetBranch = "getBranch", GET "/repositories/{repository}/branches/{branch}", Read .repeatable();
    DeleteBranch = "deleteBranch", DELETE "/repositories/{repository}/branches/{branch}", Branch .force_in_query().mutating();
    ResetBranch = "resetBranch", PUT "/repositories/{repository}/branches/{branch}", Branch .force_in_body().mutating();
    HardResetBranch = "hardResetBranch", PUT "/repositories/{repository}/branches/{branch}/hard_reset", Branch .force_in_query().mutating().experimental();
    RevertBranch = "revertBranch", POST "/repositories/{repository}/branches/{branch}/revert", Merge .force_in_body().mutating();
    CherryPick = "cherryPick", POST "/repositories/{repository}/branches/{branch}/cherry-pick", Merge .force_in_body().mutating();
    MergeIntoBranch = "mergeIntoBranch", POST "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}", Merge .force_in_body().mutating();
    FindMergeBase = "findMergeBase", GET "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}", Read .repeatable();
    DiffBranch = "diffBranch", GET "/repositories/{repository}/branches/{branch}/diff", Read .repeatable();
    DiffRefs = "diffRefs", GET "/repositories/{repository}/refs/{leftRef}/diff/{rightRef}", Read .repeatable();
    GetCommit = "getCommit", GET "/repositories/{repository}/commits/{commitId}", Read .repeatable();
    GetObject = "getObject", GET "/repositories/{repository}/refs/{ref}/objects", Read .repeatable();
    HeadObject = "headObject", HEAD "/repositories/{repository}/refs/{ref}/objects", Read .repeatable();
    CreatePresignMultipartUpload = "createPresignMultipartUpload", POST "/repositories/{repository}/branches/{branch}/staging/pmpu", Write .mutating().experimental();
    CompletePresignMultipartUpload = "completePresignMultipartUpload", PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}", Write .mutating().experimental().inspected();
    AbortPresignMultipartUpload = "abortPresignMultipartUpload", DELETE "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}", Write .mutating().experimental().inspected();
    UploadPart = "uploadPart", PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}/parts/{partNumber}", Write .mutating().repeatable().experimental().inspected();
    UploadPartCopy = "uploadPartCopy", PUT "/repositories/{repository}/branches/{branch}/staging/pmpu/{uploadId}/parts/{partNumber}/copy", Write .mutating().repeatable().experimental().inspected();
    GetPhysicalAddress = "getPhysicalAddress", GET "/repositories/{repository}/branches/{branch}/staging/backing", Read .repeatable();
    LinkPhysicalAddress = "linkPhysicalAddress", PUT "/repositories/{repository}/branches/{branch}/staging/backing", Write .force_in_body().mutating().repeatable();
    ImportStatus = "importStatus", GET "/repositories/{repository}/branches/{branch}/import", Read .repeatable();
    ImportStart = "importStart", POST "/repositories/{repository}/branches/{branch}/import", Branch .force_in_body().mutating();
    ImportCancel = "importCancel", DELETE "/repositories/{repository}/branches/{branch}/import", Branch .mutating();
    UploadObjectPreflight = "uploadObjectPreflight", GET "/repositories/{repository}/branches/{branch}/objects/stage_allowed", Read .repeatable();
    StageObject = "stageObject", PUT "/repositories/{repository}/branches/{branch}/objects", Write .force_in_body().mutating().repeatable();
    UploadObject = "uploadObject", POST "/repositories/{repository}/branches/{branch}/objects", Write .force_in_query().mutating().repeatable();
    DeleteObject = "deleteObject", DELETE "/repositories/{repository}/branches/{branch}/objects", Write .force_in_query().mutating().repeatable();
    DeleteObjects = "deleteObjects", POST "/repositories/{repository}/branches/{branch}/objects/delete", Write .force_in_query().mutating().repeatable().inspected();
    CopyObject = "copyObject", POST "/repositories/{repository}/branches/{branch}/objects/copy", Write .force_in_body().mutating().repeatable();
    StatObject = "statObject", GET "/repositories/{repository}/refs/{ref}/objects/stat", Read .repeatable();
    UpdateObjectUserMetadata = "updateObjectUserMetadata", PUT "/repositories/{repository}/branches/{branch}/objects/stat/user_metadata", Write .mutating().repeatable().experimental();
    GetUnderlyingProperties = "getUnderlyingProperties", GET "/repositories/{repository}/refs/{ref}/objects/underlyingProperties", Read .repeatable();
    ListObjects = "listObjects", GET "/repositories/{repository}/refs/{ref}/objects/ls", Read .repeatable();
    CreateSymlinkFile = "createSymlinkFile", POST "/repositories/{repository}/refs/{branch}/symlink", Write .mutating();
    ListRepositoryRuns = "listRepositoryRuns", GET "/repositories/{repository}/actions/runs", Read .repeatable();
    GetRun = "getRun", GET "/repositories/{repository}/actions/runs/{run_id}", Read .repeatable();
    ListRunHooks = "listRunHooks", GET "/repositories/{repository}/actions/runs/{run_id}/hooks", Read .repeatable();
    GetRunHookOutput = "getRunHookOutput", GET "/repositories/{repository}/actions/runs/{run_id}/hooks/{hook_run_id}/output", Read .repeatable();
    GetMetadataObject = "getMetadataObject", GET "/repositories/{repository}/metadata/object/{type}/{object_id}", Read .repeatable();
    GetMetaRange = "getMetaRange", GET "/repositories/{repository}/metadata/meta_range/{meta_range}", Read .repeatable();
    GetRange = "getRange", GET "/repositories/{repository}/metadata/range/{range}", Read .repeatable();
    SetGarbageCollectionRulesPreflight = "setGarbageCollectionRulesPreflight", GET "/repositories/{repository}/gc/rules/set_allowed", Read .repeatable();
    InternalGetGarbageCollectionRules = "internalGetGarbageCollectionRules", GET "/repositories/{repository}/gc/rules", Read .repeatable();
    InternalSetGarbageCollectionRules = "internalSetGarbageCollectionRules", POST "/repositories/{repository}/gc/rules", Admin .mutating().repeatable();
    InternalDeleteGarbageCollectionRules = "internalDeleteGarbageCollectionRules", DELETE "/repositories/{repository}/gc/rules", Admin .mutating();
    PrepareGarbageCollectionCommits = "prepareGarbageCollectionCommits", POST "/repositories/{repository}/gc/prepare_commits", Admin .mutating();
    PrepareGarbageCollectionCommitsAsync = "prepareGarbageCollectionCommitsAsync", POST "/repositories/{repository}/gc/prepare_commits/async", Admin .mutating();
    PrepareGarbageCollectionCommitsStatus = "prepareGarbageCollectionCommitsStatus", GET "/repositories/{repository}/gc/prepare_commits/status", Read .repeatable();
    PrepareGarbageCollectionUncommitted = "prepareGarbageCollectionUncommitted", POST "/repositories/{repository}/gc/prepare_uncommited", Admin .mutating();
    CreateBranchProtectionRulePreflight = "createBranchProtectionRulePreflight", GET "/repositories/{repository}/branch_protection/set_allowed", Read .repeatable();
    InternalGetBranchProtectionRules = "internalGetBranchProtectionRules", GET "/repositories/{repository}/branch_protection", Read .repeatable();
    InternalCreateBranchProtectionRule = "internalCreateBranchProtectionRule", POST "/repositories/{repository}/branch_protection", Admin .mutating().repeatable();
    InternalDeleteBranchProtectionRule = "internalDeleteBranchProtectionRule", DELETE "/repositories/{repository}/branch_protection", Admin .mutating();
    ListPullRequests = "listPullRequests", GET "/repositories/{repository}/pulls", Read .repeatable().experimental();
    CreatePullRequest = "createPullRequest", POST "/repositories/{repository}/pulls", Write .mutating().experimental();
    GetPullRequest = "getPullRequest", GET "/repositories/{repository}/pulls/{pull_request}", Read .repeatable().experimental();
    UpdatePullRequest = "updatePullRequest", PATCH "/repositories/{repository}/pulls/{pull_request}", Write .mutating().experimental();
    MergePullRequest = "mergePullRequest", PUT "/repositories/{repository}/pulls/{pull_request}/merge", Merge .mutating().experimental();
    HealthCheck = "healthCheck", GET "/healthcheck", Read .repeatable().anonymous();
    GetConfig = "getConfig", GET "/config", Read .repeatable();
    GetLakeFsVersion = "getLakeFSVersion", GET "/config/version", Read .repeatable();
    GetStorageConfig = "getStorageConfig", GET "/config/storage", Read .repeatable();
    GetGarbageCollectionConfig = "getGarbageCollectionConfig", GET "/config/garbage-collection", Read .repeatable();
    PostStatsEvents = "postStatsEvents", POST "/statistics", Admin .repeatable();
    GetUsageReportSummary = "getUsageReportSummary", GET "/usage-report/summary", Read .repeatable();
    OauthCallback = "oauthCallback", GET "/oidc/callback", Auth .repeatable().anonymous();
    // In the open specification until 2026-04-20, still served by lakeFS Enterprise.
    GetTokenRedirect = "getTokenRedirect", GET "/auth/get-token/start", Auth .anonymous();
    GetTokenFromMailbox = "getTokenFromMailbox", GET "/auth/get-token/mailboxes/{mailbox}", Auth .anonymous();
    ReleaseTokenToMailbox = "releaseTokenToMailbox", GET "/auth/get-token/release-token/{loginRequestToken}", Auth .mutating();
    CommitAsync = "commitAsync", POST "/repositories/{repository}/branches/{branch}/commits/async", Merge .force_in_body().mutating().experimental();
    CommitAsyncStatus = "commitAsyncStatus", GET "/repositories/{repository}/branches/{branch}/commits/async/{id}/status", Read .repeatable().experimental();
    MergeIntoBranchAsync = "mergeIntoBranchAsync", POST "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}/async", Merge .force_in_body().mutating().experimental();
    MergeIntoBranchAsyncStatus = "mergeIntoBranchAsyncStatus", GET "/repositories/{repository}/refs/{sourceRef}/merge/{destinationBranch}/async/{id}/status", Read .repeatable().experimental();
    GetLicense = "getLicense", GET "/license", Read .repeatable();
    PushIcebergTable = "pushIcebergTable", POST "/iceberg/remotes/{catalog}/push", Write .mutating().experimental();
    PullIcebergTable = "pullIcebergTable", POST "/iceberg/remotes/{catalog}/pull", Write .mutating().experimental();
    // lakeFS Enterprise (lakefs-enterprise-sdk 1.108).
    PresignMultipartCreateRequest = "presignMultipartCreateRequest", POST "/repositories/{repository}/branches/{branch}/staging/cpmpu/create_request", Write .mutating().experimental();
    PresignMultipartPrepareRequest = "presignMultipartPrepareRequest", POST "/repositories/{repository}/branches/{branch}/staging/cpmpu/{uploadId}/prepare_request", Write .mutating().repeatable().experimental().inspected();
    PresignMultipartCopyPartRequest = "presignMultipartCopyPartRequest", POST "/repositories/{repository}/branches/{branch}/staging/cpmpu/{uploadId}/parts/{partNumber}/copy_request", Write .mutating().repeatable().experimental().inspected();
    PresignMultipartCompleteRequest = "presignMultipartCompleteRequest", POST "/repositories/{repository}/branches/{branch}/staging/cpmpu/{uploadId}/complete_request", Write .mutating().repeatable().experimental().inspected();
    PresignMultipartAbortRequest = "presignMultipartAbortRequest", POST "/repositories/{repository}/branches/{branch}/staging/cpmpu/{uploadId}/abort_request", Write .mutating().repeatable().experimental().inspected();
    CompactBranch = "compactBranch", POST "/repositories/{repository}/branches/{branch}/compact", Admin .mutating().repeatable().experimental();
    GetBranchCompaction = "getBranchCompaction", GET "/repositories/{repository}/branches/{branch}/compact", Read .repeatable().experimental();
    GetObjectsArchive = "getObjectsArchive", GET "/repositories/{repository}/refs/{ref}/objects/archive", Read .repeatable();
    GetBranchLifecyclePolicies = "getBranchLifecyclePolicies", GET "/repositories/{repository}/settings/branch_lifecycle/policies", Read .repeatable();
    SetBranchLifecyclePolicies = "setBranchLifecyclePolicies", PUT "/repositories/{repository}/settings/branch_lifecycle/policies", Admin .mutating().repeatable();
    DeleteBranchLifecyclePolicies = "deleteBranchLifecyclePolicies", DELETE "/repositories/{repository}/settings/branch_lifecycle/policies", Admin .mutating();
    SetBranchLifecyclePoliciesPreflight = "setBranchLifecyclePoliciesPreflight", GET "/repositories/{repository}/settings/branch_lifecycle/set_allowed", Read .repeatable();
    GetObjectLifecycleRules = "getObjectLifecycleRules", GET "/repositories/{repository}/settings/object_lifecycle", Read .repeatable();
    SetObjectLifecycleRules = "setObjectLifecycleRules", PUT "/repositories/{repository}/settings/object_lifecycle", Admin .mutating().repeatable();
    DeleteObjectLifecycleRules = "deleteObjectLifecycleRules", DELETE "/repositories/{repository}/settings/object_lifecycle", Admin .mutating();
    GetPullRequestSettings = "getPullRequestSettings", GET "/repositories/{repository}/settings/pull_request", Read .repeatable();
    SetPullRequestSettings = "setPullRequestSettings", PUT "/repositories/{repository}/settings/pull_request", Admin .mutating().repeatable();
    ListPullRequestComments = "listPullRequestComments", GET "/repositories/{repository}/pulls/{pull_request}/comments", Read .repeatable();
    CreatePullRequestComment = "createPullRequestComment", POST "/repositories/{repository}/pulls/{pull_request}/comments", Write .mutating();
    GetPullRequestComment = "getPullRequestComment", GET "/repositories/{repository}/pulls/{pull_request}/comments/{comment}", Read .repeatable();
    UpdatePullRequestComment = "updatePullRequestComment", PATCH "/repositories/{repository}/pulls/{pull_request}/comments/{comment}", Write .mutating();
    DeletePullRequestComment = "deletePullRequestComment", DELETE "/repositories/{repository}/pulls/{pull_request}/comments/{comment}", Write .mutating();
    PullRequestCommentWriteAllowed = "pullRequestCommentWriteAllowed", GET "/repositories/{repository}/pulls/{pull_request}/write_allowed", Read .repeatable();
    RunMdsQuery = "runMDSQuery", POST "/mds/query", Read .repeatable().experimental();
    JwtLogin = "jwtLogin", POST "/auth/jwt/login", Auth .repeatable().anonymous().experimental();
    ListTenants = "listTenants", GET "/auth/tenants", Auth .repeatable();
    CreateTenant = "createTenant", POST "/auth/tenants", Auth .mutating();
    GetTenant = "getTenant", GET "/auth/tenants/{tenantName}", Auth .repeatable();
    UpdateTenant = "updateTenant", PATCH "/auth/tenants/{tenantName}", Auth .mutating();
    DeleteTenant = "deleteTenant", DELETE "/auth/tenants/{tenantName}", Auth .mutating();
    ListTenantGroups = "listTenantGroups", GET "/auth/tenants/{tenantName}/groups", Auth .repeatable();
    AttachTenantGroup = "attachTenantGroup", PUT "/auth/tenants/{tenantName}/groups/{groupId}", Auth .mutating();
    DetachTenantGroup = "detachTenantGroup", DELETE "/auth/tenants/{tenantName}/groups/{groupId}", Auth .mutating();
    ListTenantUsers = "listTenantUsers", GET "/auth/tenants/{tenantName}/users", Auth .repeatable();
    AttachTenantUser = "attachTenantUser", PUT "/auth/tenants/{tenantName}/users/{userId}", Auth .mutating();
    DetachTenantUser = "detachTenantUser", DELETE "/auth/tenants/{tenantName}/users/{userId}", Auth .mutating();
    ListUserTenants = "listUserTenants", GET "/user/tenants", Auth .repeatable();
    ListDatasets = "listDatasets", GET "/datasets", Read .repeatable().experimental();
    CreateDataset = "createDataset", POST "/datasets", Admin .mutating().experimental();
    GetDataset = "getDataset", GET "/datasets/{dataset}", Read .repeatable().experimental();
    UpdateDataset = "updateDataset", PUT "/datasets/{dataset}", Admin .mutating().experimental();
    DeleteDataset = "deleteDataset", DELETE "/datasets/{dataset}", Admin .mutating().experimental();
    ListDatasetMetadataKeys = "listDatasetMetadataKeys", GET "/datasets/metadata", Read .repeatable().experimental();
    CreateDatasetMetadataKey = "createDatasetMetadataKey", POST "/datasets/metadata", Admin .mutating().experimental();
    GetDatasetMetadataKey = "getDatasetMetadataKey", GET "/datasets/metadata/{key}", Read .repeatable().experimental();
    UpdateDatasetMetadataKey = "updateDatasetMetadataKey", PUT "/datasets/metadata/{key}", Admin .mutating().experimental();
    DeleteDatasetMetadataKey = "deleteDatasetMetadataKey", DELETE "/datasets/metadata/{key}", Admin .mutating().experimental();
    GetDatasetByRef = "getDatasetByRef", GET "/datasets/{dataset}/refs/{ref}", Read .repeatable().experimental();
    DiffDataset = "diffDataset", GET "/datasets/{dataset}/refs/{leftRef}/diff/{rightRef}", Read .repeatable().experimental();
    ListDatasetVersions = "listDatasetVersions", GET "/datasets/{dataset}/versions", Read .repeatable().experimental();
    GetDatasetVersion = "getDatasetVersion", GET "/datasets/{dataset}/versions/{version}", Read .repeatable().experimental();
    ListAllDatasetPullRequests = "listAllDatasetPullRequests", GET "/datasets/pulls", Read .repeatable().experimental();
    ListDatasetPullRequests = "listDatasetPullRequests", GET "/datasets/{dataset}/pulls", Read .repeatable().experimental();
    OpenDatasetPullRequest = "openDatasetPullRequest", POST "/datasets/{dataset}/pulls", Write .mutating().experimental();
    GetDatasetPullRequest = "getDatasetPullRequest", GET "/datasets/{dataset}/pulls/{pullRequest}", Read .repeatable().experimental();
    UpdateDatasetPullRequest = "updateDatasetPullRequest", PATCH "/datasets/{dataset}/pulls/{pullRequest}", Write .mutating().experimental();
    CloseDatasetPullRequest = "closeDatasetPullRequest", DELETE "/datasets/{dataset}/pulls/{pullRequest}", Write .mutating().experimental();
    DiffDatasetPullRequest = "diffDatasetPullRequest", GET "/datasets/{dataset}/pulls/{pullRequest}/diff", Read .repeatable().experimental();
    MergeDatasetPullRequest = "mergeDatasetPullRequest", POST "/datasets/{dataset}/pulls/{pullRequest}/merge", Merge .mutating().experimental();
    // In the open specification of older servers (0.40 and later), gone since.
    LogBranchCommits = "logBranchCommits", GET "/repositories/{repository}/branches/{branch}/commits", Read .repeatable();
    CreateMetaRange = "createMetaRange", POST "/repositories/{repository}/branches/metaranges", Admin .mutating();
    IngestRange = "ingestRange", POST "/repositories/{repository}/branches/ranges", Admin .mutating();
    UpdateBranchToken = "updateBranchToken", PUT "/repositories/{repository}/branches/{branch}/update_token", Branch .mutating();
    GetOtfDiffs = "getOtfDiffs", GET "/otf/diffs", Read .repeatable();
    OtfDiff = "otfDiff", GET "/repositories/{repository}/otf/refs/{left_ref}/diff/{right_ref}", Read .repeatable();
    ExpandTemplate = "expandTemplate", GET "/templates/{template_location}", Read .repeatable();
    ApiLogout = "logout", POST "/auth/logout", Auth .repeatable();
    UpdatePassword = "updatePassword", POST "/auth/password", Auth .mutating();
    ForgotPassword = "forgotPassword", POST "/auth/password/forgot", Auth .anonymous();
    // The S3 gateway.
    S3ListBuckets = "s3:ListBuckets", GET "", Read .repeatable();
    S3HeadBucket = "s3:HeadBucket", HEAD "", Read .repeatable();
    S3GetBucketInfo = "s3:GetBucketInfo", GET "", Read .repeatable();
    S3ListObjects = "s3:ListObjects", GET "", Read .repeatable();
    S3ListMultipartUploads = "s3:ListMultipartUploads", GET "", Read .repeatable();
    S3ListParts = "s3:ListParts", GET "", Read .repeatable();
    S3GetObject = "s3:GetObject", GET "", Read .repeatable();
    S3HeadObject = "s3:HeadObject", HEAD "", Read .repeatable();
    S3PutObject = "s3:PutObject", PUT "", Write .mutating().repeatable();
    S3PostObject = "s3:PostObject", POST "", Write .mutating();
    S3CopyObject = "s3:CopyObject", PUT "", Write .mutating().repeatable();
    S3DeleteObject = "s3:DeleteObject", DELETE "", Write .mutating().repeatable();
    S3DeleteObjects = "s3:DeleteObjects", POST "", Write .mutating().repeatable().inspected();
    S3CreateMultipartUpload = "s3:CreateMultipartUpload", POST "", Write .mutating();
    S3UploadPart = "s3:UploadPart", PUT "", Write .mutating().repeatable();
    S3UploadPartCopy = "s3:UploadPartCopy", PUT "", Write .mutating().repeatable();
    S3CompleteMultipartUpload = "s3:CompleteMultipartUpload", POST "", Write .mutating();
    S3AbortMultipartUpload = "s3:AbortMultipartUpload", DELETE "", Write .mutating();
    // lakeFS never makes or changes a repository for it: it says whether there is one.
    S3CreateBucket = "s3:CreateBucket", PUT "", Admin .repeatable();
    S3Unknown = "s3:Unknown", ANY "", Write .mutating();
    // Neither.
    Ui = "web:ui", ANY "", Read .repeatable().anonymous();
    Logout = "web:logout", ANY "", Auth .anonymous();
    Health = "web:health", ANY "", Read .repeatable().anonymous();
    Metrics = "web:metrics", ANY "", Admin .repeatable().anonymous();
    Pprof = "web:pprof", ANY "", Admin .repeatable().anonymous();
    OpenApi = "web:openapi", ANY "", Read .repeatable().anonymous();
    Iceberg = "web:iceberg", ANY "", Write .mutating();
    UnknownApi = "rest:unknown", ANY "", Write .mutating();
}

/// Shown as its operation id.
impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spec().id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_has_every_operation_of_lakefs() {
        let table: HashSet<_> = Operation::ALL
            .iter()
            .map(|operation| (operation.spec().id, operation.spec().method, operation.spec().path))
            .collect();
        let facts = include_str!("../../tests/data/operations.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for fact in facts {
            let mut fields = fact.split('\t');
            let row = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
            assert!(table.contains(&row), "the table lacks {row:?}");
            count += 1;
        }
        assert_eq!(count, 134);
    }

    #[test]
    fn ids_and_places_are_unique() {
        let ids: HashSet<_> = Operation::ALL.iter().map(|operation| operation.spec().id).collect();
        assert_eq!(ids.len(), Operation::ALL.len());
        let rest = || {
            Operation::ALL
                .iter()
                .map(|operation| operation.spec())
                .filter(|spec| !spec.path.is_empty())
        };
        let places: HashSet<_> = rest().map(|spec| (spec.method, spec.path)).collect();
        assert_eq!(places.len(), rest().count());
    }

    #[test]
    fn force_stands_where_lakefs_has_it() {
        let count = |force| {
            let of =
                |operation: &&Operation| operation.spec().force == force && !operation.spec().id.ends_with("Async");
            Operation::ALL.iter().filter(of).count()
        };
        assert_eq!((count(ForceIn::Query), count(ForceIn::Body)), (7, 14));
        for operation in Operation::ALL
            .iter()
            .filter(|operation| operation.spec().force != ForceIn::Nothing)
        {
            assert!(operation.spec().mutates, "{operation}");
            assert!(
                operation.spec().inspected || operation.spec().force != ForceIn::Body,
                "{operation}"
            );
        }
    }

    #[test]
    fn what_reads_may_be_repeated_and_what_moves_history_may_not() {
        for operation in Operation::ALL {
            let spec = operation.spec();
            if spec.class == Class::Read {
                assert!(spec.repeatable && !spec.mutates, "{operation}");
            }
            if matches!(spec.class, Class::Merge | Class::Branch) {
                assert!(spec.mutates && !spec.repeatable, "{operation}");
            }
        }
    }
}
