"""lakeFS's own branch protection rules count at the gateway, at once; listings show what one may know of. A real lakeFS forgets late."""

import boto3
import botocore.config
import botocore.exceptions
import pytest
from support import raw

pytestmark = pytest.mark.gateway

BY_DEFAULT = {"guard": {}}


def ask(front, back, method, target, body=None):
    return raw.send(front.url, method, f"/api/v1/repositories/{target}", headers=raw.basic(back.access_key, back.secret_key), body=body)


def s3(front, back):
    style = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=front.url, aws_access_key_id=back.access_key, aws_secret_access_key=back.secret_key, region_name="us-east-1", config=style)


@pytest.fixture
def history(back):
    """A repository whose `work` has two commits of its own, and the older of them."""
    repository = back.repository()
    first = back.admin().commit(repository, "work", "work/1")
    back.admin().commit(repository, "work", "work/2")
    return repository, first


@pytest.mark.parametrize("upstream", ["login", "mint"])
def test_a_rule_set_through_the_gateway_bites_at_once(gateways, back, history, upstream):
    gateway, (repository, first) = gateways(upstream, **BY_DEFAULT), history
    head = back.admin().head(repository, "work")
    # lakeFS has looked at the rules a moment ago, and remembers for seconds that there are none.
    reset = f"{repository}/branches/work/hard_reset?ref={first}"
    assert ask(gateway, back, "PUT", reset).status == 204
    assert ask(gateway, back, "PUT", f"{repository}/branches/work/hard_reset?ref={head}").status == 204
    rules = f"{repository}/settings/branch_protection"
    assert ask(gateway, back, "PUT", rules, [{"pattern": "w*k"}]).status == 204
    for method, target, body in [
        ("PUT", reset, None),
        ("DELETE", f"{repository}/branches/work", None),
        ("POST", f"{repository}/branches/work/revert", {"ref": head, "parent_number": 0}),
        ("POST", f"{repository}/branches/work/cherry-pick", {"ref": first}),
        ("POST", f"{repository}/refs/main/merge/work", {"strategy": "source-wins"}),
        ("POST", f"{repository}/branches/main/objects?path=_lakefs_actions/a.yaml", None),
        ("POST", f"{repository}/branches/work/objects/delete", {"paths": ["work/1"]}),
        ("DELETE", repository, None),
    ]:
        answer = ask(gateway, back, method, target, body)
        assert (answer.status, answer.header("X-Lakegate-Rule")) == (403, "lakefs:w*k"), (method, target, answer)
    assert back.admin().head(repository, "work") == head
    # Whoever may set the rules may take them back.
    assert ask(gateway, back, "PUT", rules, []).status == 204
    assert ask(gateway, back, "DELETE", f"{repository}/branches/work").status == 204


def test_s3_deletes_are_judged_too(gateways, back, history):
    if back.scripted:
        pytest.skip("sandbox: it has no S3 gateway")
    gateway, (repository, _) = gateways("login", **BY_DEFAULT), history
    client = s3(gateway, back)
    assert ask(gateway, back, "PUT", f"{repository}/settings/branch_protection", [{"pattern": "work"}]).status == 204
    for code, delete in (
        # lakeFS's own code, and the gateway's where lakeFS would answer for each object.
        ("ErrWriteToProtectedBranch", lambda: client.delete_object(Bucket=repository, Key="work/work/1")),
        ("AccessDenied", lambda: client.delete_objects(Bucket=repository, Delete={"Objects": [{"Key": "main/x"}, {"Key": "work/work/1"}]})),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            delete()
        assert refused.value.response["Error"]["Code"] == code
        assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["x-lakegate-rule"] == "lakefs:work"
    client.delete_object(Bucket=repository, Key="main/x")


def test_a_pattern_that_lakefs_cannot_read_protects_every_branch(gateways, back, history):
    gateway, (repository, _) = gateways("login", **BY_DEFAULT), history
    assert ask(back, back, "PUT", f"{repository}/settings/branch_protection", [{"pattern": "[z-a"}]).status == 204
    answer = ask(gateway, back, "DELETE", f"{repository}/branches/work")
    assert (answer.status, answer.header("X-Lakegate-Rule")) == (403, "lakefs:[z-a")


def test_the_only_user_stays(gateways, back):
    gateway = gateways("login", guard={"rules": [{"name": "main-stays", "branches": ["main"]}]})
    for name in ("admin", "%61dmin", "%2561dmin"):
        answer = raw.send(gateway.url, "DELETE", f"/api/v1/auth/users/{name}", headers=raw.basic(back.access_key, back.secret_key))
        assert (answer.status, answer.header("X-Lakegate-Rule")) == (403, "main-stays"), name


def test_without_a_user_of_its_own_the_gateway_leaves_them_to_lakefs(gateways, back, history):
    gateway, (repository, _) = gateways("passthrough", **BY_DEFAULT), history
    assert ask(gateway, back, "PUT", f"{repository}/settings/branch_protection", [{"pattern": "work"}]).status == 204
    assert ask(gateway, back, "DELETE", f"{repository}/branches/work").status == 204
    assert "left to lakeFS" in gateway.log()


def test_listings_show_what_one_may_know_of(gateways, back):
    shown = sorted(back.repository() for _ in range(5))
    mine = [name for at, name in enumerate(shown) if at != 2]
    role = {"role": "admin", "users": ["admin"], "repositories": mine}
    gateway = gateways("login", guard={"roles": [role]})
    found, after = [], ""
    while True:
        answer = raw.send(
            gateway.url, "GET", f"/api/v1/repositories?amount=2&after={after}", headers={"Accept-Encoding": "gzip", **raw.basic(back.access_key, back.secret_key)}
        )
        page = answer.json()
        assert answer.status == 200 and page["pagination"]["results"] == len(page["results"]) <= 2
        assert int(answer.header("Content-Length")) == len(answer.body)
        found += [repository["id"] for repository in page["results"]]
        after = page["pagination"]["next_offset"]
        if not page["pagination"]["has_more"]:
            break
        assert after == found[-1]
    assert found == mine
    if back.scripted:
        return
    # Of a signed request the gateway knows the key and not its owner, unless `auth.s3_keys` says.
    role = {"role": "admin", "keys": [back.access_key], "repositories": mine}
    gateway = gateways("login", guard={"roles": [role]})
    assert sorted(bucket["Name"] for bucket in s3(gateway, back).list_buckets()["Buckets"]) == mine
