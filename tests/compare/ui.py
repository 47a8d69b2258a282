#!/usr/bin/env python3
"""The web interface in a real browser, through a gateway in each mode: prepares a repository, and runs ui.mjs.

In `login` mode the browser comes with an identity provider's session cookie, as one behind a single sign-on does, and no login page appears.
The lakeFS behind (as tests/live/start prints it) must be a build that has the interface in it. Needs node, npm and chromium (CHROMIUM_BIN).
Screenshots are left in target/compare/ui.
"""

import os
import secrets
import shutil
import subprocess
import sys

import lakefs_sdk
from compare import ROOT, Gateway

sys.path.insert(0, str(ROOT / "tests" / "clients"))

from support import tokens  # noqa: E402

FOLDER = ROOT / "target" / "compare" / "ui"


def prepare(lakefs, key, secret, name):
    """A repository with a committed README and a branch."""
    api = lakefs_sdk.ApiClient(lakefs_sdk.Configuration(host=f"{lakefs}/api/v1", username=key, password=secret))
    lakefs_sdk.RepositoriesApi(api).create_repository(lakefs_sdk.RepositoryCreation(name=name, storage_namespace=f"{os.environ['LAKEFS_NAMESPACE']}/{name}"))
    (FOLDER / "README.md").write_text("# Through the gateway\n\nA page that lakeFS renders.\n")
    lakefs_sdk.ObjectsApi(api).upload_object(name, "main", "README.md", content=str(FOLDER / "README.md"))
    lakefs_sdk.CommitsApi(api).commit(name, "main", lakefs_sdk.CommitCreation(message="first"))
    lakefs_sdk.BranchesApi(api).create_branch(name, lakefs_sdk.BranchCreation(name="work", source="main"))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / "node_modules" / "playwright-core").is_dir():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "playwright-core@1"], cwd=FOLDER, check=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    lakefs = os.environ["LAKEFS_URL"].rstrip("/")
    key, secret = os.environ["LAKEFS_ACCESS_KEY_ID"], os.environ["LAKEFS_SECRET_ACCESS_KEY"]
    auth_secret = os.environ["LAKEFS_AUTH_SECRET"]
    cookie = tokens.oidc_cookie({"sub": "someone"}, auth_secret)
    environment = {"CHROMIUM_BIN": shutil.which("chromium") or "/usr/bin/chromium", **os.environ, "UI_KEY": key, "UI_SECRET": secret, "UI_COOKIE": cookie}
    failed = 0
    for mode in ("passthrough", "login"):
        name = f"ui-{secrets.token_hex(4)}"
        prepare(lakefs, key, secret, name)
        gateway = Gateway(mode, lakefs, key, secret, FOLDER, auth_secret)
        try:
            done = subprocess.run(["node", ROOT / "tests/compare/ui.mjs", f"http://127.0.0.1:{gateway.port}", mode, name, FOLDER], cwd=FOLDER, env=environment, timeout=600)
            failed |= done.returncode
        finally:
            gateway.stop()
    return failed


if __name__ == "__main__":
    sys.exit(main())
