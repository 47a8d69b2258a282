#!/usr/bin/env python3
"""Holds the sandbox true: sends the same requests to a real lakeFS and to the sandbox, and prints where the answers differ.

    parity.py REAL_URL SANDBOX_URL --namespace s3://BUCKET [--access-key-id ..] [--secret-access-key ..] [--secret ..]

Statuses, header names and values, bodies: all must be equal, once what is different by nature (ids, times, signatures) is named by the order
in which it first appeared. What is known to differ stands in EXPECTED, with its reason. Exit code 1 if anything else does.
The real lakeFS must have an S3 store with presigned URLs, and `--secret` must be its `auth.encrypt.secret_key` (both servers share it).
`--contention SECONDS` compares how 50 clients fare on one branch instead; only a human can judge that.
"""

import argparse
import base64
import collections
import dataclasses
import hashlib
import hmac
import http.client
import json
import re
import sys
import threading
import time
import urllib.parse
import uuid

# Label of a request, and why the sandbox may answer it otherwise.
EXPECTED = {
    "path: branch main%zz": "Go's parser answers without a length",
    "path: branch main%": "Go's parser answers without a length",
    "path: /api/v1x": "the user interface",
    "rules: get": "lakeFS tells them in any order",
    "old rules: get": "lakeFS tells them in any order",
    "part copy: range": "SeaweedFS answers with the source's ETag",
    "pmpu complete of copies": "and computes the whole from it",
}
NAMED = (
    ("uuid", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
    ("token", r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"),
    ("address", r"data/[0-9a-v]{20}/[0-9a-v]{20}"),
    ("signature", r"(?<=[,C])[\w-]{43}\b"),
    ("upload", r"\b[0-9a-f]{40}_[0-9a-f]{32}\b"),
    ("hash", r"\b[0-9a-f]{64}\b"),
    ("host", r"(?<=<HostId>)\w+"),
    ("time", r"\b1[6-9]\d{8}\b"),
)
BLANKED = (
    (r"RequestID: \w+", "RequestID: .."),
    (r"run id '\w+'", "run id '..'"),
    (r"\\nSchema:.*(?=\"})", ""),
    (r"http://[\w.:-]+/(_store/)?", "STORE/"),
    (r"X-Amz-(Credential|Date|Signature)=[^&\\\"]*", r"X-Amz-\1=.."),
)
UNTOLD = {"Date", "Content-Length", "X-Request-Id", "Last-Modified"}


@dataclasses.dataclass
class Answer:
    """What a server said."""

    label: str
    request: str
    status: int
    headers: list
    body: bytes

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Server:
    """One of the two, with the transcript of what it was asked."""

    def __init__(self, url, options):
        self.netloc, self.options, self.transcript = urllib.parse.urlsplit(url).netloc, options, []
        self.basic = "Basic " + base64.b64encode(f"{options.access_key_id}:{options.secret_access_key}".encode()).decode()

    def send(self, label, method, target, body=None, headers=None, auth=True):
        """Sends a request; a target without a leading `/` is below /api/v1, and JSON is made of what is neither text nor bytes."""
        sent = {}
        if auth:
            sent["Authorization"] = self.basic
        if body is not None and not isinstance(body, (str, bytes)):
            body, sent["Content-Type"] = json.dumps(body), "application/json"
        elif isinstance(body, str):
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        target = target if target.startswith(("/", "http", "*")) else f"/api/v1/{target}"
        connection = http.client.HTTPConnection(self.netloc, timeout=60)
        connection.putrequest(method, target, skip_accept_encoding=True)
        if body is None and method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = "0"
        body = body.encode() if isinstance(body, str) else body
        if body is not None:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            for each in value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        connection.endheaders(body)
        response = connection.getresponse()
        answer = Answer(label, f"{method} {target}", response.status, response.getheaders(), response.read())
        connection.close()
        self.transcript.append(answer)
        return answer

    def store(self, label, url, body):
        """PUTs to a presigned address; only the status and ETag are compared."""
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        connection.request("PUT", f"{parts.path}?{parts.query}", body)
        response = connection.getresponse()
        response.read()
        etag = response.getheader("ETag") or ""
        self.transcript.append(Answer(label, "PUT part", response.status, [("ETag", etag)], b""))
        return etag

    def token(self, **changes):
        """A JWT as lakeFS would have made it, with changes; None takes a claim away."""
        claims = {"sub": "admin", "exp": int(time.time()) + 600, "aud": "login", "iss": "auth", **changes}
        algorithm = changes.pop("alg", "HS256")
        claims = {name: value for name, value in claims.items() if value is not None and name not in ("alg", "key")}
        signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, claims))
        digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(algorithm, hashlib.sha256)
        key = changes.get("key", self.options.secret)
        return f"{signed}.{encode(hmac.new(key.encode(), signed.encode(), digest).digest())}"

    def cookie(self, token, name="internal_auth_session", age=0, key=None):
        """gorilla's signed cookie around the gob of {"token": token}."""
        text = gob(len(token)) + token.encode()
        value = b"\xff\x80\0\x01\x06string\x0c\x07\0\x05token\x06string\x0c" + gob(len(text) + 1) + b"\0" + text
        message = b"\x0d\x7f\x04\x01\x02\xff\x80\0\x01\x10\x01\x10\0\0" + gob(len(value)) + value
        signed = f"{int(time.time()) - age}|".encode() + base64.urlsafe_b64encode(message)
        mac = hmac.new((key or self.options.secret).encode(), f"{name}|".encode() + signed, hashlib.sha256).digest()
        return f"{name}=" + base64.urlsafe_b64encode(signed + b"|" + mac).decode()


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def gob(number):
    if number < 128:
        return bytes([number])
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([256 - len(raw)]) + raw


