"""The sandbox answers as a real lakeFS does: what the suite shows on the one holds on the other."""

import pathlib
import subprocess
import sys

import pytest
from support import world


def test_the_sandbox_answers_as_lakefs_does(tmp_path):
    real, why_not = world.live_from_environment()
    if not real:
        pytest.skip(f"live lakeFS: {why_not}")
    sandbox, running = world.start_sandbox(tmp_path, like=real)
    try:
        script = pathlib.Path(__file__).with_name("parity.py")
        identity = ["--access-key-id", real.access_key, f"--secret-access-key={real.secret_key}", f"--secret={real.auth_secret}"]
        command = [sys.executable, script, real.url, sandbox.url, "--namespace", real.storage, *identity]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    finally:
        running.stop()
