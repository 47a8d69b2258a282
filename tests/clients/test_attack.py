"""Each way around a rule against hard resets, as an attacker would go it with the SDK and boto3: one row an attempt. docs/security.md has the
same table. What nothing would stop but the gateway is tried through it, and the branch is read back from lakeFS itself.

`tests/live/attack/run` fires the same in every spelling.
"""

import boto3
import botocore.config
import botocore.exceptions
import lakefs_sdk as sdk
import pytest
from lakefs_sdk.exceptions import ApiException
from support import clients, raw

pytestmark = pytest.mark.gateway
HOOK = "_lakefs_actions/steal.yaml"
OLD = "0" * 64


def call(client, name, *arguments, **named):
    """The SDK's method of this name: which of its APIs has it differs by version."""
    for kind in (getattr(sdk, known) for known in dir(sdk) if known.endswith("Api")):
        if hasattr(kind, name):
            return getattr(kind(client.api), name)(*arguments, **named)
    raise AssertionError(f"lakefs-sdk {clients.VERSION} has no {name}")


def _import(destination):
    location = sdk.ImportLocation(type="common_prefix", path="s3://elsewhere/", destination=destination)
    return sdk.ImportCreation(paths=[location], commit=sdk.CommitCreation(message="m"))


# What the rule protects is `main` of repository `r`; `work` is anybody's.
BY_SDK = {
    "hard reset": lambda c, r: call(c, "hard_reset_branch", r, "main", OLD),
    "forced hard reset": lambda c, r: call(c, "hard_reset_branch", r, "main", OLD, force=True),
    "delete the branch": lambda c, r: call(c, "delete_branch", r, "main"),
    "delete the branch by force": lambda c, r: call(c, "delete_branch", r, "main", force=True),
    "reset all that is not committed": lambda c, r: call(c, "reset_branch", r, "main", sdk.ResetCreation(type="reset")),
    "reset one object": lambda c, r: call(c, "reset_branch", r, "main", sdk.ResetCreation(type="object", path="a")),
    "reset a prefix": lambda c, r: call(c, "reset_branch", r, "main", sdk.ResetCreation(type="common_prefix", path="")),
    "revert": lambda c, r: call(c, "revert_branch", r, "main", sdk.RevertCreation(ref="main", parent_number=0)),
    "cherry-pick": lambda c, r: call(c, "cherry_pick", r, "main", sdk.CherryPickCreation(ref="work")),
    "import": lambda c, r: call(c, "import_start", r, "main", _import("in/")),
    "merge, the source wins": lambda c, r: call(c, "merge_into_branch", r, "work", "main", merge=sdk.Merge(strategy="source-wins")),
    "merge by force": lambda c, r: call(c, "merge_into_branch", r, "work", "main", merge=sdk.Merge(force=True)),
    "commit another content": lambda c, r: call(c, "commit", r, "main", sdk.CommitCreation(message="m"), source_metarange=OLD),
    "commit by force": lambda c, r: call(c, "commit", r, "main", sdk.CommitCreation(message="m", force=True)),
    "restore refs": lambda c, r: call(c, "restore_refs", r, sdk.RefsRestore(commits_meta_range_id=OLD, tags_meta_range_id=OLD, branches_meta_range_id=OLD)),
    "delete the repository": lambda c, r: call(c, "delete_repository", r),
    "delete a tag": lambda c, r: call(c, "delete_tag", r, "v1"),
    "set a tag by force": lambda c, r: call(c, "create_tag", r, sdk.TagCreation(id="v1", ref="work", force=True)),
    "remove lakeFS's own rules": lambda c, r: call(c, "set_branch_protection_rules", r, []),
    "add a rule of lakeFS's own, as older clients do": lambda c, r: call(c, "internal_create_branch_protection_rule", r, sdk.BranchProtectionRule(pattern="x")),
    "delete an object": lambda c, r: call(c, "delete_object", r, "main", "a"),
    "delete objects": lambda c, r: call(c, "delete_objects", r, "main", sdk.PathList(paths=["a"])),
    "upload a hook to another branch": lambda c, r: c.write(r, "work", HOOK),
    "stage a hook": lambda c, r: call(c, "stage_object", r, "work", HOOK, sdk.ObjectStageCreation(physical_address="s3://x/y", checksum="x", size_bytes=1)),
    "copy a hook": lambda c, r: call(c, "copy_object", r, "work", HOOK, sdk.ObjectCopyCreation(src_path="a")),
    "link a hook": lambda c, r: call(c, "link_physical_address", r, "work", HOOK, sdk.StagingMetadata(staging=sdk.StagingLocation(physical_address="s3://x/y"), checksum="x", size_bytes=1)),
    "upload a hook in parts": lambda c, r: call(c, "create_presign_multipart_upload", r, "work", HOOK, parts=1),
    "import a hook": lambda c, r: call(c, "import_start", r, "work", _import("_lakefs_actions/")),
    "import a hook by half of its name": lambda c, r: call(c, "import_start", r, "work", _import("_lakefs_")),
    "import whatever, hooks too": lambda c, r: call(c, "import_start", r, "work", _import("")),
    "delete the only user": lambda c, r: call(c, "delete_user", "admin"),
}  # fmt: skip

