"""boto3 on lakeFS's S3 gateway, through lakegate: signatures arrive unbroken, whatever the way to a bearer."""

import boto3
import botocore.config
import botocore.exceptions
import pytest


@pytest.fixture(autouse=True)
def _has_an_s3_gateway(back):
    if back.scripted:
        pytest.skip("sandbox: it has no S3 gateway")


def s3(url, key, secret):
    style = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1", config=style)


@pytest.mark.parametrize("key", ["plain", "dir a/ü+&=?#%.txt", "a//b/../c", "%41+%2B"])
def test_an_object_goes_in_and_out_under_its_own_key(front, back, repository, key):
    client = s3(front.url, back.access_key, back.secret_key)
    client.put_object(Bucket=repository, Key=f"work/{front.upstream}/{key}", Body=key.encode() * 1000)
    assert client.get_object(Bucket=repository, Key=f"work/{front.upstream}/{key}")["Body"].read() == key.encode() * 1000
    assert bytes(back.admin().objects.get_object(repository, "work", f"{front.upstream}/{key}")) == key.encode() * 1000


def test_a_multipart_upload_by_s3(front, back, repository):
    client, key, parts = s3(front.url, back.access_key, back.secret_key), f"work/{front.upstream}/parts", [b"a" * 5_242_880, b"end"]
    upload = client.create_multipart_upload(Bucket=repository, Key=key)["UploadId"]
    sent = [
        {"PartNumber": n, "ETag": client.upload_part(Bucket=repository, Key=key, UploadId=upload, PartNumber=n, Body=part)["ETag"]} for n, part in enumerate(parts, 1)
    ]
    client.complete_multipart_upload(Bucket=repository, Key=key, UploadId=upload, MultipartUpload={"Parts": sent})
    assert client.get_object(Bucket=repository, Key=key)["Body"].read() == b"".join(parts)


def test_a_wrong_secret_is_refused_by_lakefs_itself(front, back, repository):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        s3(front.url, back.access_key, "wrong").get_object(Bucket=repository, Key="work/a")
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
