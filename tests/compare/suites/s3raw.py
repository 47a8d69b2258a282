"""The S3 endpoint by hand: targets spelt in every way, signed as they are spelt; Host, absolute form, chunked signatures, broken bodies."""

import base64
import hashlib
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import wire
from place import S3_DOMAIN

TARGETS = (
    "plain", "a%20b", "a+b", "a%2Bb", "a%2Fb", "a%252Fb", "d//e", "d/./e", "d/../e", "./x", "%2E%2E/x", "..%2Fx", "/x", "%2Fx", "%C3%BC", "\u00fc", "%c3%bc", "%FF", "%00", "%zz", "q%3Fx", "s;t", "s%3Bt",
    "a=b&c", "@:$,", "(*)!'", "%28%2A%29", "[x]", "{x}", "x|y", "x^y", "~%7E", "tail/", "%6Dain",
)  # fmt: skip


class Signer:
    """Signs a request exactly as its target is spelt."""

    def __init__(self, place, host):
        self.credentials = botocore.credentials.Credentials(place.key, place.secret)
        self.host = host

    def headers(self, method, target, body=b"", headers=None, sha256=None):
        request = botocore.awsrequest.AWSRequest(method=method, url=f"http://{self.host}{target}", data=body, headers={"Host": self.host, **(headers or {})})
        if sha256:
            request.headers["X-Amz-Content-SHA256"] = sha256
        signer = Spelt(self.credentials, "s3", "us-east-1")
        signer.add_auth(request)
        return {name: value for name, value in request.headers.items()}


class Spelt(botocore.auth.S3SigV4Auth):
    """Signs the path as the server decodes and spells it: what lakeFS computes from a target that was spelt oddly."""

    def _normalize_url_path(self, path):
        return urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/-._~")

    def payload(self, request):
        return request.headers.get("X-Amz-Content-SHA256") or hashlib.sha256(request.data or b"").hexdigest()


