"""A presigned multipart upload's life with the real SDK: parts are really written to the store, and the object is read back."""

import hashlib

import lakefs_sdk
from support import calls, clients, raw
from support.calls import ABORT, COMPLETE, Call

# S3's smallest part but the last (5 MiB), and a last one of odd length.
PARTS = (bytes(range(256)) * 20_480, b"the last part may be short")


def test_an_object_in_parts_is_read_back_whole(front, scheme, back, repository):
    client, path = clients.client(front.url, scheme, back), f"dir a/{front.upstream}-{scheme}-ü+&=?#%.bin"
    upload = calls.create(client, repository, "work", path, parts=2).put(PARTS)
    status, body = Call.of(COMPLETE, upload, user_metadata={"k": "v"}).by_sdk(client)
    assert status == 200, body
    stats = client.objects.stat_object(repository, "work", path)
    assert (stats.size_bytes, stats.metadata, stats.path) == (sum(map(len, PARTS)), {"k": "v"}, path)
    read = client.objects.get_object(repository, "work", path)
    assert hashlib.sha256(read).digest() == hashlib.sha256(b"".join(PARTS)).digest()
    assert hashlib.sha256(back.admin().objects.get_object(repository, "work", path)).digest() == hashlib.sha256(b"".join(PARTS)).digest()


def test_an_aborted_upload_takes_no_more_parts(front, scheme, back, repository):
    client, path = clients.client(front.url, scheme, back), f"aborted/{front.upstream}-{scheme}"
    upload = calls.create(client, repository, "work", path, parts=2)
    assert Call.of(ABORT, upload).by_sdk(client) == (204, b"")
    address, _, target = upload.presigned_urls[0].partition("//")[2].partition("/")
    assert raw.send(f"http://{address}", "PUT", f"/{target}", body=b"late").status == 404
    assert clients.outcome(client.objects.stat_object_with_http_info, repository, "work", path)[0] == 404


def test_a_url_for_each_of_many_parts(front, back, repository):
    client = clients.client(front.url, "basic_auth", back)
    upload = calls.create(client, repository, "work", "many", parts=1000)
    assert len(set(upload.presigned_urls)) == 1000
    assert Call.of(ABORT, upload).by_sdk(client)[0] == 204


def test_an_upload_without_urls_gets_them_part_by_part(front, back, repository):
    client = clients.client(front.url, "basic_auth", back)
    upload = calls.create(client, repository, "work", "one by one", parts=0)
    assert upload.presigned_urls == ()
    url = client.experimental.upload_part(
        repository, "work", upload.upload_id, upload.path, 1, upload_part_from=lakefs_sdk.UploadPartFrom(physical_address=upload.physical_address)
    ).presigned_url
    etag = raw.put_part(url, b"alone")
    status, body = Call.of(COMPLETE, upload, etags=(etag,)).by_sdk(client)
    assert status == 200, body
    assert bytes(client.objects.get_object(repository, "work", upload.path)) == b"alone"
