"""HTTP/1.1 as bytes: cuts what was recorded into exchanges, and an answer into status, headers as they were written, body, trailers."""

import dataclasses
import re

HEAD_END = b"\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer as it came. `informational` are the status lines before it; `end` says how its body ended."""

    status: str
    headers: tuple
    body: bytes
    trailers: tuple = ()
    informational: tuple = ()
    end: str = "complete"

    def header(self, name):
        """The first header of this name, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


NOTHING = Answer("no answer", (), b"")


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A request by method and target (with its Range, which makes it another request), and the answer to it."""

    method: str
    target: str
    answer: Answer
    at: float = 0.0


class Cut(Exception):
    """The bytes end in the middle of a message."""


def _head(data, start):
    end = data.find(HEAD_END, start)
    if end < 0:
        raise Cut
    first, *lines = bytes(data[start:end]).decode("latin-1").split("\r\n")
    headers = tuple(tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    return first, headers, end + len(HEAD_END)


def _of(headers, name):
    return next((value for key, value in headers if key.lower() == name), None)


def _body(data, start, headers):
    """Body, trailers, and where the next message begins; None as body if only the connection's end ends it."""
    if "chunked" in (_of(headers, "transfer-encoding") or "").lower():
        body = bytearray()
        while True:
            line = data.find(b"\r\n", start)
            if line < 0:
                raise Cut
            size = int(bytes(data[start:line]).split(b";")[0], 16)
            start = line + 2
            if size == 0:
                end = start + 2 if data[start : start + 2] == b"\r\n" else data.find(HEAD_END, start) + 4
                if end < start + 2:
                    raise Cut
                lines = bytes(data[start : end - 2]).decode("latin-1").split("\r\n")
                return bytes(body), tuple(line for line in lines if line), end
            if len(data) < start + size + 2:
                raise Cut
            body += data[start : start + size]
            start += size + 2
    length = _of(headers, "content-length")
    if length is None:
        return None, (), start
    if len(data) < start + int(length):
        raise Cut
    return bytes(data[start : start + int(length)]), (), start + int(length)


def answer(data, start=0, method="GET"):
    """The answer that begins at `start`, and where the next one does."""
    informational = []
    while True:
        try:
            first, headers, start = _head(data, start)
        except Cut:
            return (NOTHING if start >= len(data) else Answer("half a head", (), bytes(data[start:]))), len(data)
        status = first.split(" ", 1)[-1]
        if not re.match(r"1\d\d", status) or status.startswith("101"):
            break
        informational.append(status)
    if method == "HEAD" or status[:3] in ("204", "304"):
        return Answer(status, headers, b"", (), tuple(informational)), start
    try:
        body, trailers, after = _body(data, start, headers)
    except (Cut, ValueError):
        return Answer(status, headers, bytes(data[start:]), (), tuple(informational), "cut"), len(data)
    if body is None:
        return Answer(status, headers, bytes(data[start:]), (), tuple(informational), "closed"), len(data)
    return Answer(status, headers, body, trailers, tuple(informational)), after


def exchanges(recorded):
    """The exchanges of one recorded connection, in their order."""
    sent, got = 0, 0
    while sent < len(recorded.sent):
        begin = sent
        try:
            first, headers, sent = _head(recorded.sent, sent)
            method, target, _ = first.split(" ", 2)
        except (Cut, ValueError):
            yield Exchange("unparsed", "", answer(recorded.got, got)[0], recorded.time_of(begin))
            return
        try:
            _, _, sent = _body(recorded.sent, sent, headers)
        except (Cut, ValueError):
            sent = len(recorded.sent)
        got_answer, got = answer(recorded.got, got, method)
        if span := _of(headers, "range"):
            target = f"{target} {span}"
        yield Exchange(method, target, got_answer, recorded.time_of(begin))
