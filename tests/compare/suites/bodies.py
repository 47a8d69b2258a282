"""Large objects up and down: checksums equal, and how much memory the gateway holds before, after, and at most.

`COMPARE_SIZES` names the sizes in MiB (64 unless told); 1024 and 5120 want that much room in the store.
"""

import base64
import hashlib
import http.client
import json
import os
import pathlib
import time

PIECE = 1 << 20


def run(place):
    auth = {"Authorization": "Basic " + base64.b64encode(f"{place.key}:{place.secret}".encode()).decode()}
    memory = Memory(place.process)

    def send(method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(*place.address, timeout=600)
        connection.request(method, target, body, {**auth, **(headers or {})}, encode_chunked=bool(headers and "Transfer-Encoding" in headers))
        return connection.getresponse()

    answer = send("POST", "/api/v1/repositories", json.dumps({"name": place.name, "storage_namespace": place.namespace}), {"Content-Type": "application/json"})
    place.say("repository", answer.status)
    for size in (int(each) for each in os.environ.get("COMPARE_SIZES", "64").split(",")):
        for way in ("length", "chunked") if size <= 64 else ("length",):
            content = Content(size)
            framing = {"Content-Length": str(size * PIECE)} if way == "length" else {"Transfer-Encoding": "chunked"}
            memory.begin()
            started = time.monotonic()
            answer = send("POST", f"/api/v1/repositories/{place.name}/branches/main/objects?path={size}-{way}", content.pieces(), {"Content-Type": "application/octet-stream", **framing})
            place.say(f"{size} MiB by {way}, up", (answer.status, json.loads(answer.read() or b"{}").get("size_bytes")))
            up = memory.end(f"{size} MiB by {way}, up", time.monotonic() - started)
            memory.begin()
            started = time.monotonic()
            answer, digest, length = send("GET", f"/api/v1/repositories/{place.name}/refs/main/objects?path={size}-{way}"), hashlib.sha256(), 0
            while piece := answer.read(PIECE):
                digest.update(piece)
                length += len(piece)
            place.say(f"{size} MiB by {way}, down", (answer.status, length, digest.digest() == content.digest.digest()))
            down = memory.end(f"{size} MiB by {way}, down", time.monotonic() - started)
            place.say(f"{size} MiB by {way}, memory grew by less than 16 MiB", up < 16 << 10 and down < 16 << 10)


class Content:
    """So many MiB, all different, with their checksum once they were read."""

    def __init__(self, size):
        self.size, self.digest = size, hashlib.sha256()

    def pieces(self):
        block = bytearray(hashlib.sha256(b"lakegate").digest() * (PIECE // 32))
        for number in range(self.size):
            block[:8] = number.to_bytes(8)
            piece = bytes(block)
            self.digest.update(piece)
            yield piece


class Memory:
    """Resident memory of a process in KiB, by Linux's own count; nothing without a process."""

    def __init__(self, process):
        self.process, self.before = process, 0

    def _read(self, name):
        if self.process is None:
            return 0
        text = pathlib.Path(f"/proc/{self.process}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1])

    def begin(self):
        if self.process is not None:
            pathlib.Path(f"/proc/{self.process}/clear_refs").write_text("5")  # the peak begins anew
        self.before = self._read("VmRSS")

    def peak(self):
        """The most that it held since the beginning."""
        return self._read("VmHWM")

    def end(self, what, seconds):
        """Prints what was seen, and returns by how much the peak was above the beginning."""
        if self.process is None:
            print(f"    direct, {what}: {seconds:.1f} s", flush=True)
            return 0
        peak, after = self.peak(), self._read("VmRSS")
        print(f"    through, {what}: {seconds:.1f} s; memory {self.before} KiB before, {peak} at most, {after} after", flush=True)
        return peak - self.before
