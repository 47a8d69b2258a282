"""What reaches lakeFS is what the client sent: target, Host and headers, but for credentials, hop-by-hop and forwarded headers."""

import pytest
from support import raw

pytestmark = [pytest.mark.gateway, pytest.mark.scripted]

QUERIES = [
    "path=dir%20a/%C3%BC%2B%26%3D%3F%23%25.txt",
    "path=d%2Fx+y",
    "path=p//q/../z",
    "path=a%2F..%2Fb&empty=&flag&flag",
    "path=%2e%2e%2fx&a=%zz",
    "path=semi;colon&x=1;y=2",
    "path=%e4%bd%a0&lower=%2f&upper=%2F",
    "path=plus+and%2Bplus&last=",
    "path=" + "long" * 2000,
]


def arrived(back, mark):
    """The request that carried this mark."""
    return next(request for request in reversed(back.received("statObject")) if request["headers"].get("x-mark") == mark)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_target_arrives_byte_for_byte(front, back, repository, query):
    target = f"/api/v1/repositories/{repository}/refs/work~1/objects/stat?{query}"
    raw.send(front.url, "GET", target, headers=raw.basic(back.access_key, back.secret_key) | {"X-Mark": query[-20:]})
    assert arrived(back, query[-20:])["target"] == target


@pytest.mark.parametrize("reference", ["work%5E1", "work~1", "work%40", "a%2Fb%25c", "main%2B", "%C3%BC"])
def test_a_reference_of_a_read_keeps_its_encoding(front, back, repository, reference):
    target = f"/api/v1/repositories/{repository}/refs/{reference}/objects/stat?path=a"
    raw.send(front.url, "GET", target, headers=raw.basic(back.access_key, back.secret_key) | {"X-Mark": reference})
    assert arrived(back, reference)["target"] == target


def test_headers_arrive_as_sent_but_for_those_of_the_hop(front, back, repository):
    kept = {
        "Host": "lakefs.example.com:8443",
        "User-Agent": "lakefs-python-sdk/1.88.0",
        "X-Lakefs-Client": "python-lakefs",
        "x-lakefs-meta-k": "v ; odd,  spacing",
        "If-None-Match": '"abc"',
        "Range": "bytes=0-1",
        "Accept": "application/json",
        "X-Mark": "headers",
    }
    ended = {
        "Connection": "X-Hop, keep-alive",
        "X-Hop": "1",
        "Keep-Alive": "timeout=5",
        "Proxy-Authorization": "Basic eDp5",
        "TE": "gzip",
        "Upgrade": "h2c",
    }
    claimed = {"X-Forwarded-For": "10.9.9.9", "X-Real-IP": "10.9.9.9", "X-Forwarded-Proto": "https"}
    target = f"/api/v1/repositories/{repository}/refs/work/objects/stat?path=a"
    raw.send(front.url, "GET", target, headers=raw.basic(back.access_key, back.secret_key) | kept | ended | claimed)
    seen = arrived(back, "headers")["headers"]
    assert {name: seen.get(name.lower()) for name in kept} == kept
    assert not {name.lower() for name in ended} & set(seen)
    assert "10.9.9.9" not in str(seen) and seen["x-forwarded-for"] == "127.0.0.1"
