"""AWS's fourth signature, in headers and presigned, over a path as lakeFS reads it: decoded once, whatever was sent."""

import datetime
import hashlib
import hmac
import urllib.parse

SERVICE = "us-east-1/s3/aws4_request"


def _canonical(path):
    """lakeFS signs the decoded path, written anew."""
    return urllib.parse.quote(urllib.parse.unquote_to_bytes(path.encode("latin-1", "replace")), safe="/-_.~")


def _query(pairs):
    return "&".join(sorted(f"{urllib.parse.quote(name, safe='-_.~')}={urllib.parse.quote(value, safe='-_.~')}" for name, value in pairs))


def _signature(world, method, path, query, headers, names, digest, stamp):
    day = stamp[:8]
    canonical = "\n".join([method, _canonical(path), query, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names), digest])
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{day}/{SERVICE}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + world.secret).encode()
    for part in (day, *SERVICE.split("/")):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def headers(world, host, method, path, pairs=(), body=b"", more=()):
    """The headers that sign a request; `more` are signed too."""
    stamp, digest = _now(), hashlib.sha256(body).hexdigest()
    signed = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp, **{name.lower(): value for name, value in more}}
    names = sorted(signed)
    signature = _signature(world, method, path, _query(pairs), signed, names, digest, stamp)
    credential = f"{world.key}/{stamp[:8]}/{SERVICE}"
    return [f"X-Amz-Date: {stamp}", f"X-Amz-Content-Sha256: {digest}", *(f"{name}: {value}" for name, value in more),
            f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, Signature={signature}"]  # fmt: skip


def presigned(world, host, method, path, pairs=()):
    """The query that signs a request."""
    stamp = _now()
    pairs = [*pairs, ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{world.key}/{stamp[:8]}/{SERVICE}"), ("X-Amz-Date", stamp), ("X-Amz-Expires", "600"), ("X-Amz-SignedHeaders", "host")]
    query = _query(pairs)
    signature = _signature(world, method, path, query, {"host": host}, ["host"], "UNSIGNED-PAYLOAD", stamp)
    return f"{query}&X-Amz-Signature={signature}"
