"""Harmless requests, as ordinary clients send them: each that lakeFS serves must be served through the gateway."""

import dataclasses
import datetime
import hashlib
import hmac
import json
import random
import urllib.parse

import lake
import shots
import spellings


def volley(seed, aim):
    """The harmless request of this seed, for this aim."""
    choose = random.Random(seed)
    make = choose.choice(KINDS)
    made = make(choose, aim)
    return dataclasses.replace(made, family=f"plain {make.__name__.replace('_', ' ')}")


def _call(aim, method, path, body=None, choose=None, headers=()):
    headers = list(headers)
    body = "" if body is None else json.dumps(body)
    headers += ["Content-Type: application/json"] if body else []
    who = choose.choice([f"Authorization: {aim.target.world.basic}", f"Authorization: Bearer {aim.bearer}", f"Cookie: internal_auth_session={aim.cookie}"])
    text = spellings.request(f"/api/v1{path}", aim, method=method, headers=[who, "User-Agent: plain", *headers], auth=False, length=bool(body) or method != "GET", body=body)
    return spellings.one(text, head_only=method == "HEAD")


def _path(choose):
    return urllib.parse.quote(choose.choice(["a", "dir/a b", "ümlaut/%", "a+b", "x;y", "a&b=c", "deep/" * 5 + "z", "_lakefs/x", "#x", "a//b", "../up", "hard_reset"]), safe="")


def reads(choose, aim):
    r, old = f"/repositories/{aim.target.repository}", aim.target.old
    ref = choose.choice(["main", "dev", old, old[:12], "main%7E1", "main~1", "main%5E", "main^1", "%6Dain", "m%61in", "dev%40"])
    path = choose.choice([r, f"{r}/branches", f"{r}/branches/{choose.choice(['main', 'dev', '%6Dain'])}", f"{r}/refs/{ref}/commits?amount=2", f"{r}/refs/{ref}/objects/ls?prefix={_path(choose)}", f"{r}/refs/{old}/diff/{ref}",
                          f"{r}/commits/{old}", f"{r}/tags", f"{r}/settings/branch_protection", "/repositories?amount=3", "/user", "/config", "/healthcheck", "/setup_lakefs", f"{r}/refs/{ref}/objects/stat?path={_path(choose)}", f"{r}/metadata"])  # fmt: skip
    return _call(aim, "GET", path, choose=choose)


def unforced_reset_of_dev(choose, aim):
    force = choose.choice(["", "&force=false", "&force=False", "&force=0", "&force=F"])
    return _call(aim, "PUT", f"/repositories/{aim.target.repository}/branches/dev/hard_reset?ref={choose.choice([aim.target.old, aim.target.new, 'main', 'main~1', 'main%7E1'])}{force}", choose=choose)


def forced_reset_of_dev(choose, aim):
    force = choose.choice(["true", "True", "1", "t"])
    return _call(aim, "PUT", f"/repositories/{aim.target.repository}/branches/dev/hard_reset?ref={choose.choice([aim.target.old, 'main~1'])}&force={force}", choose=choose)


def unforced_reset_of_main_to_itself(choose, aim):
    force = choose.choice(["", "&force=false", "&force=False"])
    return _call(aim, "PUT", f"/repositories/{aim.target.repository}/branches/main/hard_reset?ref=main{force}", choose=choose)


def commits_on_dev(choose, aim):
    body = {"message": f"plain {choose.random()}", "allow_empty": True, "metadata": {"force": "true", "k": "hard_reset"}} | choose.choice([{}, {"force": False}, {"force": True}])
    return _call(aim, "POST", f"/repositories/{aim.target.repository}/branches/dev/commits", body, choose=choose)


def uploads_to_dev(choose, aim):
    headers = [f"Authorization: {aim.target.world.basic}", "Content-Type: application/octet-stream"]
    return spellings.one(spellings.request(f"/api/v1/repositories/{aim.target.repository}/branches/dev/objects?path={_path(choose)}", aim, method="POST", headers=headers, auth=False, body="content" * choose.randint(0, 9)))


def branches(choose, aim):
    name = f"b{choose.randrange(10**9)}"
    return _call(aim, "POST", f"/repositories/{aim.target.repository}/branches", {"name": name, "source": choose.choice(["main", "dev", aim.target.old])}, choose=choose)


def tags(choose, aim):
    return _call(aim, "POST", f"/repositories/{aim.target.repository}/tags", {"id": f"t{choose.randrange(10**9)}", "ref": aim.target.old}, choose=choose)


def s3(choose, aim):
    """Signed by AWS's fourth scheme, as boto3 does."""
    method = choose.choice(["GET", "PUT", "HEAD"])
    key = urllib.parse.quote(choose.choice(["a", "dir/a b", "ümlaut", "a+b", "x;y", "hard_reset", "api/v1/x"]), safe="/-_.~")
    return spellings.one(signed(aim, method, f"/{aim.target.repository}/dev/{key}", "" if method != "PUT" else "content"), head_only=method == "HEAD")


