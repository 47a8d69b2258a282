"""HTTP without a client library's opinions: what was sent is what the caller wrote, what came back is bytes."""

import base64
import dataclasses
import http.client
import json
import urllib.parse

# What may differ between an answer of lakeFS and the same answer through the gateway: it is made anew for each request.
OF_EACH_REQUEST = frozenset({"date", "x-request-id"})
# What belongs to one connection (RFC 9110 7.6.1) and is set anew by each hop.
OF_EACH_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: tuple
    body: bytes

    def header(self, name):
        """The first header of this name, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)

    def comparable(self):
        """What must be equal through the gateway: status, body, and every header but those of one request or one hop."""
        kept = sorted((name.lower(), value) for name, value in self.headers if name.lower() not in OF_EACH_REQUEST | OF_EACH_HOP)
        return self.status, kept, self.body


def send(url, method, target, *, headers=None, body=None, timeout=60):
    """Sends one request with the target and the headers exactly as given, on a connection of its own."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
    try:
        headers = dict(headers or {})
        connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if body is not None or method in ("POST", "PUT", "PATCH"):
            headers.setdefault("Content-Length", str(len(body or b"")))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Answer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def basic(key, secret):
    """An Authorization header of a key pair."""
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


def bearer(token):
    """An Authorization header of a token."""
    return {"Authorization": f"Bearer {token}"}


def put_part(url, data):
    """Writes one part to its presigned URL, as a client does: no credentials, and the ETag comes back in a header."""
    address = urllib.parse.urlsplit(url)
    answer = send(f"{address.scheme}://{address.netloc}", "PUT", f"{address.path}?{address.query}", body=data)
    assert answer.status == 200, (answer.status, answer.body)
    return answer.header("ETag").strip('"')
