"""lakefs-sdk: a working day over the whole generated client, all its API classes."""

import lakefs_sdk


def run(place):
    client = lakefs_sdk.ApiClient(lakefs_sdk.Configuration(host=f"{place.url}/api/v1", username=place.key, password=place.secret))
    apis = {name: getattr(lakefs_sdk, f"{name}Api")(client) for name in (
        "Actions", "Auth", "Branches", "Commits", "Config", "Experimental", "HealthCheck", "Import", "Internal", "Metadata", "Objects", "Refs", "Repositories", "Staging", "Tags",
    )}  # fmt: skip
    repository = place.name

    def call(api, method, *arguments, **named):
        return place.attempt(f"{api}.{method}", getattr(apis[api], method), *arguments, **named)

    call("HealthCheck", "health_check")
    call("Config", "get_config")
    call("Internal", "get_setup_state")
    call("Auth", "get_current_user")
    call("Auth", "list_users")
    call("Auth", "login", lakefs_sdk.LoginInformation(access_key_id=place.key, secret_access_key=place.secret))
    call("Repositories", "create_repository", lakefs_sdk.RepositoryCreation(name=repository, storage_namespace=place.namespace))
    call("Repositories", "create_repository", lakefs_sdk.RepositoryCreation(name=repository, storage_namespace=place.namespace))
    call("Repositories", "get_repository", repository)
    call("Repositories", "get_repository", "none-such")
    call("Repositories", "list_repositories", prefix=repository)
    call("Repositories", "get_repository_metadata", repository)
    call("Repositories", "set_branch_protection_rules", repository, [lakefs_sdk.BranchProtectionRule(pattern="release-*")])
    call("Repositories", "get_branch_protection_rules", repository)
    call("Repositories", "get_gc_rules", repository)
    call("Repositories", "set_gc_rules", repository, lakefs_sdk.GarbageCollectionRules(default_retention_days=7, branches=[]))
    call("Branches", "create_branch", repository, lakefs_sdk.BranchCreation(name="work", source="main"))
    call("Branches", "list_branches", repository)
    for path in ("a.txt", "d/b c.txt", "d/ü+%2F&=?#.txt", "_meta/x"):
        (place.folder / "content").write_text(path)
        call("Objects", "upload_object", repository, "work", path, content=str(place.folder / "content"))
        call("Objects", "stat_object", repository, "work", path)
        call("Objects", "get_object", repository, "work", path)
        call("Objects", "head_object", repository, "work", path)
    call("Objects", "get_object", repository, "work", "a.txt", range="bytes=1-2")
    call("Objects", "get_object", repository, "work", "a.txt", range="bytes=100-")
    call("Objects", "get_object", repository, "work", "none")
    call("Objects", "list_objects", repository, "work")
    call("Objects", "list_objects", repository, "work", delimiter="/", prefix="d/")
    call("Objects", "stat_object", repository, "work", "a.txt", presign=True)
    call("Objects", "get_object", repository, "work", "a.txt", presign=True)
    call("Objects", "copy_object", repository, "work", "copy.txt", lakefs_sdk.ObjectCopyCreation(src_path="a.txt"))
    call("Objects", "update_object_user_metadata", repository, "work", "copy.txt", lakefs_sdk.UpdateObjectUserMetadata(set={"k": "v"}))
    call("Branches", "diff_branch", repository, "work")
    call("Commits", "commit", repository, "work", lakefs_sdk.CommitCreation(message="one", metadata={"k": "v"}))
    call("Commits", "commit", repository, "work", lakefs_sdk.CommitCreation(message="nothing"))
    call("Objects", "delete_object", repository, "work", "copy.txt")
    call("Objects", "delete_objects", repository, "work", lakefs_sdk.PathList(paths=["a.txt", "none"]))
    call("Branches", "reset_branch", repository, "work", lakefs_sdk.ResetCreation(type="reset"))
    call("Refs", "diff_refs", repository, "main", "work")
    call("Refs", "merge_into_branch", repository, "work", "main")
    call("Refs", "log_commits", repository, "main")
    call("Refs", "find_merge_base", repository, "work", "main")
    call("Branches", "revert_branch", repository, "main", lakefs_sdk.RevertCreation(ref="main", parent_number=1))
    call("Experimental", "hard_reset_branch", repository, "work", "main~1")
    call("Tags", "create_tag", repository, lakefs_sdk.TagCreation(id="v1", ref="main"))
    call("Tags", "list_tags", repository)
    call("Tags", "delete_tag", repository, "v1")
    call("Actions", "list_repository_runs", repository)
    made = call("Staging", "get_physical_address", repository, "work", "staged", presign=True)
    assert made.presigned_url
    made = call("Experimental", "create_presign_multipart_upload", repository, "work", "big", parts=1)
    call("Experimental", "abort_presign_multipart_upload", repository, "work", made.upload_id, "big", abort_presign_multipart_upload=lakefs_sdk.AbortPresignMultipartUpload(physical_address=made.physical_address))
    call("Import", "import_start", repository, "work", lakefs_sdk.ImportCreation(paths=[], commit=lakefs_sdk.CommitCreation(message="x")))
    call("Branches", "delete_branch", repository, "work")
    call("Repositories", "delete_repository", repository)