class Pairs:
    """Which of the real server's ids and signatures stand for which of the sandbox's: what was equal must stay equal."""

    def __init__(self):
        self.known = collections.defaultdict(dict)

    def texts(self, real, ours):
        """Both texts, with what is different by nature made equal."""
        for pattern, blank in BLANKED:
            real, ours = re.sub(pattern, blank, real), re.sub(pattern, blank, ours)
        for kind, pattern in NAMED:
            found = re.findall(pattern, real), re.findall(pattern, ours)
            if len(found[0]) == len(found[1]):
                # Times are only times: the servers are not asked in the same second.
                fits = iter([kind == "time" or self.known[kind].setdefault(a, b) == b for a, b in zip(*found)])
                real = re.sub(pattern, lambda _: f"<{kind}>" if next(fits) else f"<another {kind} than before>", real)  # noqa: B023
                ours = re.sub(pattern, f"<{kind}>", ours)
        return real, ours

    def compare(self, real, ours):
        """What must be equal of two answers: status, headers, body."""
        headers = [sorted((name, "" if name in UNTOLD else value) for name, value in answer.headers if name != "Date") for answer in (real, ours)]
        texts = self.texts(*(json.dumps(each, ensure_ascii=False) for each in headers))
        texts = [re.sub(r"internal_auth_session=[^;]{20,}|Expires=[^;]*", "..", text) for text in texts]
        bodies = self.texts(*(answer.body.decode(errors="replace") for answer in (real, ours)))
        return list(zip((real.status, ours.status), texts, bodies))


def users(s, name):
    """Set-up, login, tokens, cookies, and which of them wins."""
    s.send("setup state", "GET", "setup_lakefs", auth=False)
    s.send("setup again", "POST", "setup_lakefs", {"username": "x"}, auth=False)
    keys = {"access_key_id": s.options.access_key_id, "secret_access_key": s.options.secret_access_key}
    login = s.send("login", "POST", "auth/login", keys, auth=False)
    s.send("login: junk bearer does not matter", "POST", "auth/login", keys, {"Authorization": "Bearer junk"})
    s.send("login: wrong secret", "POST", "auth/login", {**keys, "secret_access_key": "x"}, auth=False)
    s.send("login: empty object", "POST", "auth/login", {}, auth=False)
    s.send("login: no body", "POST", "auth/login", auth=False)
    s.send("login: text/plain", "POST", "auth/login", json.dumps(keys), {"Content-Type": "text/plain"}, auth=False)
    s.send("login: not JSON type", "POST", "auth/login", {"access_key_id": 1, "secret_access_key": "x"}, auth=False)
    s.send("sts login", "POST", "sts/login", {"code": "a", "state": "b", "redirect_uri": "c"}, auth=False)
    s.send("logout", "GET", "/logout", auth=False)
    good, bad = s.token(), s.token(key="another")
    def whoami(label, **headers):
        s.send(f"user: {label}", "GET", "repositories?amount=1&prefix=none-such", headers={n.title(): v for n, v in headers.items()}, auth=False)
    s.send("user: nobody", "GET", "user", auth=False)
    s.send("user: basic", "GET", "user")
    s.send("users", "GET", "auth/users")
    s.send("users: one", "GET", "auth/users/admin")
    s.send("users: unknown", "GET", "auth/users/bob")
    s.send("users: create", "POST", "auth/users", {"id": "bob"})
    s.send("capabilities", "GET", "auth/capabilities", auth=False)
    whoami("nothing")
    for label, value in {
        "junk bearer": "Bearer junk", "empty bearer": "Bearer ", "two words": f"Bearer {good} x", "digest": "Digest x", "basic garbage": "Basic !!",
        "wrong basic": "Basic " + base64.b64encode(b"a:b").decode(), "lower case": f"bearer {good}", "spaces": f"Bearer   {good}",
        "token of login": f"Bearer {login.json()['token']}", "lower basic": s.basic.replace("Basic", "basic"), "wrong key": f"Bearer {bad}",
        "padded": f"Bearer {good}=", "joined": f"Bearer {good}, {s.basic}",
    }.items():
        whoami(label, authorization=value)
    for label, changes in {
        "HS384": {"alg": "HS384"}, "HS512": {"alg": "HS512"}, "alg none": {"alg": "none"}, "no aud": {"aud": None}, "empty aud": {"aud": ""},
        "aud list": {"aud": ["login"]}, "other aud": {"aud": "x"}, "no exp": {"exp": None}, "exp 0": {"exp": 0}, "exp now": {"exp": int(time.time())},
        "exp text": {"exp": str(int(time.time()) + 60)}, "exp float": {"exp": time.time() + 60}, "exp far": {"exp": 10**10}, "unknown sub": {"sub": "bob"},
        "no sub": {"sub": None}, "sub number": {"sub": 1}, "future nbf": {"nbf": int(time.time()) + 999},
    }.items():
        whoami(f"token {label}", authorization=f"Bearer {s.token(**changes)}")
    internal, junk = s.cookie(good), "internal_auth_session=junk"
    saml, oidc = "saml_auth_session=junk", "oidc_auth_session=junk"
    for label, cookie in {
        "internal": internal, "internal junk": junk, "internal 29 days": s.cookie(good, age=29 * 86400), "internal 31 days": s.cookie(good, age=31 * 86400),
        "internal future": s.cookie(good, age=-900), "internal wrong key": s.cookie(good, key="x"), "internal bad token": s.cookie(bad),
        "quoted": internal.replace("=", '="', 1) + '"', "good then junk": f"{internal}; {junk}", "junk then good": f"{junk}; {internal}",
        "raw token": f"internal_auth_session={good}", "saml junk": saml, "oidc junk": oidc, "internal and saml junk": f"{internal}; {saml}",
        "saml signed": s.cookie(good, name="saml_auth_session"), "nameless": internal.split("=", 1)[1],
    }.items():
        whoami(f"cookie {label}", cookie=cookie)
    whoami("bad bearer, good cookie", authorization="Bearer junk", cookie=internal)
    whoami("bad basic, good cookie", authorization="Basic " + base64.b64encode(b"a:b").decode(), cookie=internal)
    whoami("good bearer, bad cookies", authorization=f"Bearer {good}", cookie=f"{junk}; {saml}")
    whoami("unparsable authorization, good cookie", authorization="Bearer", cookie=internal)
    s.send("setup state: saml junk does not matter", "GET", "setup_lakefs", headers={"Cookie": saml}, auth=False)
    s.send("user: saml junk", "GET", "user", headers={"Cookie": saml}, auth=False)


