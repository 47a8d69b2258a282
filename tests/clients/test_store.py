"""boto3 and signed requests by hand on a plain S3 store that verifies signatures itself: direct, and through the gateway, the same.

The store stands where lakeFS would, so that nothing but the gateway can be the reason of a difference, and CI needs no lakeFS.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import io
import itertools
import socket
import ssl
import urllib.parse
import zlib

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from support import process, store, world

pytestmark = pytest.mark.gateway

# How a client comes in, to the store as to the gateway: buckets in the path or in the host, by TLS.
DOORS = ("path", "virtual", "tls")
KEYS = (
    "plain", "a b", "a+b", "a%2Fb", "a%b", "%41+%2B", "d//e", "d/./e", "d/../e", "ü/日本", "u\u0308", "q?x=1&y=2", "h#x", "s;t", "quote'\"", "tilde~", "star*(1)!", "x" * 200,
)  # fmt: skip
# What is made anew for each answer, or belongs to one hop.
MADE_ANEW = {"RequestId", "HostId", "RetryAttempts", "LastModified", "UploadId", "CreationDate", "Initiated", "date", "last-modified", "x-amz-request-id", "x-request-id", "x-amz-id-2", "connection", "keep-alive", "transfer-encoding"}  # fmt: skip
PART = 5 << 20
NUMBERS = itertools.count(1000)


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """The store, as if it were lakeFS."""
    if not store.binary():
        pytest.skip("the S3 store: SeaweedFS is installed beside the newest SDK only")
    running = store.Store(tmp_path_factory.mktemp("store"))
    try:
        # It takes buckets a moment after it takes connections, and objects a moment later.
        process.wait_for(lambda: made(client(running.url, "path"), "ready"), "the store to take an object", 60)
        found = world.Back("store", running.url, store.KEY, store.SECRET, "none", "none")
        found.tls_url = running.tls_url
        yield found
    finally:
        running.stop()


@pytest.fixture(scope="module")
def gateway(backend, tmp_path_factory):
    """A gateway before it, by HTTP and by TLS, that leaves every credential as it came."""
    plain, tls = process.free_ports(2)
    certificate = {"certificate": str(store.TLS / "server.pem"), "key": f"${{file:{store.TLS / 'server.key'}}}"}
    listen = [f"127.0.0.1:{plain}", {"address": f"127.0.0.1:{tls}", "tls": {"certificates": [certificate]}}]
    # A store is no lakeFS: the gateway never calls itself ready.
    running = world.Gateway("gateway-store", backend, tmp_path_factory.mktemp("gateway"), "passthrough", "livez", listen=listen, upstream__s3_domains=[store.DOMAIN])
    running.url, running.tls_url = f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"
    yield running
    assert running.stop() == 0
    assert backend.secret_key not in running.log()


def client(url, door, **config):
    """boto3 for one of the doors."""
    if door == "virtual":
        url = url.replace("127.0.0.1", store.DOMAIN)
    config = botocore.config.Config(s3={"addressing_style": "virtual" if door == "virtual" else "path"}, signature_version="s3v4", retries={"total_max_attempts": 1}, **config)
    return boto3.client("s3", endpoint_url=url, verify=str(store.TLS / "ca.pem"), aws_access_key_id=store.KEY, aws_secret_access_key=store.SECRET, region_name="us-east-1", config=config)


def made(s3, bucket):
    """Whether the store made the bucket and takes objects in it."""
    try:
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="probe", Body=b"up")
        s3.delete_object(Bucket=bucket, Key="probe")
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        return False
    return True


@pytest.fixture(autouse=True)
def _names_are_here(monkeypatch):
    """The store's domain and what is below it are this machine: no hosts file is needed."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **named: real("127.0.0.1" if str(host).endswith(store.DOMAIN) else host, *rest, **named))


