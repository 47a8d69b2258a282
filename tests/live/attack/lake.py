"""Scratch repositories on the lakeFS under attack, and the gateways in front of it."""

import base64
import dataclasses
import json
import os
import pathlib
import secrets
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "clients"))

from support import process, tokens  # noqa: E402

import wire  # noqa: E402

S3_DOMAIN = "s3.local.lakefs.io"
TLS = pathlib.Path(__file__).resolve().parents[2] / "data/tls"
WAYS = {
    "passthrough": "passthrough",
    "login": {"login": {"access_key_id": "${env:ATTACK_KEY}", "secret_access_key": "${env:ATTACK_SECRET}"}},
    "mint": {"mint": {"user": "admin"}},
}
# Repositories are named so that a rule can tell them apart; both kinds have names of one length.
RULES = [
    {"name": "forced", "repositories": ["ro-*", "pl-*"], "branches": ["main"], "preset": "protect", "hard_reset": "forced"},
    {"name": "any", "repositories": ["rw-*"], "branches": ["main"], "preset": "protect", "hard_reset": "any"},
    {"name": "dangers", "repositories": ["dw-*", "do-*"], "branches": ["main", "release", "held"], "preset": "protect"},
]


@dataclasses.dataclass(frozen=True)
class World:
    """The lakeFS under attack, as `tests/live/start` names it."""

    url: str
    key: str
    secret: str
    signing: str
    namespace: str

    @classmethod
    def of_environment(cls):
        names = ("LAKEFS_URL", "LAKEFS_ACCESS_KEY_ID", "LAKEFS_SECRET_ACCESS_KEY", "LAKEFS_AUTH_SECRET", "LAKEFS_NAMESPACE")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            sys.exit(f"{', '.join(missing)}: not set (tests/live/start starts a real lakeFS and prints what to export)")
        url, *rest = (os.environ[name] for name in names)
        return cls(url.rstrip("/"), *rest)

    @property
    def address(self):
        at = urllib.parse.urlsplit(self.url)
        return at.hostname, at.port

    @property
    def basic(self):
        return "Basic " + base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()

    def api(self):
        return wire.Api(self.address, self.basic)

    def bearer(self, user="admin", **claims):
        return tokens.jwt(self.signing, user, **claims)


@dataclasses.dataclass
class Target:
    """A repository whose `main` stands at `new`; the attacker wants it at `old`. `dev` is nobody's concern."""

    world: World
    api: wire.Api
    repository: str
    old: str = ""
    new: str = ""
    dev: str = ""

    @classmethod
    def make(cls, world, kind):
        """`ro` is read-only: there only a true force moves a branch. In `rw` and `pl` any hard reset does."""
        api, name = world.api(), f"{kind}-{secrets.token_hex(5)}"
        target = cls(world, api, name)
        creation = {"name": name, "storage_namespace": f"{world.namespace}/{name}", "default_branch": "main", "read_only": kind == "ro"}
        api.call("POST", "/repositories", creation, expect=(201,))
        target.old = target.head("main")
        commit = {"message": "the commit to lose", "allow_empty": True, "force": True}
        target.new = api.call("POST", f"/repositories/{name}/branches/main/commits", commit, expect=(201,))[1]["id"]
        api.call("POST", f"/repositories/{name}/branches", {"name": "dev", "source": "main", "force": True}, expect=(201,))
        target.dev = target.new
        return target

    def head(self, branch="main"):
        """Where the branch stands."""
        return self.api.call("GET", f"/repositories/{self.repository}/branches/{branch}", expect=(200,))[1]["commit_id"]

    def moved(self):
        """Whether `main` is not where it was."""
        return self.head() != self.new

    def settle(self, statuses):
        """Nothing that is done to it is done later."""

    def restore(self):
        """Puts `main` back."""
        self.api.call("PUT", f"/repositories/{self.repository}/branches/main/hard_reset?ref={self.new}&force=true", expect=(204,))

    def drop(self):
        """Deletes the repository."""
        self.api.call("DELETE", f"/repositories/{self.repository}?force=true")


class Gateway(process.Process):
    """One `lakegate serve` before the lakeFS under attack; its three ports are given, for the range may be limited."""

    def __init__(self, world, folder, way, *, with_secret=True, ports=None, log="info", **auth):
        listen, admin, with_tls = ports or process.free_ports(3)
        self.way, self.address, self.admin, self.tls = way, ("127.0.0.1", listen), ("127.0.0.1", admin), ("127.0.0.1", with_tls)
        self.socket = folder / "gate.sock"
        configuration = {
            "listen": [f"127.0.0.1:{listen}", {"address": f"127.0.0.1:{with_tls}", "tls": {"certificates": [{"certificate": str(TLS / "server.pem"), "key": f"${{file:{TLS / 'server.key'}}}"}]}}],
            "upstream": {"url": world.url, "s3_domains": [S3_DOMAIN]},
            "auth": {"upstream": WAYS[way], "failed_logins_per_minute": 1_000_000, **auth},
            "guard": {"rules": RULES},
            "store": {"embedded": {"path": "lakegate.redb"}},
            "log": {"format": "json", "filter": log},
            "admin": {"listen": f"127.0.0.1:{admin}", "socket": "gate.sock"},
        }
        if with_secret:
            configuration["auth"]["lakefs_secret"] = "${env:ATTACK_SIGNING}"
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration = folder / "gateway.yaml"
        self.configuration.write_text(json.dumps(configuration, indent=2))  # JSON is YAML
        self.environment = {"ATTACK_KEY": world.key, "ATTACK_SECRET": world.secret, "ATTACK_SIGNING": world.signing}
        super().__init__("gateway", ["serve", "--config", str(self.configuration)], folder, self.environment)
        self.wait_until(f"http://127.0.0.1:{admin}/readyz")

    def access_lines(self):
        """Its access lines so far."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line.get("fields", line) for line in lines if line.get("target") == "lakegate::access"]