def paths(s, name):
    """What of a path binds, and what of a query."""
    s.send("create repository", "POST", "repositories", {"name": name, "storage_namespace": f"{s.options.namespace}/{name}"})
    for branch in (
        "main", "%6Dain", "%6dain", "m%61in", "%256Dain", "%25256Dain", "ma%2Fin", "main%2F", "main%252F", "main+", "main%20", "main;", "main;x=1", "main%00",
        "main~0", "main@", "main%23", "%C0%AE", "MAIN", "main%25zz", "main%zz", "main%", "main.", "nope", "", ".", "..",
    ):
        s.send(f"path: branch {branch}", "GET", f"repositories/{name}/branches/{branch}")
    for target in (
        f"/api/v1/repositories/%{ord(name[0]):x}{name[1:]}/branches/main", f"/api/v1/repositories/%{ord(name[0]):x}{name[1:]}/branches/%256Dain",
        f"/api/v1/repositories/{name}//branches/main", f"/api/v1/repositories/{name}/./branches/main", f"/api/v1/repositories/{name}/br%61nches/main",
        f"/api/v1/repositories/{name.upper()}/branches/main", "/api/v1", "/api/v1/", "/api/v1/nope", "/api/v1/repositories/", "/api/v1x",
    ):
        s.send(f"path: {target.replace(name, 'R').replace(name.upper(), 'RR').replace(name[1:], 'R-')}", "GET", target)
    for method in ("POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "FOO", "put", "PROPFIND"):
        s.send(f"method: {method}", method, f"repositories/{name}/branches/main/hard_reset?ref=main")
    for gone in ("POST repositories/R/branches/main/commits/async", "GET auth/get-token/start", "GET license", "POST auth/logout"):
        method, target = gone.split()
        s.send(f"path: {gone}", method, target.replace("R", name), {} if method == "POST" else None)
    s.send("path: absolute", "GET", f"http://x/api/v1/repositories/{name}")
    time.sleep(1.1)  # first commits of the same second are one and the same
    ro = f"{name}-ro"
    s.send("create read-only repository", "POST", "repositories", {"name": ro, "storage_namespace": f"{s.options.namespace}/{ro}", "read_only": True})
    for query in (
        "ref=main", "ref=main&force=true", "ref=main&force=True", "ref=main&force=t", "ref=main&force=1", "ref=main&force=%74rue", "ref=main&f%6Frce=true",
        "&&force=true&ref=main", "ref=main&force=false", "ref=main&force=0", "ref=main&FORCE=true", "ref=main&force[]=true", "ref=main&force+=true",
        "ref=main&force=true;x", "ref=main&x;force=true", "ref=main&force=%zz", "ref=main&force=tRUE", "ref=main&force=yes", "ref=main&force=true+",
        "ref=main&force", "ref=main&force=", "ref=main&force=true&force=false", "ref=main&force=true&force=true", "ref=main&ref=main", "", "REF=main",
        "ref=", "ref=x;force=true", "ref=x%zz", "ref=%256Dain~1", "ref=main&unknown=1",
    ):
        s.send(f"query: {query}", "PUT", f"repositories/{ro}/branches/main/hard_reset?{query}")
    s.send("query: anonymous and wrong", "GET", "repositories?amount=x", auth=False)
    s.send("query: anonymous and unbindable", "PUT", f"repositories/{ro}/branches/main/hard_reset?ref=a&ref=b", auth=False)
    s.send("s3: signature header", "GET", f"repositories/{name}", headers={"X-Amz-Signature": "x"})
    for case in ("getBranch", "hard reset"):
        s.send(f"ro: {case}", "GET", f"repositories/{ro}/branches/main")
    bodies = {
        "force": '{"message":"m","allow_empty":true,"force":true}', "Force alone": '{"message":"m","allow_empty":true,"Force":true}',
        "force false, Force true, none added": '{"message":"m","allow_empty":true,"force":false,"Force":true}',
        "force true, FORCE false": '{"message":"m","allow_empty":true,"force":true,"FORCE":false}', "twice": '{"message":"m","allow_empty":true,"force":true,"force":false}',
        "null": '{"message":"m","allow_empty":true,"force":null}', "text": '{"message":"m","force":"true"}', "number": '{"message":"m","force":1}',
        "garbage behind": '{"message":"m","allow_empty":true,"force":true}garbage', "escaped": '{"message":"m","allow_empty":true,"forc\\u0065":true}',
        "empty": "", "list": "[]", "cut": '{"message":', "BOM": "\ufeff{}", "no message": '{"MESSAGE":"m"}',
    }
    for label, body in bodies.items():
        s.send(f"body: commit {label}", "POST", f"repositories/{ro}/branches/main/commits", body)
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "application/x-www-form-urlencoded", None):
        s.send(f"body: content type {kind}", "POST", f"repositories/{ro}/branches/main/commits", bodies["force"], {"Content-Type": kind})
    s.send("body: merge Force beside force", "POST", f"repositories/{ro}/refs/main/merge/main", '{"force":true,"Force":false}')
    s.send("delete read-only repository", "DELETE", f"repositories/{ro}")
    s.send("delete read-only repository: forced", "DELETE", f"repositories/{ro}?force=true")