class Run:
    """One run of a test, on a bucket of its own: what its client saw, step by step."""

    def __init__(self, url, door, bucket, **config):
        self.s3, self.bucket, self.seen = client(url, door, **config), bucket, []

    def note(self, label, told):
        self.seen.append((label, comparable(told, self.bucket)))
        return told

    def call(self, method, **named):
        """A call on the bucket; an error is an answer too."""
        label = f"{method} { {name: value for name, value in named.items() if name not in ('Body', 'UploadId')} }"
        try:
            answer = getattr(self.s3, method)(Bucket=self.bucket, **named)
        except botocore.exceptions.ClientError as error:
            answer = error.response
        if "Body" in answer:
            answer = {**answer, "Body": answer["Body"].read()}
        return self.note(label, answer)


def comparable(told, bucket):
    """An answer without what is made anew."""
    if isinstance(told, dict):
        # A length that is the body's own says nothing that the body does not, and times are not all equally long.
        return {name: comparable(value, bucket) for name, value in told.items() if name not in MADE_ANEW and name != "content-length"}
    if isinstance(told, (list, tuple)):
        return [comparable(each, bucket) for each in told]
    return told.replace(bucket, "BUCKET") if isinstance(told, str) else told


@pytest.fixture
def both(backend, gateway):
    """Runs a walk at the store itself and through the gateway, and compares what the two clients saw."""

    def run(door, walk, **config):
        number, runs = next(NUMBERS), []
        for way, behind in (("d", backend), ("t", gateway)):
            bucket = f"bucket-{way}-{number}"
            assert made(client(backend.url, "path"), bucket)
            runs.append(Run(behind.tls_url if door == "tls" else behind.url, door, bucket, **config))
            walk(runs[-1])
        direct, through = (each.seen for each in runs)
        assert direct and [label.replace(runs[0].bucket, "") for label, _ in direct] == [label.replace(runs[1].bucket, "") for label, _ in through]
        for (label, one), (_, other) in zip(direct, through, strict=True):
            assert one == other, label
        return runs[1]

    return run