def run(place):
    basic = {"Authorization": "Basic " + base64.b64encode(f"{place.key}:{place.secret}".encode()).decode()}
    made = wire.request(place, "POST", "/api/v1/repositories", basic, f'{{"name":"{place.name}","storage_namespace":"{place.namespace}"}}'.encode(), {"Content-Type": "application/json"})
    place.note("create repository", made)

    def send(label, method, target, host=S3_DOMAIN, body=b"", headers=None, signed=True, extra=None, sha256=None):
        auth = Signer(place, host).headers(method, target, body, headers, sha256) if signed else {"Host": host, **(headers or {})}
        place.note(f"{method} {label}", wire.request(place, method, target.encode("utf-8").decode("latin-1"), auth, body, extra))

    root = f"/{place.name}/main/"
    for target in TARGETS:
        for method in ("PUT", "GET", "HEAD", "DELETE"):
            send(target, method, root + target, body=b"data" if method == "PUT" else b"")
    for host in (S3_DOMAIN, f"{S3_DOMAIN}:8000", f"{place.name}.{S3_DOMAIN}", f"{place.name}.{S3_DOMAIN}:1", S3_DOMAIN.upper(), f"{S3_DOMAIN}.", f"a.b.{S3_DOMAIN}", "127.0.0.1", "elsewhere.example"):
        for target in (f"{root}none", "/main/none", "/", f"/{place.name}", "/?list-type=2"):
            for signed in (True, False):
                send(f"{host.replace(place.name, 'REPO')} {'signed' if signed else 'bare'} {target.replace(place.name, 'REPO')}", "GET", target, host, signed=signed)
    send("object", "PUT", f"{root}object", body=b"0123456789")
    for authority in (S3_DOMAIN, f"{place.name}.{S3_DOMAIN}"):
        path = f"{root}object" if authority == S3_DOMAIN else "/main/object"
        for host in (authority, "other.example"):
            for label, auth in (("basic", basic), ("none", {}), ("signed", Signer(place, authority).headers("GET", path))):
                headers = {**auth, "Host": host}
                place.note(f"absolute {authority.replace(place.name, 'REPO')} host {host.replace(place.name, 'REPO')} {label}", wire.request(place, "GET", f"http://{authority}{path}", headers))
    for method, origin, host, data in (("PUT", "http", S3_DOMAIN, b"new"), ("GET", "https", S3_DOMAIN, b""), ("GET", "http", f"{S3_DOMAIN}:8000", b""), ("DELETE", "http", S3_DOMAIN, b""), ("HEAD", "http", S3_DOMAIN, b"")):
        signed = Signer(place, host).headers(method, f"{root}absolute", data)
        place.note(f"{method} absolute {origin} {host}, signed", wire.request(place, method, f"{origin}://{host}{root}absolute", signed, data, {"Host": "other.example"}))
    for label, headers in (
        ("range", {"Range": "bytes=2-4"}), ("ranges", {"Range": "bytes=0-1,4-5"}), ("range beyond", {"Range": "bytes=50-"}), ("junk range", {"Range": "x"}), ("if-none-match", {"If-None-Match": '"781e5e245d69b566979b86e28d23f2c7"'}),
        ("if-match", {"If-Match": '"x"'}), ("if-modified-since", {"If-Modified-Since": "Wed, 21 Oct 2099 07:28:00 GMT"}), ("if-unmodified-since", {"If-Unmodified-Since": "Wed, 21 Oct 2015 07:28:00 GMT"}), ("gzip", {"Accept-Encoding": "gzip"}),
        ("te", {"TE": "trailers"}), ("json", {"Accept": "application/json"}), ("xml", {"Accept": "text/xml"}), ("origin", {"Origin": "http://x"}),
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            send(label, method, f"{root}object", extra=headers)
            send(f"{label}, missing", method, f"{root}none", extra=headers)
    send("unknown key", "GET", f"{root}object", extra={"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAUNKNOWN/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"})
    send("half an authorization", "GET", f"{root}object", signed=False, headers={"Authorization": "AWS4-HMAC-SHA256 x"})
    send("version 2 junk", "GET", f"{root}object", signed=False, headers={"Authorization": "AWS x:y"})
    send("bearer junk and signature", "GET", f"{root}object", signed=False, headers={"Authorization": "Bearer junk", "X-Amz-Signature": "x"})
    send("wrong signature", "GET", f"{root}object", extra={"X-Amz-Date": "20200101T000000Z"})
    for label, body in (("empty", b""), ("junk", b"junk"), ("open", b"<Delete><Object><Key>main/x</Key>"), ("entity", b"<Delete><Object><Key>main/a&amp;b</Key></Object></Delete>"), ("no keys", b"<Delete/>"), ("bomb", b'<!DOCTYPE x [<!ENTITY a "b">]><Delete><Object><Key>main/&a;</Key></Object></Delete>')):
        send(f"delete objects: {label}", "POST", f"/{place.name}?delete=", body=body)
    streamed = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    for label, body in (
        ("crc", b"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:rfPzYw==\r\n\r\n"), ("wrong crc", b"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"), ("no trailer", b"4\r\ndata\r\n0\r\n\r\n"), ("cut", b"4\r\nda"), ("junk size", b"zz\r\ndata\r\n0\r\n\r\n"),
        ("two chunks", b"2\r\nda\r\n2\r\nta\r\n0\r\nx-amz-checksum-crc32:rfPzYw==\r\n\r\n"),
    ):  # fmt: skip
        headers = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "4", "X-Amz-Trailer": "x-amz-checksum-crc32"}
        send(f"aws-chunked {label}", "PUT", f"{root}chunked", body=body, headers=headers, sha256=streamed)
        send(f"aws-chunked {label}, read", "GET", f"{root}chunked")
    send("unsigned payload", "PUT", f"{root}unsigned", body=b"data", sha256="UNSIGNED-PAYLOAD")
    send("wrong payload", "PUT", f"{root}wrong", body=b"data", sha256=hashlib.sha256(b"other").hexdigest())
    send("wrong md5", "PUT", f"{root}wrong", body=b"data", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    send("metadata", "PUT", f"{root}meta", body=b"data", headers={"X-Amz-Meta-MiXed": "Value, with  spaces", "Content-Type": "text/odd; x=y", "Cache-Control": "no-cache"})
    send("metadata", "GET", f"{root}meta")
    for query in ("acl", "tagging", "uploads", "versioning", "location", "policy", "cors", "lifecycle", "list-type=2&prefix=main/&encoding-type=url", "prefix=main/&delimiter=/", "max-keys=x", "max-keys=-1", "list-type=2&continuation-token=junk"):
        send(query, "GET", f"/{place.name}?{query if '=' in query else query + '='}")
    for method in ("POST", "PATCH", "OPTIONS", "TRACE", "FOO"):
        send("method", method, f"{root}object")
