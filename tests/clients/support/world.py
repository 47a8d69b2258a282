"""What stands behind the gateway (the sandbox, or a real lakeFS), and the gateways in front of it."""

import dataclasses
import json
import os
import secrets
import uuid

import lakefs_sdk

from support import clients, process, raw

# Environment that names a real lakeFS on an S3 store. `tests/live/start` prints all of it.
LIVE = ("LAKEFS_URL", "LAKEFS_ACCESS_KEY_ID", "LAKEFS_SECRET_ACCESS_KEY", "LAKEFS_AUTH_SECRET", "LAKEFS_NAMESPACE")
UPSTREAM_IDENTITIES = {
    "login": {"login": {"access_key_id": "${env:SUITE_KEY}", "secret_access_key": "${env:SUITE_SECRET}"}},
    "mint": {"mint": {"user": "admin"}},
    "passthrough": "passthrough",
}
# Those in which the gateway attaches a bearer of its own.
ATTACHING = ("login", "mint")


@dataclasses.dataclass
class Back:
    """A lakeFS, real or sandbox, reached directly."""

    name: str
    url: str
    access_key: str
    secret_key: str
    auth_secret: str
    storage: str

    @property
    def scripted(self):
        """Whether its answers can be scripted."""
        return self.name == "sandbox"

    def admin(self):
        """A client that reaches it directly: what tests prepare and check with."""
        return clients.Client(self.url, username=self.access_key, password=self.secret_key)

    def repository(self, protected=()):
        """A fresh repository with a branch `work` beside `main`, each with a first commit.

        `protected` branches are named to lakeFS before anything else: it believes its cached rules for seconds, and a repository that was
        never asked about has none cached.
        """
        admin, name = self.admin(), f"t-{uuid.uuid4().hex[:12]}"
        admin.repositories.create_repository(
            lakefs_sdk.RepositoryCreation(name=name, storage_namespace=f"{self.storage}/{name}", default_branch="main")
        )
        if protected:
            rules = [{"pattern": pattern} for pattern in protected]
            answer = raw.send(
                self.url, "PUT", f"/api/v1/repositories/{name}/settings/branch_protection", headers=raw.basic(self.access_key, self.secret_key), body=rules
            )
            assert answer.status == 204, answer
        for branch in dict.fromkeys(("work", *protected)):
            if branch != "main":
                admin.branches.create_branch(name, lakefs_sdk.BranchCreation(name=branch, source="main"))
        return name

    def received(self, operation):
        """What arrived at the sandbox for an operation, oldest first; credentials only by their kind."""
        answer = raw.send(self.url, "GET", "/_sandbox/requests")
        return [request for request in answer.json() if request["operation"] == operation]

    def script(self, operation, status, body, headers=None, times=1):
        """Lets the sandbox answer the next calls of an operation so."""
        scripted = {"operation": operation, "status": status, "body": body, "headers": headers or {}, "times": times}
        answer = raw.send(self.url, "POST", "/_sandbox/script", body=scripted)
        assert answer.status == 204, answer


class Gateway(process.Process):
    """One `lakegate serve` in front of a Back."""

    def __init__(self, name, back, folder, upstream="login", health="readyz", **changes):
        listen, admin = process.free_ports(2)
        self.back, self.upstream = back, upstream
        self.url, self.admin_url = f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{admin}"
        configuration = {
            "listen": f"127.0.0.1:{listen}",
            "upstream": {"url": back.url},
            "auth": {
                "upstream": UPSTREAM_IDENTITIES[upstream],
                "lakefs_secret": "${env:SUITE_AUTH_SECRET}",
                "failed_logins_per_minute": 1_000_000,
            },
            # `off`: what lakeFS itself says of a branch that it protects is compared with what comes through; test_theirs.py has the others.
            "guard": {"lakefs_rules": "off", "rules": [{"name": "main-stays", "repositories": ["t-*"], "branches": ["main", "release-*"], "preset": "protect"}]},
            "store": {"embedded": {"path": "lakegate.redb"}},
            "log": {"format": "json", "filter": "debug"},
            "admin": {"listen": f"127.0.0.1:{admin}", "socket": "lakegate.sock"},
        }
        for path, value in changes.items():
            section = configuration
            *parents, last = path.split("__")
            for parent in parents:
                section = section.setdefault(parent, {})
            if value is None:
                section.pop(last, None)
            else:
                section[last] = value
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration = folder / f"{name}.yaml"
        self.configuration.write_text(json.dumps(configuration, indent=2))  # JSON is YAML
        self.environment = {"SUITE_KEY": back.access_key, "SUITE_SECRET": back.secret_key, "SUITE_AUTH_SECRET": back.auth_secret}
        super().__init__(name, ["serve", "--config", str(self.configuration)], folder, self.environment)
        self.wait_until(f"{self.admin_url}/{health}")

    def lines(self):
        """Its log, one object a line."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def access_lines(self, **wanted):
        """Its access lines whose fields have these values; a dot in a name is written as two underscores."""
        found = []
        for line in self.lines():
            fields = line.get("fields", line)
            if line.get("target") == "lakegate::access" and all(fields.get(name.replace("__", ".")) == value for name, value in wanted.items()):
                found.append(fields)
        return found

    def access_line_of(self, answer_headers):
        """The access line of an answered request, found by the id the client saw; waits until it is written."""
        seen = {name.lower(): value for name, value in dict(answer_headers).items()}["x-request-id"]
        lines = process.wait_for(
            lambda: self.access_lines(upstream__request_id=seen) or self.access_lines(request__id=seen), f"the access line of {seen}"
        )
        assert len(lines) == 1, lines
        return lines[0]


class Direct:
    """No gateway: the suite runs against the lakeFS itself, to learn what is the gateway's doing."""

    def __init__(self, back):
        self.back, self.url, self.upstream = back, back.url, "direct"


def start_sandbox(folder, like=None):
    """A sandbox of our own, and its process; with keys and secret like another lakeFS's, if told to."""
    (port,) = process.free_ports(1)
    own = ("AKIASUITE0SANDBOX0AQ", secrets.token_urlsafe(30), secrets.token_urlsafe(30))
    keys = (like.access_key, like.secret_key, like.auth_secret) if like else own
    back = Back("sandbox", f"http://127.0.0.1:{port}", *keys, "s3://sandbox")
    identity = ["--access-key-id", back.access_key, f"--secret-access-key={back.secret_key}", f"--secret={back.auth_secret}"]
    running = process.Process("sandbox", ["sandbox", "--listen", f"127.0.0.1:{port}", *identity], folder)
    running.wait_until(f"{back.url}/_health")
    return back, running


def live_from_environment():
    """The real lakeFS that the environment names, or None and why not."""
    missing = [name for name in LIVE if not os.environ.get(name)]
    if "LAKEFS_URL" in missing:
        return None, "LAKEFS_URL is not set (tests/live/start starts a real lakeFS and prints what to export)"
    if missing:
        return None, f"LAKEFS_URL is set, but not {', '.join(missing)}"
    url, key, secret, auth_secret, namespace = (os.environ[name] for name in LIVE)
    return Back("live", url.rstrip("/"), key, secret, auth_secret, namespace.rstrip("/")), None
