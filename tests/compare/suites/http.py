"""HTTP itself: HEAD, conditions, ranges, redirects, `Expect`, trailers, framing, versions, odd targets."""

import base64
import json

import wire

HOST = "Host: lakefs.example\r\n"


def run(place):
    basic = "Basic " + base64.b64encode(f"{place.key}:{place.secret}".encode()).decode()
    auth = {"Authorization": basic}
    line = f"Authorization: {basic}\r\n"

    def send(label, method, target, headers=None, body=b""):
        answer = wire.request(place, method, target, {**auth, **(headers or {})}, body)
        place.note(label, answer)
        return answer

    def raw(label, text, method="GET", body=b"", **how):
        place.note(label, wire.exchange(place.address, text.encode("latin-1") + body, method, **how))

    def commits(label):
        """Commits of a fresh branch: what one request does must not be seen by the next."""
        branch = "".join(letter if letter.isalnum() else "-" for letter in label)
        wire.request(place, "POST", f"{repository}/branches", {**auth, **json_type}, json.dumps({"name": branch, "source": "main"}).encode())
        return f"{repository}/branches/{branch}/commits"

    json_type = {"Content-Type": "application/json"}
    repository = f"/api/v1/repositories/{place.name}"
    send("repository", "POST", "/api/v1/repositories", json_type, json.dumps({"name": place.name, "storage_namespace": place.namespace}).encode())
    upload = f"{repository}/branches/main/objects?path="
    send("upload", "POST", f"{upload}o", {"Content-Type": "text/odd"}, b"0123456789")
    # An entity tag and a time that the answers told.
    told = send("get", "GET", f"{repository}/refs/main/objects?path=o")
    etag, modified = told.header("ETag") or "", told.header("Last-Modified") or ""
    for method in ("GET", "HEAD"):
        for label, headers in (
            ("plain", {}), ("range", {"Range": "bytes=2-4"}), ("416", {"Range": "bytes=50-"}), ("304", {"If-None-Match": etag}), ("412", {"If-Match": '"x"'}), ("304 by time", {"If-Modified-Since": modified}),
            ("if-range", {"If-Range": etag, "Range": "bytes=0-1"}), ("if-range, other", {"If-Range": '"x"', "Range": "bytes=0-1"}), ("gzip", {"Accept-Encoding": "gzip, br"}), ("lines", {"X-Odd": "a, b", "x-ODD-2": "\xe9"}),
        ):  # fmt: skip
            send(f"{method} object: {label}", method, f"{repository}/refs/main/objects?path=o", headers)
        send(f"{method} redirect", method, f"{repository}/refs/main/objects?path=o&presign=true")
        for target in ("/", "/index.html", "/repositories", "/auth/login", "/assets/none.js", "/favicon.ico", "/openapi.json", "/_health", "/logout", "/api/v1/nope", "/api", "//", "/a//b/../c", "/%zz", "/?%zz", "/x?a#b", "*"):
            send(f"{method} {target}", method, target)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "foo"):
        send(f"{method} /", method, "/")
    send("OPTIONS *", "OPTIONS", "*")
    for label, method, target in (("delete", "DELETE", "branches/%2561t"), ("delete, encoded once", "DELETE", "branches/%61t"), ("merge", "POST", "refs/main/merge/%2561t"), ("read", "GET", "branches/%256Dain")):
        send(f"a branch encoded twice: {label}", method, f"{repository}/{target}", json_type, b"{}" if method == "POST" else b"")
    body = b'{"message":"m","allow_empty":true}'
    for label, more, data in (
        ("chunked", "Transfer-Encoding: chunked\r\n", b"5\r\n" + body[:5] + b"\r\n%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n"),
        ("chunked with extension and trailer", "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", b"%x;a=b\r\n" % len(body) + body + b"\r\n0\r\nX-T: v\r\n\r\n"),
        ("chunked, broken", "Transfer-Encoding: chunked\r\n", b"zz\r\n" + body + b"\r\n0\r\n\r\n"),
        ("both lengths", f"Transfer-Encoding: chunked\r\nContent-Length: {len(body)}\r\n", b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"),
        ("two lengths", f"Content-Length: {len(body)}\r\nContent-Length: 3\r\n", body), ("the same length twice", f"Content-Length: {len(body)}\r\nContent-Length: {len(body)}\r\n", body),
        ("length with sign", f"Content-Length: +{len(body)}\r\n", body), ("unknown coding", "Transfer-Encoding: gzip\r\n", body), ("expect", f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n", body),
        ("expect something else", f"Content-Length: {len(body)}\r\nExpect: x\r\n", body), ("space before colon", f"Content-Length : {len(body)}\r\n", body), ("folded", f"Content-Length: {len(body)}\r\nX-F: a\r\n b\r\n", body),
        ("gzip body", f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body),
    ):  # fmt: skip
        raw(f"commit, {label}", f"POST {commits(label)} HTTP/1.1\r\n{HOST}{line}Content-Type: application/json\r\n{more}\r\n", "POST", data)
    raw("commit, half a body", f"POST {commits('half')} HTTP/1.1\r\n{HOST}{line}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n", "POST", body, half_close=True)
    for label, more, data in (
        ("chunked", "Transfer-Encoding: chunked\r\n", b"4\r\ndata\r\n0\r\n\r\n"), ("chunked with trailer", "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", b"4\r\ndata\r\n0\r\nX-T: v\r\n\r\n"),
        ("expect", "Content-Length: 4\r\nExpect: 100-continue\r\n", b"data"), ("bad chunk in the middle", "Transfer-Encoding: chunked\r\n", b"4\r\ndata\r\nzz\r\n"),
        ("bad chunk after megabytes", "Transfer-Encoding: chunked\r\n", (b"10000\r\n" + bytes(65536) + b"\r\n") * 64 + b"0x0\r\n\r\n"), ("bad end of the last chunk", "Transfer-Encoding: chunked\r\n", b"4\r\ndata0\r\n\r\n"),
    ):  # fmt: skip
        raw(f"upload, {label}", f"POST {upload}u-{label.replace(' ', '-')} HTTP/1.1\r\n{HOST}{line}Content-Type: application/octet-stream\r\n{more}\r\n", "POST", data)
        send(f"upload, {label}, read", "GET", f"{repository}/refs/main/objects?path=u-{label.replace(' ', '-')}")
    for label, text in (
        ("HTTP/1.0", f"GET /api/v1/user HTTP/1.0\r\n{HOST}{line}\r\n"), ("HTTP/1.0 without host", f"GET /api/v1/user HTTP/1.0\r\n{line}\r\n"), ("HTTP/1.0 keep-alive", f"GET /api/v1/user HTTP/1.0\r\n{HOST}{line}Connection: keep-alive\r\n\r\n"),
        ("no host", f"GET /api/v1/user HTTP/1.1\r\n{line}\r\n"), ("two hosts", f"GET /api/v1/user HTTP/1.1\r\n{HOST}Host: b\r\n{line}\r\n"), ("empty host", f"GET /api/v1/user HTTP/1.1\r\nHost:\r\n{line}\r\n"), ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("version", f"GET / HTTP/3.1\r\n{HOST}\r\n"), ("bare LF", f"GET /api/v1/user HTTP/1.1\n{HOST.strip()}\n{line.strip()}\n\n"), ("absolute", f"GET http://x/api/v1/user HTTP/1.1\r\n{HOST}{line}\r\n"), ("no slash", f"GET api HTTP/1.1\r\n{HOST}\r\n"),
        ("upgrade", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), ("h2c", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"),
        ("close", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Connection: close\r\n\r\n"), ("nominated", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Connection: X-A\r\nX-A: b\r\n\r\n"), ("junk", "junk\r\n\r\n"), ("big header", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}X-B: {'b' * 30000}\r\n\r\n"),
        ("long target", f"GET /api/v1/user?{'x' * 20000} HTTP/1.1\r\n{HOST}{line}\r\n"), ("many headers", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}{''.join(f'X-{n}: {n}' + chr(13) + chr(10) for n in range(90))}\r\n"),
        ("two authorizations", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Authorization: Basic eDp5\r\n\r\n"), ("cookies", f"GET /api/v1/user HTTP/1.1\r\n{HOST}{line}Cookie: a=b\r\nCookie: c=d\r\n\r\n"),
    ):  # fmt: skip
        raw(label, text)
