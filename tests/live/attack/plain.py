"""Harmless requests, as ordinary clients send them: each that lakeFS serves must be served through the gateway."""

import dataclasses
import datetime
import hashlib
import hmac
import json
import random
import urllib.parse

import lake
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


KINDS = (reads, reads, reads, unforced_reset_of_dev, forced_reset_of_dev, unforced_reset_of_main_to_itself, commits_on_dev, uploads_to_dev, branches, tags, s3, s3)
