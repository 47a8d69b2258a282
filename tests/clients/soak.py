"""A mixed load for some minutes, then a look at what stayed: memory, file descriptors, requests under way. `.ci/full` runs it.

    LAKEGATE_BIN=target/release/lakegate target/clients/1.88.0/bin/python tests/clients/soak.py [SECONDS]

Clients of every kind work on a few branches: uploads, commits, reads, multipart uploads completed, aborted and forgotten, refused hard
resets, wrong credentials, connections cut in the middle. Nobody may see a 420, 423 or 5xx, and 429 only a few of those who write objects while
others commit (src/limit/turn.rs); afterwards the gateway must be as it was.
"""

import collections
import concurrent.futures
import pathlib
import random
import re
import socket
import sys
import tempfile
import time
import urllib.request

import lakefs_sdk
from support import calls, clients, process, raw, world

THREADS = 24
WARM_UP = 10


def resources(gateway):
    """Resident memory in MiB and open file descriptors."""
    status = pathlib.Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024, len(list(pathlib.Path(f"/proc/{gateway.pid}/fd").iterdir()))


def metric(gateway, name):
    """One value of /metrics."""
    with urllib.request.urlopen(f"{gateway.admin_url}/metrics", timeout=10) as answer:
        return float(re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)[1])


def work(gateway, back, repository, number, until, statuses):
    """One client's life."""
    chance = random.Random(number)
    scheme = clients.SCHEMES[number % len(clients.SCHEMES)]
    client, headers = clients.client(gateway.url, scheme, back), clients.credential(scheme, back)[1]
    host, port = gateway.url.removeprefix("http://").split(":")
    count = 0
    while time.monotonic() < until:
        count += 1
        path, kind = f"{number}/{count}", chance.random()
        if kind < 0.3:
            outcome = clients.outcome(client.objects.list_objects_with_http_info, repository, "work", amount=5)
        elif kind < 0.55:
            sent = raw.send(gateway.url, "POST", f"/api/v1/repositories/{repository}/branches/work/objects?path={path}", headers=headers, body=b"x" * chance.randrange(100_000))
            outcome = sent.status, sent.body
        elif kind < 0.7:
            outcome = clients.outcome(client.commits.commit_with_http_info, repository, "work", lakefs_sdk.CommitCreation(message=path))
        elif kind < 0.85:
            upload = calls.create(client, repository, "work", path).put([b"y" * chance.randrange(100_000)])
            # One in three is forgotten.
            step = chance.choice((calls.COMPLETE, calls.ABORT, None))
            outcome = calls.Call.of(step, upload).by_sdk(client) if step else (201, b"")
        elif kind < 0.9:
            outcome = calls.Call(calls.HARD_RESET, repository, branch="main", ref="main", force=True).by_sdk(client)
        elif kind < 0.95:
            sent = raw.send(gateway.url, "GET", "/api/v1/repositories", headers=raw.bearer("a.b.c"))
            outcome = sent.status, sent.body
        else:
            with socket.create_connection((host, int(port))) as cut:
                head = f"POST /api/v1/repositories/{repository}/branches/work/objects?path=cut HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
                cut.sendall((head + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\nhalf").encode()[: chance.randrange(40, 2000)])
            outcome = 0, b""
        writes = 0.3 <= kind < 0.55 or 0.7 <= kind < 0.85
        statuses[outcome[0], writes] += 1
        if outcome[0] in (420, 423) or outcome[0] >= 500:
            print(f"client {number}: {outcome[0]} {outcome[1][:200]}", flush=True)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lakegate-soak-"))
    back, sandbox = world.start_sandbox(folder)
    gateway = world.Gateway("gateway", back, folder, "login", log__filter="info")
    try:
        repository, statuses = back.repository(), collections.Counter()

        def crowd(length):
            until = time.monotonic() + length
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                for done in [pool.submit(work, gateway, back, repository, number, until, statuses) for number in range(THREADS)]:
                    done.result()

        crowd(WARM_UP)
        before = resources(gateway)
        crowd(seconds)
        process.wait_for(lambda: metric(gateway, "lakegate_in_flight") == 0, "no request to be under way", 30)
        after = resources(gateway)
        total = sum(statuses.values())
        print(f"{total} requests, {total / (seconds + WARM_UP):.0f}/s: " + ", ".join(f"{status}{' of a write' if writes else ''}: {count}" for (status, writes), count in sorted(statuses.items())))
        print(f"memory {before[0]} -> {after[0]} MiB, file descriptors {before[1]} -> {after[1]}")
        bad = {status for status, _ in statuses if status in (420, 423) or status >= 500}
        assert not bad and not statuses[429, False], "nobody may see these"
        assert statuses[429, True] <= 0.05 * sum(count for (_, writes), count in statuses.items() if writes), "too many writes were refused"
        assert after[0] <= before[0] * 1.5 + 32, "memory grew"
        assert after[1] <= before[1] + 2 * THREADS, "file descriptors were left open"
    finally:
        ended = gateway.stop()
        sandbox.stop()
    assert ended == 0, f"the gateway ended with {ended}"
    print("soak: 1 passed")


if __name__ == "__main__":
    main()
