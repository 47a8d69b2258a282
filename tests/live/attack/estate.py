"""A repository with one of everything that a rule protects, and what of it is damaged, read back from lakeFS itself."""

import dataclasses
import json
import secrets
import threading
import time
import urllib.parse

import lake
import wire

# The branches that the rule names; `dev` is nobody's concern but for the hooks that can be left there.
PROTECTED = ("main", "release", "held")
HOOKS = "_lakefs_actions/"
RULES = [{"pattern": "sealed-*"}]


class Sources:
    """What an import brings in: objects whose addresses end like a hook's path, made once a lakeFS."""

    _lock = threading.Lock()
    _made = {}

    @classmethod
    def of(cls, world):
        with cls._lock:
            if world.url not in cls._made:
                cls._made[world.url] = cls._make(world)
            return cls._made[world.url]

    @staticmethod
    def _make(world):
        api, base = world.api(), f"{world.namespace}/sources-{secrets.token_hex(4)}"
        for folder in ("x/_lakefs_actions", "y/actions"):
            name = f"src-{secrets.token_hex(5)}"
            api.call("POST", "/repositories", {"name": name, "storage_namespace": f"{base}/{folder}"}, expect=(201,))
            made = api.call("POST", f"/repositories/{name}/branches/main/objects?path=a", "content", expect=(201,))[1]
        return {"whole": f"{base}/x/", "end": f"{base}/y/", "object": made["physical_address"]}


@dataclasses.dataclass
class Estate:
    """`main`, `release` and `held` are protected. `dev` and `release` changed the same object; `held` has something that is not committed."""

    world: lake.World
    api: wire.Api
    kind: str
    repository: str = ""
    old: str = ""
    new: str = ""
    dev: str = ""
    release: str = ""
    metarange: str = ""
    address: str = ""
    wanted: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def make(cls, world, kind):
        """`do` is read-only: there nothing changes but by force. In `dw` everything does."""
        estate = cls(world, world.api(), kind)
        estate.build()
        return estate

    def build(self):
        self.repository = f"{self.kind}-{secrets.token_hex(5)}"
        read_only = self.kind == "do"
        creation = {"name": self.repository, "storage_namespace": f"{self.world.namespace}/{self.repository}", "default_branch": "main", "read_only": read_only}
        self.api.call("POST", "/repositories", creation, expect=(201,))
        self._upload("main", "a/1"), self._upload("main", "a/2"), self._upload("main", "conflict")
        self.old = self._commit("main")
        self._upload("main", "a/3")
        self.new = self._commit("main")
        for branch in ("release", "held", "dev"):
            self._branch(branch, self.new)
        self._upload("dev", "conflict", "of dev")
        self.dev = self._commit("dev")
        self._upload("release", "conflict", "of release")
        self.release = self._commit("release")
        self._upload("held", "held/1")
        self._call("POST", "/tags", {"id": "v1", "ref": self.old, "force": True}, expect=(201,))
        if not read_only:
            self._call("PUT", "/settings/branch_protection", RULES, expect=(204,))
        self.metarange = self._call("GET", f"/commits/{self.old}")[1]["meta_range_id"]
        self.address = self._call("GET", "/refs/main/objects/stat?path=a%2F1&presign=false")[1]["physical_address"]
        self.wanted = self.seen()

    def _call(self, method, path, body=None, **how):
        return self.api.call(method, f"/repositories/{self.repository}{path}", body, **how)

    def _upload(self, branch, path, content="content"):
        self._call("POST", f"/branches/{branch}/objects?path={urllib.parse.quote(path, safe='')}&force=true", content, expect=(201,), **{"Content-Type": "application/octet-stream"})

    def _commit(self, branch):
        return self._call("POST", f"/branches/{branch}/commits", {"message": f"of {branch}", "force": True}, expect=(201,))[1]["id"]

    def _branch(self, branch, source):
        self._call("POST", "/branches", {"name": branch, "source": source, "force": True}, expect=(201,))

    def seen(self):
        """Everything that must stay as it is."""
        status, branches = self._call("GET", "/branches?amount=1000")
        if status == 404:
            return {"repository": "gone"}
        heads = {branch["id"]: branch["commit_id"] for branch in branches["results"]}
        seen = {f"head of {branch}": heads.get(branch) for branch in PROTECTED}
        seen["tags"] = {tag["id"]: tag["commit_id"] for tag in self._call("GET", "/tags?amount=1000")[1]["results"]}
        seen["rules"] = json.dumps(self._call("GET", "/settings/branch_protection")[1])
        for branch in PROTECTED:
            seen[f"objects of {branch}"] = self._objects(branch)
        seen["hooks"] = self._objects("dev", HOOKS) if "dev" in heads else {}
        return seen

    def _objects(self, branch, prefix=""):
        listing = self._call("GET", f"/refs/{branch}/objects/ls?amount=1000&presign=false&user_metadata=false&prefix={prefix}")[1]
        # A listing of a branch that is gone has no results.
        return {entry["path"]: entry["checksum"] for entry in listing.get("results", ())}

    def moved(self):
        """Whether anything is not as it was."""
        return self.seen() != self.wanted

    def settle(self, statuses):
        """Waits for what lakeFS said that it would do later (202: an import)."""
        deadline = time.monotonic() + (1.5 if 202 in statuses else 0)
        while time.monotonic() < deadline and not self.moved():
            time.sleep(0.05)

    def restore(self):
        """Mends what can be mended; else makes another repository of the same kind."""
        try:
            self._mend()
            mended = not self.moved()
        except (RuntimeError, AttributeError, KeyError):
            mended = False
        if not mended:
            self.drop()
            self.build()

    def _mend(self):
        seen = self.seen()
        if not seen.get("head of main"):
            raise KeyError("the repository is gone, or it is going")
        heads = {"main": self.new, "release": self.release, "held": self.new}
        for branch, head in heads.items():
            if seen[f"head of {branch}"] is None:
                self._branch(branch, head)
            elif seen[f"head of {branch}"] != head or seen[f"objects of {branch}"] != self.wanted[f"objects of {branch}"]:
                self._call("PUT", f"/branches/{branch}", {"type": "reset", "force": True})
                self._call("PUT", f"/branches/{branch}/hard_reset?ref={head}&force=true", expect=(204,))
        if seen["objects of held"] != self.wanted["objects of held"]:
            self._upload("held", "held/1")
        for tag, commit in seen["tags"].items():
            if self.wanted["tags"].get(tag) != commit:
                self._call("DELETE", f"/tags/{tag}?force=true", expect=(204,))
        if seen["tags"].get("v1") != self.old:
            self._call("POST", "/tags", {"id": "v1", "ref": self.old, "force": True}, expect=(201,))
        if seen["rules"] != self.wanted["rules"]:
            self._call("PUT", "/settings/branch_protection", RULES, expect=(204,))
        if seen["hooks"]:
            self._call("PUT", "/branches/dev", {"type": "reset", "force": True})
            self._call("PUT", f"/branches/dev/hard_reset?ref={self.dev}&force=true", expect=(204,))

    def drop(self):
        """Deletes the repository."""
        self._call("DELETE", "?force=true")