def repositories(s, name):
    """Repositories, branches, tags."""
    base = f"{s.options.namespace}/{name}"
    for label, body in {
        "as before": {"name": name, "storage_namespace": base}, "namespace in use": {"name": f"{name}-x", "storage_namespace": base},
        "bad name": {"name": "UP", "storage_namespace": base}, "local": {"name": f"{name}-l", "storage_namespace": "local://x"}, "no namespace": {"name": f"{name}-l"}, "nothing": {},
        "odd default branch": {"name": f"{name}-odd", "storage_namespace": f"{base}-odd", "default_branch": "a b"},
    }.items():
        s.send(f"create repository: {label}", "POST", "repositories", body)
    s.send("create repository: bare", "POST", "repositories?bare=true", {"name": f"{name}-bare", "storage_namespace": f"{base}-bare"})
    s.send("bare: get", "GET", f"repositories/{name}-bare")
    s.send("bare: branches", "GET", f"repositories/{name}-bare/branches")
    s.send("bare: upload", "POST", f"repositories/{name}-bare/branches/main/objects?path=x", b"x")
    for query in ("", "&amount=1", "&amount=0", "&amount=-1", f"&after={name}", "&search=odd"):
        s.send(f"list repositories {query.replace(name, 'R')}", "GET", f"repositories?prefix={name}{query}")
    for query in ("amount=-2", "amount=x", "amount=1001", "amount="):
        s.send(f"list repositories: {query}", "GET", f"repositories?{query}")
    s.send("get repository", "GET", f"repositories/{name}")
    s.send("get repository: unknown", "GET", "repositories/none-such")
    s.send("get repository: metadata", "GET", f"repositories/{name}/metadata")
    s.send("delete repository", "DELETE", f"repositories/{name}-odd")
    s.send("delete repository: unknown", "DELETE", "repositories/none-such")
    r = f"repositories/{name}"
    for label, body in {
        "dev": {"name": "dev", "source": "main"}, "again": {"name": "dev", "source": "main"}, "unknown source": {"name": "b", "source": "nope"},
        "bad name": {"name": "b c", "source": "main"}, "no source": {"name": "b"}, "staged source": {"name": "b", "source": "main$"},
        "at commit": {"name": "at", "source": "main@"}, "hidden": {"name": "hid", "source": "main", "hidden": True}, "bad source": {"name": "b", "source": "a b"},
    }.items():
        s.send(f"create branch: {label}", "POST", f"{r}/branches", body)
    s.send("list branches", "GET", f"{r}/branches")
    s.send("list branches: hidden too", "GET", f"{r}/branches?show_hidden=true&amount=2&prefix=")
    s.send("list branches: unknown repository", "GET", "repositories/none-such/branches")
    s.send("delete branch", "DELETE", f"{r}/branches/hid")
    s.send("delete branch: again", "DELETE", f"{r}/branches/hid")
    s.send("delete branch: default", "DELETE", f"{r}/branches/main")
    s.send("delete branch: twice encoded", "DELETE", f"{r}/branches/%2561t")
    for label, body in {
        "v1": {"id": "v1", "ref": "main"}, "again": {"id": "v1", "ref": "dev"}, "bad": {"id": "v 1", "ref": "main"}, "unknown": {"id": "v2", "ref": "nope"},
        "staged": {"id": "v2", "ref": "main$"}, "empty": {"id": "", "ref": "main"}, "path": {"id": "a/b", "ref": "main"}, "dots": {"id": "a..b", "ref": "main"},
    }.items():
        s.send(f"create tag: {label}", "POST", f"{r}/tags", body)
    s.send("list tags", "GET", f"{r}/tags")
    s.send("get tag", "GET", f"{r}/tags/v1")
    s.send("get tag: slash", "GET", f"{r}/tags/a%2Fb")
    s.send("get tag: unknown", "GET", f"{r}/tags/none")
    s.send("delete tag", "DELETE", f"{r}/tags/v1")
    s.send("delete tag: again", "DELETE", f"{r}/tags/v1")


def objects(s, name):
    """Uploads, reads, listings, copies, deletes."""
    r = f"repositories/{name}"
    b, o = f"{r}/branches/main/objects", f"{r}/refs/main/objects"
    form = "--B\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"f\"\r\nContent-Type: text/csv\r\n\r\nform\r\ndata\r\n--B--\r\n"
    for label, path, body, headers in (
        ("plain", "a/x.txt", b"hello", {"Content-Type": "application/octet-stream"}), ("metadata", "a/y.txt", b"hello2", {"Content-Type": "text/plain", "x-lakefs-meta-K": "v"}),
        ("no type", "noct", b"x", {}), ("empty", "empty", b"", {"Content-Type": "text/x"}), ("form", "a/z.csv", form.format("content").encode(), {"Content-Type": "multipart/form-data; boundary=B"}),
        ("form without content", "no", form.format("other").encode(), {"Content-Type": "multipart/form-data; boundary=B"}),
        ("form without boundary", "no", b"x", {"Content-Type": "multipart/form-data"}), ("odd path", "d%20e/%C3%BC+%26%3C", b"odd", {"Content-Type": "text/x"}),
        ("if none", "once", b"1", {"If-None-Match": "*"}), ("if none: again", "once", b"2", {"If-None-Match": "*"}), ("if none: etag", "once", b"2", {"If-None-Match": "abc"}),
        ("no path", "", b"x", {}),
    ):
        s.send(f"upload: {label}", "POST", f"{b}?path={path}", body, headers)
    s.send("upload: path missing", "POST", b, b"x")
    s.send("upload: unknown branch", "POST", f"{r}/branches/nope/objects?path=x", b"x")
    s.send("upload: unknown repository", "POST", "repositories/none-such/branches/main/objects?path=x", b"x")
    s.send("upload: anonymous", "POST", f"{b}?path=x", b"x", auth=False)
    etag = '"5d41402abc4b2a76b9719d911017c592"'
    for label, headers in {
        "whole": {}, "part": {"Range": "bytes=1-2"}, "beyond": {"Range": "bytes=10-"}, "tail": {"Range": "bytes=-2"}, "long tail": {"Range": "bytes=-100"}, "open": {"Range": "bytes=3-"},
        "junk range": {"Range": "junk"}, "two ranges": {"Range": "bytes=0-1,3-4"}, "past the end": {"Range": "bytes=1-100"}, "backwards": {"Range": "bytes=3-1"}, "nothing": {"Range": "bytes=-"},
        "known": {"If-None-Match": etag}, "known, weak": {"If-None-Match": f"W/{etag}"}, "not known": {"If-None-Match": '"x"'},
    }.items():
        s.send(f"get: {label}", "GET", f"{o}?path=a/x.txt", headers=headers)
        s.send(f"head: {label}", "HEAD", f"{o}?path=a/x.txt", headers=headers)
    s.send("get: odd path", "GET", f"{o}?path=d%20e/%C3%BC+%26%3C")
    s.send("get: empty", "GET", f"{o}?path=empty")
    s.send("get: empty range", "GET", f"{o}?path=empty", headers={"Range": "bytes=0-1"})
    for label, method, target in (
        ("missing", "GET", f"{o}?path=none"), ("missing", "HEAD", f"{o}?path=none"), ("no path", "GET", o), ("unknown ref", "GET", f"{r}/refs/nope/objects?path=a"), ("committed only", "GET", f"{r}/refs/main@/objects?path=a/x.txt"),
        ("staging", "GET", f"{r}/refs/main$/objects?path=a/x.txt"), ("presigned", "GET", f"{o}?path=a/x.txt&presign=true"),
    ):
        s.send(f"{method.lower()}: {label}", method, target)
    for query in ("path=a/x.txt", "path=a/y.txt", "path=a/y.txt&user_metadata=false", "path=a/y.txt&presign=true", "path=none", "path=a/", ""):
        s.send(f"stat: {query}", "GET", f"{o}/stat?{query}")
    for query in ("", "delimiter=/", "prefix=a/", "prefix=a/&amount=1", "prefix=a/&amount=1&after=a/x.txt", "delimiter=/&amount=1", "delimiter=/&after=a/", "amount=0", "amount=-1", "user_metadata=false", "presign=true&prefix=a/x"):
        s.send(f"list: {query}", "GET", f"{o}/ls?{query}")
    s.send("list: unknown ref", "GET", f"{r}/refs/nope/objects/ls")
    for label, dest, body in (
        ("plain", "copied", {"src_path": "a/y.txt", "src_ref": "main"}), ("same branch", "copied2", {"src_path": "a/y.txt"}), ("missing", "c", {"src_path": "none"}),
        ("unknown ref", "c", {"src_path": "a/x.txt", "src_ref": "nope"}), ("no path", "", {"src_path": "a/x.txt"}), ("no source", "c", {}),
    ):
        s.send(f"copy: {label}", "POST", f"{b}/copy?dest_path={dest}", body)
    s.send("metadata: set", "PUT", f"{b}/stat/user_metadata?path=copied", {"set": {"new": "1"}})
    s.send("metadata: stat", "GET", f"{o}/stat?path=copied")
    s.send("metadata: missing", "PUT", f"{b}/stat/user_metadata?path=none", {"set": {"new": "1"}})
    for times in ("once", "twice"):
        s.send(f"delete: {times}", "DELETE", f"{b}?path=copied")
    s.send("delete: no path", "DELETE", b)
    s.send("delete: unknown branch", "DELETE", f"{r}/branches/nope/objects?path=x")
    s.send("delete many", "POST", f"{b}/delete", {"paths": ["copied2", "none"]})
    s.send("delete many: none", "POST", f"{b}/delete", {"paths": []})
    s.send("delete many: unknown branch", "POST", f"{r}/branches/nope/objects/delete", {"paths": ["x"]})
    s.send("delete many: too many", "POST", f"{b}/delete", {"paths": [str(n) for n in range(1001)]})
    for query in ("", "delimiter=/", "prefix=a/&amount=1", "after=a/x.txt"):
        s.send(f"diff branch: {query}", "GET", f"{r}/branches/main/diff?{query}")
    s.send("diff branch: unknown", "GET", f"{r}/branches/nope/diff")


