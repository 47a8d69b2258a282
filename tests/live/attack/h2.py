"""One HTTP/2 request over TLS, frame by frame and without a library that would correct it; the status that came back."""

import socket
import ssl
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
# HPACK's static table has these statuses; others come as three digits, in Huffman's code or plain.
STATIC = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
DIGITS = {"00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5", "011100": "6", "011101": "7", "011110": "8", "011111": "9"}


def _frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _length(value):
    if value < 127:
        return bytes([value])
    value, more = value - 127, [127]
    while value >= 128:
        more.append(value % 128 + 128)
        value //= 128
    return bytes([*more, value])


def _field(name, value):
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _status(block):
    while block and block[0] >> 5 == 1:  # a change of the table's size
        block = block[1:]
    if block[0] & 0x80:
        return STATIC.get(block[0] & 0x7F, 0)
    at = 1 if block[0] & 0x0F else 2 + block[1]
    length, huffman = block[at] & 0x7F, block[at] & 0x80
    text = block[at + 1 : at + 1 + length]
    if not huffman:
        return int(text)
    bits, digits, code = "".join(f"{byte:08b}" for byte in text), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            digits, code = digits + DIGITS[code], ""
    return int(digits)


def fire(address, fields, body=b"", *, end=True, patience=10.0):
    """Sends `fields` (pseudo-headers first, as bytes) and `body`; the status, or 0 where the stream or the connection was refused."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    deadline, raw = time.monotonic() + patience, b""
    block = b"".join(_field(name, value) for name, value in fields)
    pieces = [PREFACE, _frame(SETTINGS, 0, 0)]
    blocks = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    last = not body and end
    for number, piece in enumerate(blocks):
        flags = (0x4 if number == len(blocks) - 1 else 0) | (0x1 if number == 0 and last else 0)
        pieces.append(_frame(CONTINUATION if number else HEADERS, flags, 1, piece))
    for at in range(0, min(len(body), 60_000), 16_000):
        pieces.append(_frame(DATA, 0x1 if end and at + 16_000 >= len(body) else 0, 1, body[at : at + 16_000]))
    try:
        with socket.create_connection(address, timeout=patience) as plain, context.wrap_socket(plain) as link:
            link.sendall(b"".join(pieces))
            while time.monotonic() < deadline:
                link.settimeout(max(0.05, deadline - time.monotonic()))
                read = link.recv(1 << 16)
                if not read:
                    return 0
                raw += read
                while len(raw) >= 9:
                    size, kind, stream = int.from_bytes(raw[:3]), raw[3], int.from_bytes(raw[5:9]) & 0x7FFFFFFF
                    if len(raw) < 9 + size:
                        break
                    payload, raw = raw[9 : 9 + size], raw[9 + size :]
                    if kind == HEADERS and stream == 1:
                        return _status(payload)
                    if kind == GOAWAY or (kind == RST and stream == 1):
                        return 0
    except OSError:
        pass
    return 0