BY_BOTO3 = {
    "delete an object": lambda s, r: s.delete_object(Bucket=r, Key="main/a"),
    "delete objects": lambda s, r: s.delete_objects(Bucket=r, Delete={"Objects": [{"Key": "main/a"}]}),
    "delete objects, one of many": lambda s, r: s.delete_objects(Bucket=r, Delete={"Objects": [{"Key": f"work/{n}"} for n in range(99)] + [{"Key": "main/a"}]}),
    "put a hook to another branch": lambda s, r: s.put_object(Bucket=r, Key=f"work/{HOOK}", Body=b"x"),
    "copy a hook": lambda s, r: s.copy_object(Bucket=r, Key=f"work/{HOOK}", CopySource=f"{r}/work/a"),
    "upload a hook in parts": lambda s, r: s.create_multipart_upload(Bucket=r, Key=f"work/{HOOK}"),
    "complete an upload as a hook": lambda s, r: s.complete_multipart_upload(Bucket=r, Key=f"work/{HOOK}", UploadId="x", MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]}),
}  # fmt: skip

# Under lakeFS's own key pair, and under a bearer and a cookie of it; through gateways of each way to a bearer.
WAYS = [("passthrough", "basic_auth"), ("login", "basic_auth"), ("login", "jwt_token"), ("mint", "cookie_auth")]


@pytest.fixture(scope="module")
def estate(back):
    """A repository with something to lose: an object on each branch, committed on `main`."""
    repository, admin = back.repository(), back.admin()
    admin.commit(repository, "main", "a")
    admin.write(repository, "work", "a")
    return repository


def standing(back, repository):
    """What must not change."""
    admin = back.admin()
    names = ("main", "work")
    return {name: admin.head(repository, name) for name in names} | {"a": bytes(admin.objects.get_object(repository, "main", "a")), "users": admin.auth.get_user("admin").id if not back.scripted else None}


@pytest.mark.parametrize("way", WAYS, ids="-".join)
@pytest.mark.parametrize("attempt", BY_SDK)
def test_by_the_sdk(gateways, back, estate, attempt, way):
    upstream, scheme = way
    before = standing(back, estate)
    with pytest.raises(ApiException) as refused:
        BY_SDK[attempt](clients.client(gateways(upstream).url, scheme, back), estate)
    answer = refused.value
    assert (answer.status, answer.headers.get("X-Lakegate-Reason"), answer.headers.get("X-Lakegate-Rule")) == (403, "guarded", "main-stays")
    assert standing(back, estate) == before


@pytest.mark.parametrize("upstream", ["passthrough", "login", "mint"])
@pytest.mark.parametrize("attempt", BY_BOTO3)
def test_by_boto3(gateways, back, estate, attempt, upstream):
    """Refused before lakeFS has the request: the sandbox, which has no S3 gateway, serves as well."""
    style = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    s3 = boto3.client("s3", endpoint_url=gateways(upstream).url, aws_access_key_id=back.access_key, aws_secret_access_key=back.secret_key, region_name="us-east-1", config=style)
    before = standing(back, estate)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        BY_BOTO3[attempt](s3, estate)
    answer = refused.value.response["ResponseMetadata"]
    assert (answer["HTTPStatusCode"], answer["HTTPHeaders"].get("x-lakegate-reason")) == (403, "guarded")
    assert standing(back, estate) == before


@pytest.mark.parametrize(("method", "query"), [("delete_object", {}), ("put_object", {})])
def test_by_a_presigned_url(gateway, back, estate, method, query):
    """Whoever has the URL: a delete on `main`, a hook on `work`."""
    s3 = boto3.client("s3", endpoint_url=gateway.url, aws_access_key_id=back.access_key, aws_secret_access_key=back.secret_key, region_name="us-east-1", config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    key = "main/a" if method == "delete_object" else f"work/{HOOK}"
    url = s3.generate_presigned_url(method, Params={"Bucket": estate, "Key": key})
    before = standing(back, estate)
    answer = raw.send(gateway.url, "DELETE" if method == "delete_object" else "PUT", url.removeprefix(gateway.url), headers={})
    assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "guarded")
    assert standing(back, estate) == before


@pytest.mark.parametrize(("method", "host", "path"), [("DELETE", "s3.local.lakefs.io", "/{r}/main/a"), ("DELETE", "s3.local.lakefs.io", "/{r}%2Fmain%2Fa"), ("DELETE", "{r}.s3.local.lakefs.io", "/main/a"), ("PUT", "{r}.s3.local.lakefs.io:80", f"/side/{HOOK}")])
@pytest.mark.parametrize("how", ["host", "absolute"])
def test_by_the_s3_gateways_host_without_a_signature(gateway, back, estate, method, host, path, how):
    """A key pair as in the API is enough there, and so is a target that names the host."""
    host, path = host.format(r=estate), path.format(r=estate)
    target = path if how == "host" else f"http://{host}{path}"
    before = standing(back, estate)
    answer = raw.send(gateway.url, method, target, headers={**raw.basic(back.access_key, back.secret_key), **({"Host": host} if how == "host" else {})})
    assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "guarded")
    assert standing(back, estate) == before
