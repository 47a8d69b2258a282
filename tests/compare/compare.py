#!/usr/bin/env python3
"""Runs every client twice, against lakeFS itself and through lakegate, and prints where the answers differ.

    compare.py [--mode passthrough|login] [--suite NAME]... [--all]

The lakeFS is named by the environment that tests/live/start prints, the gateway's binary by LAKEGATE_BIN. A difference that stands in
meant.toml is counted, any other is printed and makes the exit code 1. `--all` prints those that are meant too.
"""

import argparse
import collections
import importlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import lakefs_sdk

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import judge  # noqa: E402
import messages  # noqa: E402
import suites  # noqa: E402
from place import S3_DOMAIN, Place  # noqa: E402
from recorder import Recorder  # noqa: E402

MODES = {"passthrough": "passthrough", "login": {"login": {"access_key_id": "${env:COMPARE_KEY}", "secret_access_key": "${env:COMPARE_SECRET}"}}}


class Gateway:
    """A lakegate that has nothing to refuse: no rules, no limits that bite."""

    def __init__(self, mode, lakefs, key, secret, folder, auth_secret=None):
        self.port, admin = free_port(), free_port()
        configuration = {
            "listen": f"127.0.0.1:{self.port}",
            "upstream": {"url": lakefs, "s3_domains": [S3_DOMAIN]},
            "auth": {"upstream": MODES[mode], "failed_logins_per_minute": 1_000_000},
            "limit": {"principal": {"requests_per_second": 100_000, "burst": 100_000, "in_flight": 10_000}},
            "store": "memory",
            "log": {"format": "json"},
            "admin": {"listen": f"127.0.0.1:{admin}", "socket": str(folder / f"{mode}.sock")},
        }
        if auth_secret:
            configuration["auth"]["lakefs_secret"] = "${env:COMPARE_AUTH_SECRET}"
        path = folder / f"{mode}.yaml"
        path.write_text(json.dumps(configuration))  # JSON is YAML
        binary = os.environ.get("LAKEGATE_BIN", ROOT / "target/debug/lakegate")
        environment = {**os.environ, "COMPARE_KEY": key, "COMPARE_SECRET": secret, "COMPARE_AUTH_SECRET": auth_secret or ""}
        self.log = (folder / f"{mode}.log").open("wb")
        self.child = subprocess.Popen([str(binary), "serve", "--config", str(path)], env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5).close()
                return
            except OSError:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the gateway did not come up: see {self.log.name}") from None
                time.sleep(0.1)

    def stop(self):
        """By its pid, and gently."""
        self.child.terminate()
        self.child.wait(40)
        self.log.close()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def one_run(suite, name, address, process, recorder, environment, folder):
    """Runs a suite against an address; returns its exchanges and what of them is its own."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(recorder.url, address, name, *environment, folder, process)
    recorder.behind = address
    recorder.take()
    try:
        importlib.import_module(f"suites.{suite}").run(place)
    except Exception as error:
        if process is None:
            raise  # it would fail in the same way twice, and nothing would differ
        place.say("the suite itself", f"{type(error).__name__}: {error}")
    recorded = [each for connection in recorder.take() for each in messages.exchanges(connection)]
    own = ((name, "REPO"), (name.upper(), "REPO"), (name[1:], "EPO"), (f"{address[0]}:{address[1]}", "ADDRESS"), (str(folder), "FOLDER"))
    return recorded + place.exchanges, own


def clear(lakefs, name, key, secret):
    """Deletes a run's repositories: another run must find what this one found."""
    api = lakefs_sdk.RepositoriesApi(lakefs_sdk.ApiClient(lakefs_sdk.Configuration(host=f"{lakefs}/api/v1", username=key, password=secret)))
    for each in api.list_repositories(prefix=name).results:
        api.delete_repository(each.id, force=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=MODES, action="append")
    parser.add_argument("--suite", choices=suites.NAMES, action="append")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    wanted = options.suite or [name for name in suites.NAMES if name != "lakectl" or os.environ.get("LAKECTL_BIN")]
    if not options.suite and not os.environ.get("LAKECTL_BIN"):
        print("SKIPPED lakectl: LAKECTL_BIN names none", flush=True)
    lakefs = os.environ["LAKEFS_URL"].rstrip("/")
    key, secret = os.environ["LAKEFS_ACCESS_KEY_ID"], os.environ["LAKEFS_SECRET_ACCESS_KEY"]
    environment = (key, secret, os.environ["LAKEFS_AUTH_SECRET"], os.environ["LAKEFS_NAMESPACE"])
    folder = ROOT / "target" / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    address = urllib.parse.urlsplit(lakefs)
    recorder, meant, unmeant, counts = Recorder(), judge.Meant(), [], collections.Counter()
    unique = secrets.token_hex(3)
    direct = {}
    for mode in options.mode or MODES:
        gateway = Gateway(mode, lakefs, key, secret, folder)
        try:
            for suite in wanted:
                if suite not in direct:
                    direct[suite] = one_run(suite, f"c{unique}d-{suite}", (address.hostname, address.port), None, recorder, environment, folder / suite / "d")
                    clear(lakefs, f"c{unique}d-{suite}", key, secret)
                started = time.monotonic()
                through = one_run(suite, f"c{unique}{mode[0]}-{suite}", ("127.0.0.1", gateway.port), gateway.child.pid, recorder, environment, folder / suite / mode[0])
                clear(lakefs, f"c{unique}{mode[0]}-{suite}", key, secret)
                found = list(judge.transcripts(suite, mode, (direct[suite][0], through[0]), (direct[suite][1], through[1])))
                bad = [difference for difference in found if not meant.covers(difference)]
                for difference in found if options.all else bad:
                    print(difference, flush=True)
                unmeant += bad
                counts["exchanges"] += len(through[0])
                print(f"== {mode:12} {suite:12} {len(through[0]):5} answers, {len(found) - len(bad):4} meant differences, {len(bad):4} others, {time.monotonic() - started:4.0f} s", flush=True)
        finally:
            gateway.stop()
    for used, reason in meant.report():
        print(f"meant {used:5} times: {reason}")
    print(f"{counts['exchanges']} answers compared; {sum(meant.used.values())} differences are meant, {len(unmeant)} are not")
    return 1 if unmeant else 0


if __name__ == "__main__":
    sys.exit(main())