def commits(s, name):
    """Commits, references, logs, hard resets, resets."""
    r = f"repositories/{name}"
    b = f"{r}/branches/main"
    for label, body in {
        "first": {"message": "one", "metadata": {"a": "b"}}, "no changes": {"message": "two"}, "empty": {"message": "", "allow_empty": True}, "dated": {"message": "d", "allow_empty": True, "date": 1000000000},
        "no message": {}, "bad metadata": {"message": "m", "metadata": {"a": 1}}, "bad date": {"message": "m", "date": "x"},
    }.items():
        s.send(f"commit: {label}", "POST", f"{b}/commits", body)
    s.send("commit: unknown branch", "POST", f"{r}/branches/nope/commits", {"message": "x"})
    s.send("commit: bad branch", "POST", f"{r}/branches/no.pe/commits", {"message": "x"})
    s.send("commit: unknown repository", "POST", "repositories/none-such/branches/main/commits", {"message": "x"})
    s.send("commit: no changes, sealed", "POST", f"{b}/commits", {"message": "two"})
    head = s.send("get branch", "GET", b).json()["commit_id"]
    for ref in ("main", head, head[:10], "main~1", "main~0", "main^", "main^0", "main^1", "main^2", "main@", "main$", "main~x", "main~-1", "~1", f"{head}@", "main@~1", "main~1~1", "main~1^1~1", "main~99", "nope", "dev", "a b", "main~ 1"):
        s.send(f"get commit: {ref.replace(head, 'HEAD')[:12]}", "GET", f"{r}/commits/{urllib.parse.quote(ref, safe='')}")
    for query in ("", "amount=2", f"after={head}", "first_parent=true", "objects=a/x.txt", "prefixes=a/&prefixes=none", "objects=none", "amount=1&objects=a/x.txt"):
        s.send(f"log: {query.replace(head, 'HEAD')}", "GET", f"{r}/refs/main/commits?{query}")
    s.send("log: unknown", "GET", f"{r}/refs/nope/commits")
    s.send("log: staged", "GET", f"{r}/refs/main$/commits")
    for left, right, query in (("main~3", "main", ""), ("main", "main~3", ""), ("main~3", "main", "type=two_dot"), ("main", "main~3", "type=two_dot"), ("main~3", "main", "delimiter=/"), ("nope", "main", ""), ("main", "nope", ""), ("main", "main$", "")):
        s.send(f"diff: {left} {right} {query}", "GET", f"{r}/refs/{left}/diff/{right}?{query}")
    s.send("create branch: work", "POST", f"{r}/branches", {"name": "work", "source": "main"})
    for ref in ("main~1", "main~3", "main", head, head[:12], "work", "main@", "main$", "nope", "main~99", "!!bad ref", "", "main~x", "main^5", f"{head}$", "main~1 x+y"):
        s.send(f"hard reset: {ref.replace(head, 'HEAD')}", "PUT", f"{r}/branches/work/hard_reset?ref={urllib.parse.quote(ref)}&force=False")
        s.send(f"hard reset: then {ref.replace(head, 'HEAD')}", "GET", f"{r}/branches/work")
    s.send("hard reset: unknown branch", "PUT", f"{r}/branches/nope/hard_reset?ref=main")
    s.send("hard reset: bad branch", "PUT", f"{r}/branches/no.pe%2Fx/hard_reset?ref=main")
    s.send("hard reset: unknown repository", "PUT", "repositories/none-such/branches/main/hard_reset?ref=main")
    s.send("hard reset: bad repository", "PUT", "repositories/No/branches/main/hard_reset?ref=main")
    s.send("hard reset: anonymous", "PUT", f"{r}/branches/work/hard_reset?ref=main", auth=False)
    s.send("hard reset: a body is ignored", "PUT", f"{r}/branches/work/hard_reset?ref=main", b"garbage")
    s.send("hard reset: upload", "POST", f"{r}/branches/work/objects?path=staged", b"x", {"Content-Type": "text/x"})
    s.send("hard reset: staged data stay", "PUT", f"{r}/branches/work/hard_reset?ref=main~1")
    s.send("hard reset: they are shown", "GET", f"{r}/refs/work/objects?path=staged")
    s.send("merge: dirty", "POST", f"{r}/refs/main/merge/work", {})
    s.send("revert: dirty", "POST", f"{r}/branches/work/revert", {"ref": "main", "parent_number": 0})
    s.send("reset: object", "PUT", f"{r}/branches/work", {"type": "object", "path": "staged"})
    s.send("reset: it is gone", "GET", f"{r}/refs/work/objects?path=staged")
    for label, body in {"no path": {"type": "object"}, "prefix": {"type": "common_prefix", "path": "x/"}, "all": {"type": "reset"}, "bad type": {"type": "bad"}, "nothing": {}}.items():
        s.send(f"reset: {label}", "PUT", f"{r}/branches/work", body)
    s.send("reset: unknown branch", "PUT", f"{r}/branches/nope", {"type": "reset"})


