"""REST and S3 by httpx: HTTP/2 over TLS where the gateway speaks it, HTTP/1.1 to lakeFS, which speaks nothing else.

HTTP/2 has no reason phrase and lower-case names only, and either may tell a length or not: the rest must be equal.
"""

import asyncio
import base64
import dataclasses
import hashlib
import json
import re
import ssl

import httpx
import messages
from place import S3_DOMAIN

from suites.s3raw import TARGETS, Signer

BIG = bytes(range(256)) * (24 << 10)


def run(place):
    host, port = place.address
    scheme, context = ("https", ssl.create_default_context(cafile=place.authority)) if place.authority else ("http", False)
    how = {"http2": bool(place.authority), "verify": context, "timeout": 60, "base_url": f"{scheme}://{host}:{port}", "trust_env": False}
    with httpx.Client(**how) as client:
        walk = Walk(place, client, how)
        walk.rest()
        walk.s3()
        walk.many_at_once()


class Walk:
    """One client's way through the server, on one connection if it speaks HTTP/2."""

    def __init__(self, place, client, how):
        self.place, self.client, self.how = place, client, how
        self.basic = {"Authorization": "Basic " + base64.b64encode(f"{place.key}:{place.secret}".encode()).decode()}

    def request(self, client, method, target, headers=(), body=None):
        """A request whose target is spelt as told, with no other lines than told."""
        lines = [("Accept", "*/*"), ("User-Agent", "httpx"), *(headers.items() if isinstance(headers, dict) else headers)]
        if not any(name.lower() == "host" for name, _ in lines):
            lines.insert(0, ("Host", "lakefs.example"))
        if isinstance(body, bytes) or (body is None and method in ("POST", "PUT")):
            lines.append(("Content-Length", str(len(body or b""))))
        elif body is not None:
            # The library sends no body unless one is announced; in HTTP/2 it leaves the line out.
            lines.append(("Transfer-Encoding", "chunked"))
        address = client.base_url.copy_with(raw_path=b"/")
        request = httpx.Request(method, address, headers=lines, content=body, extensions={"target": target.encode(), "timeout": client.timeout.as_dict()})
        request.headers = httpx.Headers(lines)
        return request

    def told(self, answer):
        """An answer as it came, but for its length."""
        assert answer.http_version == ("HTTP/2" if self.place.authority else "HTTP/1.1"), answer.http_version
        lines = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answer.headers.raw if name.lower() != b"content-length")
        return messages.Answer(str(answer.status_code), lines, answer.content)

    def ask(self, *asked):
        """The answer to a request."""
        return self.told(self.client.send(self.request(self.client, *asked), follow_redirects=False))

    def send(self, label, method, target, headers=(), body=None):
        """Asks, and writes the answer down."""
        answer = self.ask(method, target, headers, body)
        self.note(f"{method} {label}", answer)
        return answer

    def note(self, label, answer):
        """Writes an answer down; of a large body its checksum is enough."""
        if len(answer.body) > 1 << 20:
            answer = dataclasses.replace(answer, body=f"{hashlib.sha256(answer.body).hexdigest()[:40]}, {len(answer.body)} bytes".encode())
        self.place.note(label, answer)

    def rest(self):
        """REST: bodies by length and without, ranges, conditions, redirects, refusals, odd targets, cookies in crumbs."""
        name, auth = self.place.name, self.basic
        typed = {**auth, "Content-Type": "application/json"}

        def post(label, target, value, method="POST"):
            return self.send(label, method, target, typed, json.dumps(value).encode())

        api = f"/api/v1/repositories/{name}"
        self.send("nobody", "GET", "/api/v1/user")
        self.send("a wrong secret", "GET", "/api/v1/user", {"Authorization": "Basic eDp5"})
        self.send("user", "GET", "/api/v1/user", auth)
        post("repository", "/api/v1/repositories", {"name": name, "storage_namespace": self.place.namespace})
        post("repository again", "/api/v1/repositories", {"name": name, "storage_namespace": self.place.namespace})
        post("branch", f"{api}/branches", {"name": "work", "source": "main"})
        upload = f"{api}/branches/work/objects?path="
        binary = {**auth, "Content-Type": "application/octet-stream"}
        self.send("upload by length", "POST", f"{upload}o", {**auth, "Content-Type": "text/odd"}, b"0123456789")
        self.send("upload without length", "POST", f"{upload}dir%20a/%C3%BC%2B.txt", binary, iter([b"in ", b"pieces"]))
        self.send("upload of nothing", "POST", f"{upload}empty", binary, b"")
        self.send("large upload", "POST", f"{upload}big", binary, BIG)
        assert self.send("large download", "GET", f"{api}/refs/work/objects?path=big", auth).body == BIG
        etag = self.send("stat", "GET", f"{api}/refs/work/objects?path=o", auth).header("etag") or ""
        for label, more in (
            ("plain", {}), ("range", {"Range": "bytes=2-4"}), ("416", {"Range": "bytes=50-"}), ("304", {"If-None-Match": etag}), ("412", {"If-Match": '"x"'}), ("gzip", {"Accept-Encoding": "gzip"}), ("odd", {"X-Odd": "a, b \u00e9".encode("latin-1")}),
        ):  # fmt: skip
            for method in ("GET", "HEAD"):
                self.send(f"object: {label}", method, f"{api}/refs/work/objects?path=o", {**auth, **more})
        self.send("redirect", "GET", f"{api}/refs/work/objects?path=o&presign=true", auth)
        self.send("presigned multipart", "POST", f"{api}/branches/work/staging/pmpu?path=p&parts=2", auth)
        for target in ("/", "/repositories", "/auth/login", "/_health", "/openapi.json", "/api/v1/nope", "//", "/a//b/../c", "/%zz", "/?%zz", "/x?a%23b", f"{api}/refs/%256Dain/objects/ls?prefix=a%2F..%2Fb&delimiter=/", f"{api}/branches?prefix=w&after=&amount=2"):
            for method in ("GET", "HEAD", "OPTIONS"):
                self.send(target.replace(name, "REPO"), method, target, auth)
        for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND"):
            self.send("/", method, "/", auth)
        post("commit", f"{api}/branches/work/commits", {"message": "one", "metadata": {"k": "v"}})
        post("nothing to commit", f"{api}/branches/work/commits", {"message": "two"})
        self.send("broken JSON", "POST", f"{api}/branches/work/commits", typed, b'{"message":')
        post("merge", f"{api}/refs/work/merge/main", {})
        post("delete objects", f"{api}/branches/work/objects/delete", {"paths": ["empty", "none"]})
        self.send("delete", "DELETE", f"{api}/branches/work/objects?path=o", auth)
        self.send("hard reset", "PUT", f"{api}/branches/work/hard_reset?ref=main&force=true", auth)
        login = self.send("login", "POST", "/api/v1/auth/login", {"Content-Type": "application/json"}, json.dumps({"access_key_id": self.place.key, "secret_access_key": self.place.secret}).encode())
        session = re.match(r"[^;]+", login.header("set-cookie") or "none=")[0]
        self.send("by cookie", "GET", "/api/v1/user", {"Cookie": f"a=b; {session}; c=d"})
        if self.place.authority:
            crumbs = self.ask("GET", "/api/v1/user", [("Cookie", "a=b"), ("Cookie", session), ("Cookie", "c=d")])
        else:
            crumbs = self.ask("GET", "/api/v1/user", {"Cookie": f"a=b; {session}; c=d"})
        self.note("GET by cookie, in crumbs", crumbs)
        self.send("by token", "GET", "/api/v1/user", {"Authorization": f"Bearer {json.loads(login.body)['token']}"})

    def s3(self):
        """S3, signed for its own host: every odd target, listings, multipart, deletions, chunks with a checksum in the trailer."""
        name, place = self.place.name, self.place

        def signed(label, method, target, body=b"", host=S3_DOMAIN, more=None, sha256=None):
            lines = Signer(place, host).headers(method, target, body, more, sha256)
            return self.send(label, method, target, {"Host": host, **{key: value for key, value in lines.items() if key.lower() != "host"}}, body if body or method in ("PUT", "POST") else None)

        root = f"/{name}/main/"
        for target in TARGETS:
            if target.isascii():
                for method in ("PUT", "GET", "HEAD", "DELETE"):
                    signed(f"S3 {target}", method, root + target, b"data" if method == "PUT" else b"")
        for host, target in ((f"{name}.{S3_DOMAIN}", "/main/virtual"), (f"{name}.{S3_DOMAIN}:8443", "/main/with-port"), (S3_DOMAIN, f"{root}path")):
            for method in ("PUT", "GET", "DELETE"):
                signed(f"S3 {target.replace(name, 'REPO')} at {host.replace(name, 'REPO')}", method, target, b"data" if method == "PUT" else b"", host)
        signed("S3 wrong payload", "PUT", f"{root}wrong", b"data", sha256="0" * 64)
        signed("S3 metadata", "PUT", f"{root}meta", b"data", more={"X-Amz-Meta-MiXed": "Value, with spaces", "Content-Type": "text/odd; x=y"})
        signed("S3 metadata", "GET", f"{root}meta")
        signed("S3 range", "GET", f"{root}meta", more={"Range": "bytes=1-2"})
        trailed = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "4", "X-Amz-Trailer": "x-amz-checksum-crc32"}
        for label, checksum in (("right", "rfPzYw=="), ("wrong", "AAAAAA==")):
            signed(f"S3 aws-chunked, {label}", "PUT", f"{root}chunked", f"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode(), more=trailed, sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            signed(f"S3 aws-chunked, {label}", "GET", f"{root}chunked")
        for query in ("list-type=2&prefix=main/&encoding-type=url", "prefix=main/&delimiter=/", "max-keys=x", "location=", "versioning=", "uploads=", "acl="):
            signed(f"S3 {query}", "GET", f"/{name}?{query}")
        made = signed("S3 create multipart", "POST", f"{root}parts?uploads=")
        upload = re.search(rb"<UploadId>([^<]+)", made.body)[1].decode()
        etag = signed("S3 part", "PUT", f"{root}parts?partNumber=1&uploadId={upload}", BIG).header("etag")
        listing = f'<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>'
        signed("S3 complete", "POST", f"{root}parts?uploadId={upload}", listing.encode())
        assert signed("S3 parts", "GET", f"{root}parts").body == BIG
        signed("S3 delete objects", "POST", f"/{name}?delete=", b"<Delete><Object><Key>main/parts</Key></Object><Object><Key>main/none</Key></Object></Delete>")
        signed("S3 broken XML", "POST", f"/{name}?delete=", b"<Delete><Object>")
        self.send("S3 unknown key", "GET", f"{root}meta", {"Host": S3_DOMAIN, "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAUNKNOWN/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"})

    def many_at_once(self):
        """Sixty-four requests at once: streams of one connection, if it speaks HTTP/2. (In one thread: httpx's HTTP/2 does not bear several.)"""

        async def one(client, number):
            path = f"/api/v1/repositories/{self.place.name}/refs/main/objects?path={'big' if number % 8 == 0 else 'o'}"
            return self.told(await client.send(self.request(client, "GET", path, self.basic)))

        async def all_of_them():
            async with httpx.AsyncClient(**self.how) as client:
                await one(client, 0)  # so that there is a connection
                return await asyncio.gather(*(one(client, number) for number in range(64)))

        for number, answer in enumerate(asyncio.run(all_of_them())):
            self.note(f"GET number {number} of many", answer)
