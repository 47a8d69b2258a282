#!/usr/bin/env python3
"""Large objects up and down with curl, by every protocol: checksums equal, times, and how much memory the gateway holds at most.

    big.py [--way WAY]... [SIZE_IN_MIB]...        64 and 1024 unless told; 5120 wants 10 GiB of room for one way, 25 for all four

`tests/compare/run big` starts it, with a lakeFS if there is none.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
import wire  # noqa: E402
from place import Place  # noqa: E402
from suites.bodies import Content, Memory  # noqa: E402

WAYS = ("direct", "h1", "h1-tls", "h2-tls")
# The gateway's memory may grow by buffers, not by bodies.
MOST_GROWTH_KIB = 32 << 10


def curl(*words):
    """Runs curl quietly; returns what it said of version and status, and the checksum of what it got."""
    said = ["-w", "%{stderr}%{http_version} %{http_code}"]
    child = subprocess.Popen(["curl", "--silent", "--show-error", *said, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    digest, kept = hashlib.sha256(), b""
    while piece := child.stdout.read(1 << 20):
        digest.update(piece)
        kept = kept or piece
    return child.stderr.read().decode(), digest.hexdigest(), kept if child.wait() == 0 else b""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("size", type=int, nargs="*", default=[64, 1024])
    options = parser.parse_args()
    lakefs, key, secret = os.environ["LAKEFS_URL"].rstrip("/"), os.environ["LAKEFS_ACCESS_KEY_ID"], os.environ["LAKEFS_SECRET_ACCESS_KEY"]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="big-", dir=compare.ROOT / "target/compare"))
    authority, name, failed = compare.Authority(folder), f"big{secrets.token_hex(3)}", 0
    gateways = [compare.Gateway("passthrough", lakefs, key, secret, folder), compare.Gateway("tls", lakefs, key, secret, folder, authority=authority)]
    plain, tls = (f"127.0.0.1:{gateway.port}" for gateway in gateways)
    ways = {
        "direct": (lakefs, "--http1.1", "1.1", None),
        "h1": (f"http://{plain}", "--http1.1", "1.1", gateways[0]),
        "h1-tls": (f"https://{tls}", "--http1.1", "1.1", gateways[1]),
        "h2-tls": (f"https://{tls}", "--http2", "2", gateways[1]),
    }
    common = ["--cacert", str(authority.file), "--user", f"{key}:{secret}"]
    try:
        address = urllib.parse.urlsplit(lakefs)
        place = Place(lakefs, (address.hostname, address.port), name, key, secret, "", os.environ["LAKEFS_NAMESPACE"], folder, None)
        made = wire.request(place, "POST", "/api/v1/repositories", {"Authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}, json.dumps({"name": name, "storage_namespace": place.namespace}).encode(), {"Content-Type": "application/json"})
        assert made.status.startswith("201"), made
        for size in options.size:
            content, file = Content(size), folder / "content"
            with file.open("wb") as out:
                out.writelines(content.pieces())
            for way in options.way or WAYS:
                url, flag, version, gateway = ways[way]
                memory, path, told = Memory(gateway and gateway.child.pid), f"{size}-{way}", []
                for direction, target, words in (
                    ("up", f"branches/main/objects?path={path}", ["--request", "POST", "--header", "Content-Type: application/octet-stream", "--upload-file", str(file)]),
                    ("down", f"refs/main/objects?path={path}", []),
                ):
                    memory.begin()
                    started = time.monotonic()
                    said, digest, body = curl(flag, *common, *words, f"{url}/api/v1/repositories/{name}/{target}")
                    seconds = time.monotonic() - started
                    before, peak = memory.before, memory.peak()
                    right = said == f"{version} {'201' if direction == 'up' else '200'}" and (json.loads(body)["size_bytes"] == size << 20 if direction == "up" else digest == content.digest.hexdigest())
                    flat = peak - before <= MOST_GROWTH_KIB
                    failed += not (right and flat)
                    seen = f", memory {before / 1024:.1f} MiB before, {peak / 1024:.1f} at most" if gateway else ""
                    told.append(f"{direction} {seconds:.1f} s{seen}{'' if right else f' WRONG: {said} {body[:200]!r}'}{'' if flat else ' NOT FLAT'}")
                print(f"{size:5} MiB  {way:7} {'; '.join(told)}", flush=True)
            file.unlink()
        compare.clear(lakefs, name, key, secret)
    finally:
        for gateway in gateways:
            gateway.stop()
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
