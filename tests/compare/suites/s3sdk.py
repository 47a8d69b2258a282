"""boto3: the S3 endpoint by path and by virtual host, checksums in trailers, multipart, conditions, keys of every kind."""

import contextlib
import http.client
import io
import socket
import urllib.parse

import boto3
import lakefs
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from lakefs.client import Client
from place import S3_DOMAIN

KEYS = ("plain", "a b", "a+b", "a%2Fb", "a%b", "d//e", "d/./e", "d/../e", "./x", "../x", "/x", "ü/日本", "q?x=1&y=2", "h#x", "s;t", "quote'\"", "tilde~", "star*(1)!", "tail/", "new\nline", "x" * 500)
OWN = ("ResponseMetadata", "LastModified", "Date")


@contextlib.contextmanager
def names_at(domain, address):
    """Within, the domain and what is below it are this machine: no hosts file is needed."""
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **named: real(address if str(host).endswith(domain) else host, *rest, **named)
    try:
        yield
    finally:
        socket.getaddrinfo = real


def told(answer):
    """What of an answer its user sees."""
    if not isinstance(answer, dict):
        return answer
    return {name: value.read() if hasattr(value, "read") else value for name, value in sorted(answer.items()) if name not in OWN}


def run(place):
    lakefs.Repository(place.name, client=Client(host=place.url, username=place.key, password=place.secret)).create(storage_namespace=place.namespace)
    for style, url in (("path", place.url), ("virtual", place.url.replace("127.0.0.1", S3_DOMAIN))):
        for checksums in ("when_supported", "when_required"):
            config = Config(s3={"addressing_style": style}, retries={"total_max_attempts": 1}, request_checksum_calculation=checksums, response_checksum_validation=checksums)
            s3 = boto3.client("s3", endpoint_url=url, aws_access_key_id=place.key, aws_secret_access_key=place.secret, region_name="us-east-1", config=config)
            with names_at(S3_DOMAIN, "127.0.0.1"):
                use(place, s3, f"{style}, {checksums}", f"main/{style}-{checksums[5:8]}")
    older = boto3.client("s3", endpoint_url=place.url, aws_access_key_id=place.key, aws_secret_access_key=place.secret, region_name="us-east-1", config=Config(signature_version="s3"))
    place.attempt("signature version 2", lambda: told(older.list_objects(Bucket=place.name, Prefix="main/", Delimiter="/")))


def use(place, s3, how, below):
    def call(method, **named):
        label = f"{how}: {method} {named.get('Key', named.get('Prefix', ''))!r} {sorted(named)}"
        return place.attempt(label, lambda: told(getattr(s3, method)(Bucket=place.name, **named)))

    for key in KEYS:
        key = f"{below}/{key}"
        call("put_object", Key=key, Body=key.encode(), Metadata={"name": "value"})
        call("get_object", Key=key)
        call("head_object", Key=key)
        call("copy_object", Key=f"{key}-copy", CopySource={"Bucket": place.name, "Key": key})
    key = f"{below}/plain"
    place.attempt(f"{how}: buckets", lambda: place.name in [each["Name"] for each in s3.list_buckets()["Buckets"]])
    call("head_bucket")
    call("get_bucket_location")
    call("get_bucket_versioning")
    call("get_object_acl", Key=key)
    for span in ("bytes=0-3", "bytes=-3", "bytes=5-", "bytes=900-"):
        call("get_object", Key=key, Range=span)
    etag = (call("head_object", Key=key) or {}).get("ETag", "")
    for condition in ({"IfMatch": etag}, {"IfMatch": '"x"'}, {"IfNoneMatch": etag}, {"IfNoneMatch": '"x"'}):
        call("get_object", Key=key, **condition)
        call("head_object", Key=key, **condition)
    call("put_object", Key=key, Body=b"again", IfNoneMatch="*")
    call("put_object", Key=f"{key}-new", Body=b"new", IfNoneMatch="*")
    call("put_object", Key=f"{key}-crc", Body=b"crc", ChecksumAlgorithm="CRC32")
    call("put_object", Key=f"{key}-sha", Body=b"sha", ChecksumAlgorithm="SHA256")
    call("put_object", Key=f"{key}-stream", Body=io.BytesIO(b"s" * 200_000))
    call("put_object", Key=f"{key}-empty", Body=b"")
    call("put_object", Key="none/x", Body=b"x")
    call("get_object", Key=f"{below}/none")
    call("get_object", Key="no-branch/none")
    for listing, after in (("list_objects", "Marker"), ("list_objects_v2", "StartAfter")):
        call(listing, Prefix=f"{below}/")
        call(listing, Prefix=f"{below}/", Delimiter="/")
        call(listing, Prefix=f"{below}/", MaxKeys=2)
        call(listing, Prefix=f"{below}/", EncodingType="url", **{after: f"{below}/d"})
        call(listing, Prefix=f"{below}/ü")
        call(listing, Delimiter="/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.name, Prefix=f"{below}/", PaginationConfig={"PageSize": 7})
    place.attempt(f"{how}: pages", lambda: [each["Key"] for page in pages for each in page.get("Contents", ())])
    big = bytes(range(256)) * (6 << 12)
    one_by_one = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, use_threads=False)
    place.attempt(f"{how}: multipart", lambda: s3.upload_fileobj(io.BytesIO(big), place.name, f"{below}/big", Config=one_by_one))
    back = io.BytesIO()
    place.attempt(f"{how}: multipart back", lambda: s3.download_fileobj(place.name, f"{below}/big", back, Config=one_by_one))
    place.say(f"{how}: multipart equal", back.getvalue() == big)
    made = call("create_multipart_upload", Key=f"{below}/gone")
    if made:
        call("upload_part", Key=f"{below}/gone", UploadId=made["UploadId"], PartNumber=1, Body=b"part")
        call("abort_multipart_upload", Key=f"{below}/gone", UploadId=made["UploadId"])
        call("complete_multipart_upload", Key=f"{below}/gone", UploadId=made["UploadId"], MultipartUpload={"Parts": []})
    call("list_multipart_uploads")
    for method, data in (("get_object", None), ("head_object", None), ("put_object", b"presigned +")):
        signed = s3.generate_presigned_url(method, Params={"Bucket": place.name, "Key": f"{below}/a b" if data is None else f"{below}/pre signed+"})
        place.attempt(f"{how}: presigned {method}", plain, {"get": "GET", "hea": "HEAD", "put": "PUT"}[method[:3]], signed, data)
        place.attempt(f"{how}: presigned {method}, spoilt", plain, {"get": "GET", "hea": "HEAD", "put": "PUT"}[method[:3]], signed.replace("Signature=", "Signature=0"), data)
    call("delete_object", Key=f"{below}/a+b")
    call("delete_object", Key=f"{below}/none")
    call("delete_objects", Delete={"Objects": [{"Key": f"{below}/{each}"} for each in ("a b", "d//e", "ü/日本", "none", "q?x=1&y=2", "s;t", "a%2Fb")]})
    call("delete_objects", Delete={"Quiet": True, "Objects": [{"Key": f"{below}/plain"}]})
    call("put_object_tagging", Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    place.attempt(f"{how}: create bucket", lambda: s3.create_bucket(Bucket="another-one"))
    place.attempt(f"{how}: no bucket", lambda: told(s3.list_objects_v2(Bucket="none-such")))


def plain(method, url, data):
    """Opens a presigned address with nothing but HTTP."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", data)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, read