def merges(s, name):
    """Merge, revert, cherry-pick."""
    r = f"repositories/{name}"
    def change(branch, path, content):
        s.send(f"change {branch} {path}", "POST", f"{r}/branches/{branch}/objects?path={path}", content.encode(), {"Content-Type": "text/x"})
        s.send(f"commit {branch} {path}", "POST", f"{r}/branches/{branch}/commits", {"message": f"{branch} {path}"})
    for branch in ("left", "right", "third"):
        s.send(f"create branch {branch}", "POST", f"{r}/branches", {"name": branch, "source": "main"})
    change("left", "both", "left")
    change("left", "only-left", "1")
    change("right", "both", "right")
    def merge(label, source, destination, body=None):
        return s.send(f"merge: {label}", "POST", f"{r}/refs/{source}/merge/{destination}", body)
    merge("without a body", "left", "third")
    merge("again", "left", "third")
    merge("conflict", "right", "third", {})
    merge("bad strategy", "right", "third", {"strategy": "x"})
    s.send("merge base", "GET", f"{r}/refs/right/merge/third")
    merge("dest wins", "right", "third", {"strategy": "dest-wins", "message": "m", "metadata": {"q": "w"}})
    s.send("merge: what came of it", "GET", f"{r}/refs/third/objects?path=both")
    s.send("merge: its commit", "GET", f"{r}/commits/third")
    merge("source wins", "left", "right", {"strategy": "source-wins"})
    s.send("merge: what came of source wins", "GET", f"{r}/refs/right/objects?path=both")
    merge("unknown source", "nope", "right", {})
    merge("unknown destination", "main", "nope", {})
    merge("bad destination", "main", "no.pe", {})
    merge("itself", "main", "main", {})
    merge("nothing new, allowed", "main", "left", {"allow_empty": True})
    merge("encoded twice", "left", "m%2561in", {"squash_merge": True})
    s.send("merge: squashed", "GET", f"{r}/commits/main")
    s.send("log: of a merge", "GET", f"{r}/refs/right/commits?amount=4")
    s.send("log: first parents", "GET", f"{r}/refs/right/commits?first_parent=true&amount=4")
    def revert(label, body):
        s.send(f"revert: {label}", "POST", f"{r}/branches/third/revert", body)
    revert("merge without parent", {"ref": "third", "parent_number": 0})
    revert("out of range", {"ref": "third", "parent_number": 9})
    revert("unknown", {"ref": "nope", "parent_number": 0})
    revert("merge, empty", {"ref": "third", "parent_number": 1})
    revert("left", {"ref": "left~1", "parent_number": 0})
    revert("left again", {"ref": "left~1", "parent_number": 0})
    s.send("revert: its commit", "GET", f"{r}/commits/third")
    def pick(label, body, branch="third"):
        s.send(f"cherry-pick: {label}", "POST", f"{r}/branches/{branch}/cherry-pick", body)
    pick("unknown", {"ref": "nope"})
    pick("merge without parent", {"ref": "right"})
    pick("out of range", {"ref": "left~1", "parent_number": 2})
    s.send("create branch fresh", "POST", f"{r}/branches", {"name": "fresh", "source": "main~1"})
    pick("only-left", {"ref": "left~1"}, "fresh")
    pick("only-left again", {"ref": "left~1"}, "fresh")
    change("fresh", "both", "fresh")
    pick("conflict", {"ref": "right~1"}, "fresh")


def protection(s, name):
    """Rules, and what they stop."""
    name = f"{name}-prot"
    r = f"repositories/{name}"
    s.send("rules: repository", "POST", "repositories", {"name": name, "storage_namespace": f"{s.options.namespace}/{name}"})
    for branch in ("prot", "release-1", "free"):
        s.send(f"rules: branch {branch}", "POST", f"{r}/branches", {"name": branch, "source": "main"})
    rules = f"{r}/settings/branch_protection"
    s.send("rules: none", "GET", rules)
    s.send("rules: set", "PUT", rules, [{"pattern": "prot"}, {"pattern": "release-[0-9]"}, {"pattern": "prot"}])
    told = s.send("rules: get", "GET", rules).header("Etag")
    for label, etag in {"wrong": "x", "quoted": f'"{told}"', "star": "*", "empty": "", "twice": [told, told], "right": told}.items():
        s.send(f"rules: if-match {label}", "PUT", rules, [{"pattern": "prot"}, {"pattern": "release-[0-9]"}], {"If-Match": etag})
    for label, body in {"object": {"pattern": "x"}, "empty pattern": [{"pattern": ""}], "no pattern": [{}], "number": [{"pattern": 1}]}.items():
        s.send(f"rules: {label}", "PUT", rules, body)
    s.send("rules: unknown repository", "GET", "repositories/none-such/settings/branch_protection")
    for branch in ("prot", "release-1", "free"):
        b = f"{r}/branches/{branch}"
        s.send(f"{branch}: upload", "POST", f"{b}/objects?path=x", b"x", {"Content-Type": "text/x"})
        s.send(f"{branch}: upload forced", "POST", f"{b}/objects?path=x&force=true", b"x", {"Content-Type": "text/x"})
        s.send(f"{branch}: delete", "DELETE", f"{b}/objects?path=x")
        s.send(f"{branch}: delete many", "POST", f"{b}/objects/delete", {"paths": ["x", "y"]})
        s.send(f"{branch}: commit", "POST", f"{b}/commits", {"message": "m", "allow_empty": True, "force": True})
        s.send(f"{branch}: hard reset", "PUT", f"{b}/hard_reset?ref=main")
        s.send(f"{branch}: hard reset forced", "PUT", f"{b}/hard_reset?ref=nope&force=true")
        s.send(f"{branch}: reset", "PUT", b, {"type": "reset"})
        created = s.send(f"{branch}: pmpu create", "POST", f"{b}/staging/pmpu?path=big&parts=1").json()
        etag = s.store(f"{branch}: part", created["presigned_urls"][0], b"tail")
        body = {"physical_address": created["physical_address"], "parts": [{"part_number": 1, "etag": etag}]}
        s.send(f"{branch}: pmpu complete", "PUT", f"{b}/staging/pmpu/{created['upload_id']}?path=big", body)
        s.send(f"{branch}: pmpu abort", "DELETE", f"{b}/staging/pmpu/{created['upload_id']}?path=big", body)
        s.send(f"{branch}: address", "GET", f"{b}/staging/backing?path=q")
    s.send("free: reset at last", "PUT", f"{r}/branches/free", {"type": "reset"})
    s.send("prot: merge passes", "POST", f"{r}/refs/free/merge/prot", {})
    s.send("prot: delete passes", "DELETE", f"{r}/branches/prot")
    old = f"{r}/branch_protection"
    for label, method, body in (("get", "GET", None), ("post", "POST", {"pattern": "old"}), ("post again", "POST", {"pattern": "old"}), ("delete", "DELETE", {"pattern": "old"}), ("delete again", "DELETE", {"pattern": "old"}), ("post empty", "POST", {"pattern": ""})):
        s.send(f"old rules: {label}", method, old, body)
    s.send("old rules: allowed", "GET", f"{old}/set_allowed")
    s.send("rules: bad glob", "PUT", rules, [{"pattern": "[z-a"}])