def signed(aim, method, path, body="", query=""):
    """A request with an AWS4 signature."""
    world, now = aim.target.world, datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body.encode()).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"{method}\n{path}\n{query}\nhost:{lake.S3_DOMAIN}\nx-amz-content-sha256:{digest}\nx-amz-date:{stamp}\n\n{names}\n{digest}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + world.secret).encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers = [f"Host: {lake.S3_DOMAIN}", f"X-Amz-Date: {stamp}", f"X-Amz-Content-Sha256: {digest}",
               f"Authorization: AWS4-HMAC-SHA256 Credential={world.key}/{scope}, SignedHeaders={names}, Signature={signature}"]  # fmt: skip
    return spellings.request(path + (f"?{query}" if query else ""), aim, method=method, headers=headers, host=False, auth=False, body=body)


def _rest(choose, aim, method, path, query=(), body=None):
    return shots.volley(choose, aim, shots.rest(method, aim, path, query, body))


def writes_to_main(choose, aim):
    """What a protected branch is for."""
    path = ("path", choose.choice(["a", "dir/a b", "_lakefs/x", "x/_lakefs_actions/y", "_lakefs_action", "lakefs_actions/x"]))
    if choose.random() < 0.3:
        return _rest(choose, aim, "POST", "branches/main/objects/copy", [("dest_path", "copied")], {"src_path": "a"})
    shot = shots.rest("POST", aim, "branches/main/objects", [path])
    shot.body, shot.type = "content" * choose.randint(0, 9), "application/octet-stream"
    return shots.volley(choose, aim, shot)


def commits_on_main(choose, aim):
    body = {"message": f"{choose.random()} strategy source-wins force true", "allow_empty": True, "metadata": {"force": "true", "source_metarange": "x"}}
    return _rest(choose, aim, "POST", "branches/main/commits", body=body | choose.choice([{}, {"force": False}]))


def merges_into_main(choose, aim):
    body = {"message": "source-wins"} | choose.choice([{}, {"strategy": "dest-wins"}, {"strategy": ""}, {"force": False}, {"squash_merge": True}, {"allow_empty": True}])
    return _rest(choose, aim, "POST", "refs/dev/merge/main", body=body)


def deletes_on_dev(choose, aim):
    kind = choose.randrange(4)
    if kind == 0:
        return _rest(choose, aim, "DELETE", "branches/dev/objects", [("path", "a")])
    if kind == 1:
        return _rest(choose, aim, "POST", "branches/dev/objects/delete", body={"paths": ["a", "main/a"]})
    if kind == 2:
        return shots.volley(choose, aim, shots.s3("DELETE", aim, "dev/main/a"))
    body = '<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>dev/a</Key></Object><Object><Key>dev/main/&#252;&amp;</Key></Object></Delete>'
    return shots.volley(choose, aim, shots.s3("POST", aim, "", [["delete", None]], body))


def work_on_dev(choose, aim):
    old = aim.target.old
    method, path, query, body = choose.choice(
        [
            ("PUT", "branches/dev", (), {"type": "reset"}),
            ("PUT", "branches/dev", (), {"type": "object", "path": "a"}),
            ("POST", "branches/dev/revert", (), {"ref": "dev", "parent_number": 0, "allow_empty": True}),
            ("POST", "branches/dev/cherry-pick", (), {"ref": "main"}),
            ("POST", "branches/dev/import", (), {"paths": [{"path": aim.sources["whole"], "type": "common_prefix", "destination": f"in{choose.randrange(99)}/"}], "commit": {"message": "m"}}),
            ("POST", "refs/main/merge/dev", (), {"strategy": "source-wins", "allow_empty": True}),
            ("POST", "branches/dev/staging/pmpu", [("path", "a"), ("parts", "2")], None),
            ("POST", "branches/main/staging/pmpu", [("path", "a"), ("parts", "1")], None),
            ("GET", "branches/main/staging/backing", [("path", "a"), ("presign", "false")], None),
            ("POST", "pulls", (), {"title": "t", "source_branch": "dev", "destination_branch": "main"}),
            ("POST", "metadata", (), {"metadata": {"k": old}}),
            ("POST", "refs/dev/symlink", (), None),
        ]
    )
    return _rest(choose, aim, method, path, query, body)


def s3_on_main(choose, aim):
    method = choose.choice(["GET", "PUT", "HEAD"])
    headers = [f"X-Amz-Copy-Source: /{aim.target.repository}/main/a"] if method == "PUT" and choose.random() < 0.3 else []
    return shots.volley(choose, aim, shots.s3(method, aim, f"main/{choose.choice(['a', 'dir/a%20b', 'x/_lakefs_actions/y', 'delete'])}", (), "content" if method == "PUT" and not headers else "", headers))


KINDS = (reads, reads, reads, unforced_reset_of_dev, forced_reset_of_dev, unforced_reset_of_main_to_itself, commits_on_dev, uploads_to_dev, branches, tags, s3, s3, writes_to_main, writes_to_main, commits_on_main,
         merges_into_main, deletes_on_dev, deletes_on_dev, work_on_dev, work_on_dev, s3_on_main)  # fmt: skip
