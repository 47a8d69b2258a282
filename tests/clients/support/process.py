"""Starts the binary under test, waits until it answers, stops it by its pid, keeps its log."""

import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]


def binary():
    """The lakegate to test: `LAKEGATE_BIN`, or the debug build."""
    path = pathlib.Path(os.environ.get("LAKEGATE_BIN", ROOT / "target/debug/lakegate"))
    assert path.is_file(), f"{path} is missing: build it with `cargo build`, or name one in LAKEGATE_BIN"
    return path


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


class Process:
    """One running lakegate, or another `command`. Its stdout and stderr go to one file."""

    def __init__(self, name, arguments, folder, environment=None, command=None):
        self.name = name
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / f"{name}.log"
        self._out = self.log_path.open("ab")
        self._child = subprocess.Popen([str(command or binary()), *arguments], cwd=folder, stdout=self._out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        """Its process id."""
        return self._child.pid

    def log(self):
        """All it has written so far."""
        return self.log_path.read_text(errors="replace")

    def wait_until(self, url, seconds=30):
        """Waits until `url` answers below 500; fails with the log if the process ends or the time does."""
        deadline = time.monotonic() + seconds
        while True:
            assert self._child.poll() is None, f"{self.name} ended with {self._child.returncode}:\n{self.log()}"
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return
                last = error
            except OSError as error:
                last = error
            assert time.monotonic() < deadline, f"{self.name} did not answer at {url} in {seconds} s ({last}):\n{self.log()}"
            time.sleep(0.05)

    def kill(self):
        """SIGKILL to its pid: no word of farewell, as when the machine loses its power."""
        self._child.kill()
        self._child.wait(10)
        self._out.close()

    def stop(self):
        """SIGTERM to its pid and nothing else; SIGKILL only if it does not end. Returns its exit code."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(20)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(5)
        self._out.close()
        return self._child.returncode


def wait_for(condition, what, seconds=10):
    """Waits until `condition()` is true-ish, and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return value
