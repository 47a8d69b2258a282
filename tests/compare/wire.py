"""One request by plain sockets: what is sent is what the caller wrote, what comes back is bytes."""

import socket

import messages


def exchange(address, data, method="GET", timeout=60, then=None, half_close=False):
    """Sends bytes on a fresh connection, and reads one answer. `then` is called with the socket once the first bytes are out."""
    with socket.create_connection(address, timeout=timeout) as connection:
        got = bytearray()
        try:
            connection.sendall(data)
            if then:
                then(connection)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while True:
                answer, _ = messages.answer(got, 0, method)
                if answer.status not in ("no answer", "half a head") and answer.end == "complete":
                    return answer
                piece = connection.recv(1 << 18)
                if not piece:
                    return answer
                got += piece
        except ConnectionError:
            return messages.answer(got, 0, method)[0]
        except TimeoutError:
            return messages.Answer("silence", (), bytes(got))


def request(place, method, target, headers=None, body=b"", extra=None):
    """Sends one request whose header lines are as given, the later ones over the earlier ones; a length is added where one is due."""
    told = {}
    for name, value in {**(headers or {}), **(extra or {})}.items():
        told = {known: kept for known, kept in told.items() if known.lower() != name.lower()} | {name: value}
    lowered = {name.lower() for name in told}
    if "host" not in lowered:
        told = {"Host": "lakefs.example", **told}
    if not lowered & {"content-length", "transfer-encoding"} and (body or method in ("POST", "PUT", "PATCH")):
        told["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return exchange(place.address, f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body, method)
