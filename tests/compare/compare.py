#!/usr/bin/env python3
"""Runs every client twice, against lakeFS itself and through lakegate, and prints where the answers differ.

    compare.py [--mode passthrough|login|tls|upstream] [--suite NAME]... [--all]

The lakeFS is named by the environment that tests/live/start prints, the gateway's binary by LAKEGATE_BIN. A difference that stands in
meant.toml is counted, any other is printed and makes the exit code 1. `--all` prints those that are meant too. In mode `tls` the clients
speak TLS (both times: some of them send other requests then) and the gateway is in passthrough. In mode `upstream` the gateway speaks
HTTP/2 to a lakeFS with TLS, which LAKEFS_BIN starts; a port that ends TLS stands before it for the clients that go direct.
"""

import argparse
import collections
import importlib
import json
import os
import pathlib
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import lakefs_sdk
import trustme

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import judge  # noqa: E402
import messages  # noqa: E402
import suites  # noqa: E402
from place import S3_DOMAIN, Place  # noqa: E402
from recorder import Recorder  # noqa: E402

MODES = {"passthrough": "passthrough", "login": {"login": {"access_key_id": "${env:COMPARE_KEY}", "secret_access_key": "${env:COMPARE_SECRET}"}}, "tls": "passthrough", "upstream": "passthrough"}