def uploads(s, name):
    """Presigned uploads: every step, and its errors."""
    r = f"repositories/{name}"
    b = f"{r}/branches/main/staging"
    first, tail = b"a" * (5 << 20), b"tail"
    for label, target in {
        "no parts": "pmpu?path=big", "0 parts": "pmpu?path=big&parts=0", "too many": "pmpu?path=big&parts=10001", "negative": "pmpu?path=big&parts=-1", "parts text": "pmpu?path=big&parts=x", "empty path": "pmpu?path=", "no path": "pmpu",
    }.items():
        s.send(f"pmpu create: {label}", "POST", f"{b}/{target}")
    s.send("pmpu create: unknown branch", "POST", f"{r}/branches/nope/staging/pmpu?path=big")
    s.send("pmpu create: bad branch", "POST", f"{r}/branches/no.pe/staging/pmpu?path=big")
    s.send("pmpu create: unknown repository", "POST", "repositories/none-such/branches/main/staging/pmpu?path=big")
    s.send("pmpu create: anonymous", "POST", f"{b}/pmpu?path=big", auth=False)
    created = s.send("pmpu create", "POST", f"{b}/pmpu?path=d/big&parts=2").json()
    upload, address = created["upload_id"], created["physical_address"]
    u = f"{b}/pmpu/{upload}"
    tags = [s.store(f"part {n}", url, content) for n, (url, content) in enumerate(zip(created["presigned_urls"], (first, tail)), 1)]
    again = s.send("part url", "PUT", f"{u}/parts/2?path=d/big", {"physical_address": address})
    s.store("part 2 again", again.json()["presigned_url"], tail)
    s.send("part url: wrong upload", "PUT", f"{b}/pmpu/wrong/parts/2?path=d/big", {"physical_address": address})
    for number in ("0", "10001", "x"):
        s.send(f"part url: number {number}", "PUT", f"{u}/parts/{number}?path=d/big", {"physical_address": address})
    s.send("part url: no body", "PUT", f"{u}/parts/2?path=d/big")
    s.send("part url: unsigned", "PUT", f"{u}/parts/2?path=d/big", {"physical_address": address.split(",")[0]})
    parts = [{"part_number": n, "etag": tag} for n, tag in enumerate(tags, 1)]
    good = {"physical_address": address, "parts": parts, "content_type": "text/x", "user_metadata": {"k": "v"}}
    for label, path, body in (
        ("no body", "d/big", None), ("empty parts", "d/big", {**good, "parts": []}), ("no parts", "d/big", {"physical_address": address}), ("no address", "d/big", {"parts": parts}), ("empty address", "d/big", {**good, "physical_address": ""}),
        ("other path", "other", good), ("unsigned", "d/big", {**good, "physical_address": address.split(",")[0]}), ("wrong signature", "d/big", {**good, "physical_address": address[:-3] + "AAA"}),
        ("relative", "d/big", {**good, "physical_address": address.split(name + "/", 1)[1]}), ("elsewhere", "d/big", {**good, "physical_address": "s3://elsewhere/data/x,y"}),
        ("bad etag", "d/big", {**good, "parts": [parts[0], {"part_number": 2, "etag": '"00000000000000000000000000000000"'}]}), ("missing part", "d/big", {**good, "parts": [*parts, {"part_number": 3, "etag": tags[0]}]}),
        ("too small", "d/big", {**good, "parts": parts[::-1]}), ("part without number", "d/big", {**good, "parts": [{"etag": "x"}]}), ("path missing", "", good),
    ):
        s.send(f"pmpu complete: {label}", "PUT", f"{u}?path={path}", body)
    s.send("pmpu complete: other branch", "PUT", f"{r}/branches/dev/staging/pmpu/{upload}?path=d/big", good)
    s.send("pmpu complete: wrong upload", "PUT", f"{b}/pmpu/wrong?path=d/big", good)
    for times in ("", " again"):
        s.send(f"pmpu complete{times}", "PUT", f"{u}?path=d/big", good)
    for times in ("", " again"):
        s.send(f"pmpu abort after complete{times}", "DELETE", f"{u}?path=d/big", {"physical_address": address})
    s.send("pmpu: stat", "GET", f"{r}/refs/main/objects/stat?path=d/big")
    s.send("pmpu: range", "GET", f"{r}/refs/main/objects?path=d/big", headers={"Range": f"bytes={(5 << 20) - 2}-{(5 << 20) + 1}"})
    created = s.send("pmpu create to abort", "POST", f"{b}/pmpu?path=gone&parts=1").json()
    u, body = f"{b}/pmpu/{created['upload_id']}?path=gone", {"physical_address": created["physical_address"]}
    etag = s.store("part to abort", created["presigned_urls"][0], tail)
    s.send("pmpu abort: no body", "DELETE", u)
    s.send("pmpu abort: wrong upload", "DELETE", f"{b}/pmpu/wrong?path=gone", body)
    s.send("pmpu abort: unsigned", "DELETE", u, {"physical_address": body["physical_address"].split(",")[0]})
    for times in ("", " again"):
        s.send(f"pmpu abort{times}", "DELETE", u, body)
    s.store("part after abort", created["presigned_urls"][0], tail)
    s.send("pmpu complete after abort", "PUT", u, {**body, "parts": [{"part_number": 1, "etag": etag}]})
    created = s.send("pmpu create to copy", "POST", f"{b}/pmpu?path=copy").json()
    u = f"{b}/pmpu/{created['upload_id']}"
    source = {"repository": name, "ref": "main", "path": "d/big"}
    def copy(label, number, source):
        body = {"physical_address": created["physical_address"], "copy_source": source}
        return s.send(f"part copy: {label}", "PUT", f"{u}/parts/{number}/copy?path=copy", body).header("Etag")
    copied = [copy("range", 1, {**source, "range": "bytes=0-5242879"}), copy("rest", 2, {**source, "range": "bytes=5242880-5242883"})]
    copy("bad range", 3, {**source, "range": "x"})
    copy("missing source", 3, {**source, "path": "none"})
    copy("unknown ref", 3, {**source, "ref": "nope"})
    copy("unknown repository", 3, {**source, "repository": "none-such"})
    body = {"physical_address": created["physical_address"], "parts": [{"part_number": n, "etag": tag} for n, tag in enumerate(copied, 1)]}
    s.send("pmpu complete of copies", "PUT", f"{u}?path=copy", body)
    s.send("address", "GET", f"{b}/backing?path=q")
    where = s.send("address: presigned", "GET", f"{b}/backing?path=q&presign=true").json()
    s.send("address: unknown branch", "GET", f"{r}/branches/nope/staging/backing?path=q")
    s.send("address: unknown repository", "GET", "repositories/none-such/branches/main/staging/backing?path=q")
    etag = s.store("address: put", where["presigned_url"], b"single")
    link = {"staging": {"physical_address": where["physical_address"]}, "checksum": etag, "size_bytes": 6}
    s.send("link", "PUT", f"{b}/backing?path=q", {**link, "content_type": "text/x", "user_metadata": {"a": "b"}, "mtime": 1000000000})
    s.send("link: read", "GET", f"{r}/refs/main/objects?path=q")
    s.send("link: other path", "PUT", f"{b}/backing?path=q2", link)
    s.send("link: no address", "PUT", f"{b}/backing?path=q3", {**link, "staging": {}})
    s.send("link: no checksum", "PUT", f"{b}/backing?path=q3", {**link, "checksum": ""})
    s.send("link: unknown branch", "PUT", f"{r}/branches/nope/staging/backing?path=q", link)
    s.send("link: nothing", "PUT", f"{b}/backing?path=q", {})