@pytest.mark.parametrize("door", DOORS)
def test_an_object_of_any_key_is_put_read_copied_listed_and_deleted_the_same(both, door):
    stored = {}

    def walk(run):
        for key in KEYS:
            run.call("put_object", Key=key, Body=key.encode() * 3, Metadata={"name": "value, with  spaces"}, ContentType="text/odd; x=y")
            if (run.call("get_object", Key=key).get("Body")) == key.encode() * 3:
                stored[key] = run
            run.call("head_object", Key=key)
            run.call("copy_object", Key=f"{key}-copy", CopySource={"Bucket": run.bucket, "Key": key})
            run.call("get_object", Key=f"{key}-copy")
        for listing, after in (("list_objects", "Marker"), ("list_objects_v2", "StartAfter")):
            for named in ({}, {"Delimiter": "/"}, {"Prefix": "d/", "MaxKeys": 1}, {"Prefix": "ü"}, {"EncodingType": "url", after: "d"}):
                run.call(listing, **named)
        pages = run.s3.get_paginator("list_objects_v2").paginate(Bucket=run.bucket, PaginationConfig={"PageSize": 7})
        run.note("pages", [each["Key"] for page in pages for each in page.get("Contents", ())])
        for key in KEYS[:3]:
            run.call("delete_object", Key=key)
            assert run.call("get_object", Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 404
        run.call("delete_objects", Delete={"Objects": [{"Key": key} for key in KEYS[3:]]})
        run.call("list_objects_v2")

    through = both(door, walk)
    # The store has a reading of its own of dots and slashes; every other key is its own.
    assert set(KEYS) - {key for key, run in stored.items() if run is through} <= {"d//e", "d/./e", "d/../e"}


@pytest.mark.parametrize("door", DOORS)
def test_ranges_and_conditions_are_answered_the_same(both, door):
    def walk(run):
        etag = run.call("put_object", Key="o", Body=b"0123456789")["ETag"]
        assert run.call("get_object", Key="o", Range="bytes=2-4")["Body"] == b"234"
        for span in ("bytes=-3", "bytes=5-", "bytes=900-", "bytes=0-0"):
            run.call("get_object", Key="o", Range=span)
        assert run.call("get_object", Key="o", IfNoneMatch=etag)["ResponseMetadata"]["HTTPStatusCode"] == 304
        assert run.call("get_object", Key="o", IfMatch='"x"')["ResponseMetadata"]["HTTPStatusCode"] == 412
        for condition in ({"IfMatch": etag}, {"IfNoneMatch": '"x"'}, {"IfModifiedSince": datetime.datetime(2090, 1, 1)}, {"IfUnmodifiedSince": datetime.datetime(2015, 1, 1)}):
            run.call("get_object", Key="o", **condition)
            run.call("head_object", Key="o", **condition)
        run.call("put_object", Key="o", Body=b"again", IfNoneMatch="*")
        run.call("put_object", Key="new", Body=b"new", IfNoneMatch="*")
        run.call("get_object", Key="none")
        run.call("head_object", Key="none")

    both(door, walk)


@pytest.mark.parametrize("door", DOORS)
def test_a_multipart_upload_is_made_whole_listed_and_aborted_the_same(both, door):
    big = bytes(range(256)) * (24 << 10)

    def walk(run):
        transfer = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)
        run.s3.upload_fileobj(io.BytesIO(big), run.bucket, "dir a/big+", Config=transfer)
        back = io.BytesIO()
        run.s3.download_fileobj(run.bucket, "dir a/big+", back, Config=transfer)
        assert back.getvalue() == big
        run.call("head_object", Key="dir a/big+")
        upload = {"Key": "gone", "UploadId": run.call("create_multipart_upload", Key="gone")["UploadId"]}
        run.call("upload_part", PartNumber=1, Body=b"part", **upload)
        run.call("upload_part_copy", PartNumber=2, CopySource={"Bucket": run.bucket, "Key": "dir a/big+"}, CopySourceRange="bytes=0-99", **upload)
        parts = run.call("list_parts", **upload)["Parts"]
        assert [part["Size"] for part in parts] == [4, 100]
        run.call("complete_multipart_upload", MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"0"'}]}, **upload)
        run.call("abort_multipart_upload", **upload)
        run.call("upload_part", PartNumber=1, Body=b"late", **upload)

    both(door, walk)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("when", ["when_supported", "when_required"])
def test_checksums_go_through_in_headers_and_in_trailers(both, door, when):
    # boto3 puts the checksum in the trailer of an aws-chunked body where it speaks TLS, and in a header where it does not.
    def walk(run):
        for algorithm in ("CRC32", "SHA1", "SHA256"):
            run.call("put_object", Key=algorithm, Body=io.BytesIO(b"s" * 200_000), ChecksumAlgorithm=algorithm)
            assert run.call("get_object", Key=algorithm, ChecksumMode="ENABLED")["Body"] == b"s" * 200_000
        run.call("put_object", Key="empty", Body=b"")
        run.call("put_object", Key="default", Body=io.BytesIO(b"d" * 70_000))
        run.call("get_object", Key="default")

    both(door, walk, request_checksum_calculation=when, response_checksum_validation=when)


@pytest.mark.parametrize("door", DOORS)
def test_a_presigned_url_opens_what_it_was_signed_for_and_nothing_else(both, door):
    def walk(run):
        run.call("put_object", Key="a b+ü", Body=b"content")
        for method, verb, body, expected in (("get_object", "GET", None, b"content"), ("head_object", "HEAD", None, b""), ("put_object", "PUT", b"presigned", b"")):
            url = run.s3.generate_presigned_url(method, Params={"Bucket": run.bucket, "Key": "a b+ü" if body is None else "signed +"})
            status, read = plain(verb, url, body)
            assert (status, read) == (200, expected)
            run.note(f"presigned {verb}", (status, read))
            run.note(f"presigned {verb}, spoilt", plain(verb, url.replace("Signature=", "Signature=0"), body)[0])
            run.note(f"presigned {verb}, by another method", plain("DELETE", url, None)[0])
        assert run.call("get_object", Key="signed +")["Body"] == b"presigned"
        assert {told for label, told in run.seen if "spoilt" in label or "another" in label} == {403}

    both(door, walk)


def test_a_wrong_secret_is_the_stores_to_refuse(gateway):
    other = botocore.config.Config(retries={"total_max_attempts": 1})
    wrong = boto3.client("s3", endpoint_url=gateway.url, aws_access_key_id=store.KEY, aws_secret_access_key="wrong", region_name="us-east-1", config=other)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        wrong.list_objects_v2(Bucket="ready")
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


CRC = base64.b64encode(zlib.crc32(b"data" * 5000).to_bytes(4)).decode()
TRAILED = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "20000", "X-Amz-Trailer": "x-amz-checksum-crc32"}