class Gateway:
    """A lakegate that has nothing to refuse: no rules, no limits that bite. With an authority, it speaks TLS: on its port, or in mode
    `upstream` on a second one, and there it speaks HTTP/2 to lakeFS."""

    def __init__(self, mode, lakefs, key, secret, folder, auth_secret=None, authority=None, http2=True):
        self.port, self.tls_port, admin = free_port(), free_port(), free_port()
        listen, upstream = [], {"url": lakefs, "s3_domains": [S3_DOMAIN]}
        if mode == "tls":
            self.tls_port = self.port
        else:
            listen.append(f"127.0.0.1:{self.port}")
        if authority:
            listen.append({"address": f"127.0.0.1:{self.tls_port}", "tls": {"certificates": [authority.files()]}})
        if mode == "upstream":
            upstream["tls"] = {"ca": str(authority.file), "http2": http2}
        configuration = {
            "listen": listen,
            "upstream": upstream,
            "auth": {"upstream": MODES[mode], "failed_logins_per_minute": 1_000_000},
            "guard": {"lakefs_rules": "off"},
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


class Authority:
    """A certificate authority of our own, and one certificate that it signed; clients of every kind are told to trust it."""

    def __init__(self, folder):
        self.ca, self.folder = trustme.CA(), folder
        self.certificate = self.ca.issue_cert("127.0.0.1", S3_DOMAIN, f"*.{S3_DOMAIN}")
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
            os.environ[name] = str(self.file)

    def files(self):
        """The certificate and its key, as a gateway's configuration names them."""
        certificate, key = self.folder / "tls.pem", self.folder / "tls.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in self.certificate.cert_chain_pems))
        self.certificate.private_key_pem.write_to_path(key)
        return {"certificate": str(certificate), "key": f"${{file:{key}}}"}

    def server(self):
        """For who shows the certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(context)
        return context

    def client(self):
        """For who trusts it."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Behind:
    """A lakeFS: its address for plain HTTP, the gateway's URL for it, and who may come in."""

    def __init__(self, environment):
        self.url = environment["LAKEFS_URL"].rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        self.address = (parts.hostname, parts.port)
        self.key, self.secret = environment["LAKEFS_ACCESS_KEY_ID"], environment["LAKEFS_SECRET_ACCESS_KEY"]
        self.environment = (self.key, self.secret, environment["LAKEFS_AUTH_SECRET"], environment["LAKEFS_NAMESPACE"])
        self.processes, self.tunnel = environment.get("LAKEFS_PIDS", "").split(), None

    @classmethod
    def with_tls(cls, authority):
        """One that speaks TLS, started here, and before it a port that ends TLS, for clients that go direct."""
        files = authority.files()
        tls = {"LAKEFS_TLS_ENABLED": "true", "LAKEFS_TLS_CERT_FILE": files["certificate"], "LAKEFS_TLS_KEY_FILE": files["key"][len("${file:") : -1]}
        port = int(os.environ.get("LAKEFS_PORT", "21790")) + 9
        told = subprocess.run([ROOT / "tests/live/start", str(port)], env={**os.environ, **tls}, stdout=subprocess.PIPE, text=True, check=True).stdout
        words = (word for line in told.splitlines() for word in shlex.split(line.removeprefix("export ")))
        behind = cls(dict(word.split("=", 1) for word in words))
        behind.tunnel = Recorder()
        behind.tunnel.behind = (*behind.address, authority.client())
        behind.address = ("127.0.0.1", behind.tunnel.port)
        return behind

    def stop(self):
        """Ends one that was started here."""
        for each in self.processes if self.tunnel else ():
            os.kill(int(each), signal.SIGTERM)


def one_run(suite, name, address, process, recorder, environment, folder, authority=None):
    """Runs a suite against an address, in a folder without what an earlier run left; returns its exchanges and what of them is its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = Place(recorder.url, address, name, *environment, folder, process, authority and authority.file)
    recorder.behind = (*address, authority and authority.client())
    recorder.take()
    try:
        importlib.import_module(f"suites.{suite}").run(place)
    except Exception as error:
        if process is None:
            raise  # it would fail in the same way twice, and nothing would differ
        place.say("the suite itself", f"{type(error).__name__}: {error}")
        print(f"{suite} ended early: {type(error).__name__}: {error}", flush=True)
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
    folder = ROOT / "target" / "compare"
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(folder)
    plain, tls = Recorder(), Recorder(authority.server())
    meant, unmeant, counts = judge.Meant(), [], collections.Counter()
    unique = secrets.token_hex(3)
    direct = {}
    for mode in options.mode or MODES:
        if mode == "upstream" and not os.environ.get("LAKEFS_BIN"):
            print("SKIPPED mode upstream: LAKEFS_BIN names no lakeFS to start with TLS", flush=True)
            continue
        behind = Behind.with_tls(authority) if mode == "upstream" else Behind(os.environ)
        reach, gateway = f"http://{behind.address[0]}:{behind.address[1]}", None
        try:
            gateway = Gateway(mode, behind.url, behind.key, behind.secret, folder, authority=authority if mode in ("tls", "upstream") else None)
            for suite in (name for name in wanted if name in suites.of(mode)):
                speaks_tls = suites.speaks_tls(mode, suite)
                recorder, trusted, port = (tls, authority, gateway.tls_port) if speaks_tls else (plain, None, gateway.port)
                run, name = (suite, recorder, behind.url), f"c{unique}{mode[0]}-{suite}"
                if run not in direct:
                    # A name of its own, as long as the others: a storage namespace is never free again.
                    own = f"c{secrets.token_hex(3)}d-{suite}"
                    direct[run] = one_run(suite, own, behind.address, None, recorder, behind.environment, folder / suite / "d")
                    clear(reach, own, behind.key, behind.secret)
                started = time.monotonic()
                through = one_run(suite, name, ("127.0.0.1", port), gateway.child.pid, recorder, behind.environment, folder / suite / mode[0], trusted)
                clear(reach, name, behind.key, behind.secret)
                found = list(judge.transcripts(suite, mode, (direct[run][0], through[0]), (direct[run][1], through[1])))
                bad = [difference for difference in found if not meant.covers(difference)]
                for difference in found if options.all else bad:
                    print(difference, flush=True)
                unmeant += bad
                counts["exchanges"] += len(through[0])
                print(f"== {mode:12} {suite:12} {len(through[0]):5} answers, {len(found) - len(bad):4} meant differences, {len(bad):4} others, {time.monotonic() - started:4.0f} s", flush=True)
        finally:
            if gateway:
                gateway.stop()
            behind.stop()
    for used, reason in meant.report():
        print(f"meant {used:5} times: {reason}")
    print(f"{counts['exchanges']} answers compared; {sum(meant.used.values())} differences are meant, {len(unmeant)} are not")
    return 1 if unmeant else 0


if __name__ == "__main__":
    sys.exit(main())