def other(s, name):
    """Configuration, health, what is neither."""
    for target in ("config", "config/version", "config/storage", "healthcheck", "oidc/callback"):
        s.send(target, "GET", target)
    s.send("config: anonymous", "GET", "config", auth=False)
    s.send("healthcheck: anonymous", "GET", "healthcheck", auth=False)
    s.send("health", "GET", "/_health", auth=False)
    s.send("options *", "OPTIONS", "*", auth=False)
    s.send("delete repository", "DELETE", f"repositories/{name}")


def contention(s, name, seconds):
    """50 clients that upload and commit, then 50 that merge, on one branch: how often each got which answer."""
    s.send("repository", "POST", "repositories", {"name": name, "storage_namespace": f"{s.options.namespace}/{name}"})
    r = f"repositories/{name}"
    def commit(n, turn, count):
        count("upload", s.send("", "POST", f"{r}/branches/main/objects?path={n}/{turn}", b"x"))
        count("commit", s.send("", "POST", f"{r}/branches/main/commits", {"message": "m"}))
    def merge(n, turn, count):
        s.send("", "POST", f"{r}/branches", {"name": f"b{n}", "source": "main"}) if turn == 0 else None
        s.send("", "POST", f"{r}/branches/b{n}/objects?path=merged/{n}/{turn}", b"x")
        s.send("", "POST", f"{r}/branches/b{n}/commits", {"message": "m"})
        count("merge", s.send("", "POST", f"{r}/refs/b{n}/merge/main", {}))
    def reset(n, turn, count):
        if n % 2:
            count("upload", s.send("", "POST", f"{r}/branches/main/objects?path={n}/{turn}", b"x"))
        else:
            count("hard_reset", s.send("", "PUT", f"{r}/branches/main/hard_reset?ref=main"))
    for job in (commit, merge, reset):
        if job is merge:
            s.send("reset", "PUT", f"{r}/branches/main", {"type": "reset"})
        seen, times, until, lock = collections.Counter(), collections.defaultdict(list), time.monotonic() + seconds, threading.Lock()
        def client(n, job=job, seen=seen, times=times, until=until, lock=lock):
            turn = 0
            while time.monotonic() < until:
                def count(kind, answer, started=[time.monotonic()]):
                    with lock:
                        seen[f"{kind} {answer.status}"] += 1
                        times[kind].append(time.monotonic() - started[0])
                        started[0] = time.monotonic()
                job(n, turn, count)
                turn += 1
        threads = [threading.Thread(target=client, args=(n,)) for n in range(50)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        percentiles = {kind: [round(sorted(all_)[int(len(all_) * q)], 3) for q in (0.5, 0.99)] for kind, all_ in times.items()}
        print(f"{s.netloc} {job.__name__:8} {dict(sorted(seen.items()))} p50, p99 s: {percentiles}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real")
    parser.add_argument("sandbox")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--access-key-id", default="AKIAIOSFODNN7EXAMPLE")
    parser.add_argument("--secret-access-key", default="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    parser.add_argument("--secret", default="THIS_MUST_BE_CHANGED_IN_PRODUCTION")
    parser.add_argument("--contention", type=float, metavar="SECONDS")
    parser.add_argument("--all", action="store_true", help="print every pair of answers")
    options = parser.parse_args()
    servers = [Server(options.real, options), Server(options.sandbox, options)]
    name = f"parity-{uuid.uuid4().hex[:8]}"
    if options.contention:
        for server in servers:
            contention(server, name, options.contention)
        return 0
    for server in servers:
        for part in (users, paths, repositories, objects, commits, merges, protection, uploads, other):
            part(server, name)
    pairs, unexpected, same = Pairs(), [], 0
    for real, ours in zip(*(server.transcript for server in servers), strict=True):
        told = pairs.compare(real, ours)
        equal = told[0] == told[1]
        same += equal
        if not equal and real.label not in EXPECTED:
            unexpected.append(real.label)
        if options.all or (not equal and real.label not in EXPECTED):
            print(f"-- {real.label}: {real.request}")
            for who, parts, others in zip(("real", "ours"), told, told[::-1]):
                print(f"   {who}:", *(str(part)[:1000] for part, other in zip(parts, others) if options.all or part != other))
    print(f"{same} of {len(servers[0].transcript)} answers are the same, {len(unexpected)} differ unexpectedly")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