# (The 500 is SeaweedFS's own answer to a chunk whose signature is wrong; lakeFS says 403.)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(
    ("kind", "status"), [("trailer", 200), ("wrong trailer", 400), ("signed chunks", 200), ("a tampered chunk", 500), ("unsigned", 200)]
)
def test_a_body_in_aws_chunks_arrives_as_it_was_signed(backend, gateway, kind, status, framing):
    data, target = b"data" * 5000, "/ready/dir%20a/%2B%C3%BC"
    answers = []
    for url in (backend.url, gateway.url):
        signer = Signer("STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if "chunk" in kind else "STREAMING-UNSIGNED-PAYLOAD-TRAILER" if "trailer" in kind else "UNSIGNED-PAYLOAD")
        headers = signer.headers("PUT", url, target, TRAILED if "trailer" in kind else {name: TRAILED[name] for name in list(TRAILED)[:2]} if "chunk" in kind else {})
        body = {
            "trailer": unsigned_chunks(data, CRC), "wrong trailer": unsigned_chunks(data, "AAAAAA=="), "signed chunks": signer.chunks(data), "a tampered chunk": signer.chunks(data).replace(b"data", b"daty", 1),
            "unsigned": data,
        }[kind]  # fmt: skip
        answers.append(sent("PUT", url, target, headers, body, framing == "chunked"))
        if status == 200:
            reader = Signer(hashlib.sha256(b"").hexdigest())
            assert sent("GET", url, target, reader.headers("GET", url, target, {}), b"", False) == (200, None, data)
    direct, through = answers
    assert through == direct
    assert framing == "chunked" or through[0] == status


class Signer(botocore.auth.S3SigV4Auth):
    """Signs a request exactly as its target is spelt, with the payload's hash as told, and then its chunks."""

    def __init__(self, sha256):
        super().__init__(botocore.credentials.Credentials(store.KEY, store.SECRET), "s3", "us-east-1")
        self.sha256 = sha256

    def headers(self, method, url, target, more):
        """The header lines of the signed request."""
        request = botocore.awsrequest.AWSRequest(method=method, url=f"{url}{target}", headers={"Host": urllib.parse.urlsplit(url).netloc, **more})
        request.headers["X-Amz-Content-SHA256"] = self.sha256
        self.add_auth(request)
        self.last = request.headers["Authorization"].rpartition("=")[2]
        self.time = request.context["timestamp"]
        return dict(request.headers.items())

    def payload(self, request):
        return self.sha256

    def _normalize_url_path(self, path):
        return path

    def chunks(self, data, size=8192):
        """The body in signed chunks, each signature resting on the one before it."""
        scope = f"{self.time[:8]}/us-east-1/s3/aws4_request"
        key = f"AWS4{store.SECRET}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        last, body = self.last, b""
        for start in range(0, len(data) + size, size):
            chunk = data[start : start + size]
            text = "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", self.time, scope, last, hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()))
            last = hmac.digest(key, text.encode(), "sha256").hex()
            body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), last.encode(), chunk)
        return body


def unsigned_chunks(data, checksum):
    """The body in chunks, with a checksum in its trailer."""
    half = len(data) // 2
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (data[:half], data[half:]))
    return pieces + f"0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()


def sent(method, url, target, headers, body, chunked):
    """Status, S3's error code and body of the answer to one request, in the framing that is told."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    pieces = iter([body[:9000], body[9000:]]) if chunked else body
    framing = {"Transfer-Encoding": "chunked"} if chunked else {}
    connection.request(method, target, pieces or None, headers | framing, encode_chunked=chunked)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    code = read.partition(b"<Code>")[2].partition(b"</Code>")[0].decode() or None
    return answer.status, code, b"" if code else read


def plain(method, url, data):
    """Opens a presigned address with nothing but HTTP."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=60, context=ssl.create_default_context(cafile=store.TLS / "ca.pem"))
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", data)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, read if answer.status == 200 else b""
