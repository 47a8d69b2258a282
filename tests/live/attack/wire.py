"""Bytes to a server and what came back, over a raw socket: nothing here corrects what the attacker wrote."""

import dataclasses
import http.client
import json
import re
import select
import socket
import time

READ = 1 << 16


@dataclasses.dataclass
class Outcome:
    """What a server answered to one volley of bytes."""

    statuses: tuple = ()
    raw: bytes = b""
    # It closed, or said all it had to; False: nothing came though an answer was due.
    answered: bool = True
    seconds: float = 0.0

    @property
    def status(self):
        """The first status, or 0 for a connection closed without a word."""
        return self.statuses[0] if self.statuses else 0

    def header(self, name):
        """The first header of this name in the first answer."""
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*)", self.raw.partition(b"\r\n\r\n")[0])
        return found and found.group(1).decode("latin-1")


def _answer(raw, head_only):
    """The length and status of the answer at the start of `raw`; None while it is not complete, length None if it ends with the connection."""
    head, mark, _ = raw.partition(b"\r\n\r\n")
    if not mark:
        return None
    line = re.match(rb"HTTP/1\.\d (\d{3})", head)
    if not line:
        return (None, 0)
    status, begin = int(line.group(1)), len(head) + 4
    if head_only or status in (204, 304) or status < 200:
        return (begin, status)
    length = re.search(rb"(?im)^content-length:[ \t]*(\d+)", head)
    if length:
        end = begin + int(length.group(1))
        return (end, status) if len(raw) >= end else None
    if re.search(rb"(?im)^transfer-encoding:[ \t]*chunked", head):
        end = raw.find(b"0\r\n\r\n", begin)
        return (end + 5, status) if end >= 0 else None
    return (None, status)


def answers(raw, head_only=False):
    """The statuses in `raw` (interim ones left out), and whether it ends where an answer ends."""
    found = []
    while raw:
        answer = _answer(raw, head_only)
        if answer is None:
            line = re.match(rb"HTTP/1\.\d (\d{3})", raw)
            return found + ([int(line.group(1))] if line else []), False
        length, status = answer
        if status >= 200 or status == 0:
            found.append(status)
        if length is None:
            return found, False
        raw = raw[length:]
    return found, True


def fire(address, pieces, *, due=True, head_only=False, patience=10.0, idle=0.03):
    """Sends `pieces` and reads until the server closes or has answered and is quiet.

    `due` says whether an answer must come: of half a request none need come, and nobody waits long for it.
    """
    began = time.monotonic()
    raw, closed = b"", False
    try:
        link = socket.create_connection(address, timeout=patience)
    except OSError:
        return Outcome(answered=False)
    with link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                link.sendall(piece)
        except OSError:
            pass  # Refused before all was sent: the answer may be there to be read.
        deadline = time.monotonic() + (patience if due else 0.4)
        while not closed:
            _, whole = answers(raw, head_only)
            wait = idle if raw and whole else deadline - time.monotonic()
            if wait <= 0 or not select.select([link], [], [], wait)[0]:
                break
            try:
                read = link.recv(READ)
            except OSError:
                read = b""
            closed = not read
            raw += read
    statuses, _ = answers(raw, head_only)
    return Outcome(tuple(statuses), raw, bool(raw) or closed or not due, time.monotonic() - began)


class Api:
    """lakeFS's API on one kept connection, for preparing and for reading back."""

    def __init__(self, address, authorization):
        self._connection = http.client.HTTPConnection(*address, timeout=60)
        self._headers = {"Authorization": authorization}

    def call(self, method, path, body=None, expect=None, **headers):
        """The status and the body, as JSON where it is."""
        headers = {**self._headers, **headers}
        if isinstance(body, (dict, list)):
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        for attempt in (1, 2):
            try:
                self._connection.request(method, "/api/v1" + path, body=body, headers=headers)
                response = self._connection.getresponse()
                content = response.read()
                break
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if attempt == 2:
                    raise
        if expect is not None and response.status not in expect:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, content
