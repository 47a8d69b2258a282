#!/usr/bin/env python3
"""What HTTP/2 to lakeFS costs beside HTTP/1.1: the gateway's CPU time a small GET, and large objects up and down.

    upstream.py [--requests 4000] [--rounds 5] [SIZE_IN_MIB]...        1024 unless told

`tests/compare/run upstream` starts it. LAKEFS_BIN names a lakeFS, which is started with TLS; both gateways speak TLS to it. They take
turns, so that a busy machine is as busy for the one as for the other.
"""

import argparse
import asyncio
import base64
import json
import os
import pathlib
import secrets
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
import wire  # noqa: E402
from big import curl  # noqa: E402
from place import Place  # noqa: E402
from suites.bodies import Content, Memory  # noqa: E402

CONNECTIONS = 16
TICKS = os.sysconf("SC_CLK_TCK")


def cpu(process):
    """Seconds of CPU that a process has used, user and system (proc(5))."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def ask(port, request, count):
    """So many requests, one after the other on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
    writer.close()


def small(gateway, request, count):
    """CPU time of the gateway for one request, in microseconds, and requests a second."""

    async def all_of_them():
        await asyncio.gather(*(ask(gateway.port, request, count // CONNECTIONS) for _ in range(CONNECTIONS)))

    used, started = cpu(gateway.child.pid), time.monotonic()
    asyncio.run(all_of_them())
    return (cpu(gateway.child.pid) - used) / count * 1e6, count / (time.monotonic() - started)


def large(gateway, key, secret, api, file, content, way):
    """Up and down: seconds, the gateway's CPU seconds, by how much its memory grew at most."""
    size, told = file.stat().st_size, []
    for direction, target, words in (
        ("up", f"branches/main/objects?path={size}-{way}", ["--request", "POST", "--header", "Content-Type: application/octet-stream", "--upload-file", str(file)]),
        ("down", f"refs/main/objects?path={size}-{way}", []),
    ):
        memory = Memory(gateway.child.pid)
        memory.begin()
        used, started = cpu(gateway.child.pid), time.monotonic()
        said, digest, body = curl("--http1.1", "--user", f"{key}:{secret}", *words, f"http://127.0.0.1:{gateway.port}{api}/{target}")
        seconds = time.monotonic() - started
        right = json.loads(body)["size_bytes"] == size if direction == "up" else digest == content.digest.hexdigest()
        assert right, said
        told.append(f"{direction} {seconds:.1f} s, CPU {cpu(gateway.child.pid) - used:.1f} s, memory {memory.before / 1024:.1f} MiB before, {memory.peak() / 1024:.1f} at most")
    return "; ".join(told)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("size", type=int, nargs="*", default=[1024])
    options = parser.parse_args()
    (compare.ROOT / "target/compare").mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="upstream-", dir=compare.ROOT / "target/compare"))
    authority, name, gateways = compare.Authority(folder), f"up{secrets.token_hex(3)}", {}
    behind = compare.Behind.with_tls(authority)
    api, basic = f"/api/v1/repositories/{name}", "Basic " + base64.b64encode(f"{behind.key}:{behind.secret}".encode()).decode()
    try:
        for way, http2 in (("HTTP/1.1", False), ("HTTP/2", True)):
            (folder / way[-1]).mkdir()
            gateways[way] = compare.Gateway("upstream", behind.url, behind.key, behind.secret, folder / way[-1], authority=authority, http2=http2)
        place = Place(behind.url, behind.address, name, *behind.environment, folder, None)
        for method, target, body, kind in (
            ("POST", "/api/v1/repositories", json.dumps({"name": name, "storage_namespace": place.namespace}).encode(), "application/json"),
            ("POST", f"{api}/branches/main/objects?path=small", b"x" * 1024, "application/octet-stream"),
        ):
            made = wire.request(place, method, target, {"Authorization": basic, "Content-Type": kind}, body)
            assert made.status.startswith("201"), made
        request = f"GET {api}/refs/main/objects?path=small HTTP/1.1\r\nHost: lakefs.example\r\nAuthorization: {basic}\r\n\r\n".encode()
        seen = {way: [] for way in gateways}
        for number in range(options.rounds + 1):
            for way, gateway in gateways.items():
                told = small(gateway, request, options.requests)
                if number:  # the first round opens connections
                    seen[way].append(told)
        for way, rounds in seen.items():
            print(f"GET of 1 KiB, lakeFS by {way:8}: {statistics.median(used for used, _ in rounds):.0f} us of CPU a request, {statistics.median(rate for _, rate in rounds):.0f} requests a second (medians of {options.rounds} times {options.requests}, {CONNECTIONS} clients)")
        ratio = statistics.median(two / one for (one, _), (two, _) in zip(*seen.values()))
        print(f"HTTP/2 over HTTP/1.1, CPU a request: {ratio:.2f}")
        for size in options.size:
            content, file = Content(size), folder / "content"
            with file.open("wb") as out:
                out.writelines(content.pieces())
            for way, gateway in gateways.items():
                print(f"{size} MiB, lakeFS by {way:8}: {large(gateway, behind.key, behind.secret, api, file, content, way[-1])}", flush=True)
    finally:
        for gateway in gateways.values():
            gateway.stop()
        behind.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
