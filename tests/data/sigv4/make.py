"""Writes botocore.json beside this file: requests signed by botocore, an implementation of Signature Version 4 that shares no code with
lakegate. Run it by hand when there is another kind of request to try: python3 make.py (needs PyPI's botocore)."""

import datetime
import json
import pathlib
from unittest import mock

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET = "LGKEXAMPLE0000000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
WHEN = datetime.datetime(2026, 11, 30, 12, 0, 0, tzinfo=datetime.timezone.utc)
HOST = "s3.local.lakefs.io:8000"
# As botocore's serializer writes them into URLs.
PATHS = {
    "plain": "/repo/main/a/b.txt",
    "space": "/repo/main/a%20b",
    "plus": "/repo/main/a%2Bb%3D%26%3F%23%25",
    "unreserved": "/repo/main/-._~",
    "reserved": "/repo/main/%21%2A%27%28%29%3B%3A%40%24%2C%5B%5D",
    "umlaut": "/repo/main/%C3%BC/%E2%82%AC/%F0%9F%A6%80",
    "not UTF-8": "/repo/main/%FF%FE",
    "slashes": "/repo/main//a///b/",
    "dots": "/repo/main/../a/./b",
    "root": "/",
    "bucket": "/repo",
    "bucket in the host": "/main/a",
}
QUERIES = {
    "none": {},
    "list": {"list-type": "2", "prefix": "main/a b/", "delimiter": "/", "max-keys": "3"},
    "empty": {"delete": ""},
    "odd": {"prefix": "main/ü+&=?#%/€", "Ab": "1", "AB": "2", "a-b": "3", "a": "4", "~": "-._~"},
    "part": {"partNumber": "1", "uploadId": "a/b+c=="},
}
BODIES = {"none": b"", "text": b"hello, world"}
HEADERS = {
    "none": {},
    "metadata": {"x-amz-meta-a": "  one   two  ", "X-Amz-Meta-B": "x", "Content-Type": "text/plain", "Range": "bytes=0-9"},
}


def split(request):
    """The request's target and headers, as they go over the wire."""
    target = request.url.split(HOST, 1)[1]
    headers = [("Host", request.url.split("/")[2])] + [(name, value) for name, value in request.headers.items() if name != "Host"]
    return target, headers


def sign(name, method, url, params, headers, body, auth):
    """One request, signed."""
    presigned = isinstance(auth, S3SigV4QueryAuth)
    request = AWSRequest(method=method, url=url, params=params, headers=headers, data=b"" if presigned else body)
    request.context.update({"payload_signing_enabled": True, "timestamp": WHEN.strftime("%Y%m%dT%H%M%SZ")})
    with mock.patch("botocore.auth.get_current_datetime", return_value=WHEN.replace(tzinfo=None)):
        auth.add_auth(request)
    prepared = request.prepare()
    target, lines = split(prepared)
    return {"name": name, "method": method, "target": target, "headers": lines, "body": body.decode()}


def main():
    credentials = Credentials(KEY, SECRET)
    made = []
    for path_name, path in PATHS.items():
        for query_name, query in QUERIES.items():
            for method, body_name, header_name in [("GET", "none", "none"), ("PUT", "text", "metadata")]:
                host = HOST if path_name != "bucket in the host" else f"repo.{HOST}"
                name = f"{method} {path_name}, query {query_name}"
                url = f"http://{host}{path}"
                for form, auth in [
                    ("header", S3SigV4Auth(credentials, "s3", "us-east-1")),
                    ("url", S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=3600)),
                ]:
                    if form == "url" and query:
                        url_query = "?" + "&".join(f"{quote(key)}={quote(value)}" for key, value in query.items())
                        call = (url + url_query, {})
                    else:
                        call = (url, query)
                    made.append(sign(f"{name}, by {form}", method, *call, dict(HEADERS[header_name]), BODIES[body_name], auth))
    out = pathlib.Path(__file__).parent / "botocore.json"
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in made)
    out.write_text(f'{{"key": "{KEY}", "secret": "{SECRET}", "now": {int(WHEN.timestamp())}, "requests": [\n{lines}\n]}}\n')
    print(len(made))


def quote(text):
    """As botocore."""
    from botocore.compat import quote as encode

    return encode(text, safe="-._~")


if __name__ == "__main__":
    main()
