"""Where a suite runs: addresses, keys, a repository name of its own, and where it writes down what it saw."""

import dataclasses
import http.client
import os
import pathlib
import subprocess
import urllib.parse

import messages

S3_DOMAIN = "s3.local.lakefs.io"


@dataclasses.dataclass
class Place:
    """One run of one suite. `url` is the recorder's; `address` is lakeFS or the gateway itself, for what is not to be recorded. Where the
    gateway is spoken to by TLS, `authority` is the file of who signed its certificate."""

    url: str
    address: tuple
    name: str
    key: str
    secret: str
    auth_secret: str
    storage: str
    folder: pathlib.Path
    process: int | None
    authority: pathlib.Path | None = None
    exchanges: list = dataclasses.field(default_factory=list)

    @property
    def namespace(self):
        """The storage of the repository."""
        return f"{self.storage}/{self.name}"

    def connection(self):
        """A connection to the recorder, by plain HTTP or TLS."""
        parts = urllib.parse.urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.netloc, timeout=120)

    def note(self, label, answer):
        """Writes an answer down that no recorder saw."""
        self.exchanges.append(messages.Exchange("", label, answer, len(self.exchanges)))

    def say(self, label, text):
        """Writes down how something ended, as a client's user would see it."""
        self.note(label, messages.Answer("said", (), str(text).encode(errors="surrogateescape")))

    def attempt(self, label, function, *arguments, **named):
        """Calls, and writes down what came back or what was raised. Returns what came back."""
        try:
            value = function(*arguments, **named)
        except Exception as error:
            self.say(label, f"{type(error).__name__}: {error}")
            return None
        self.say(label, value)
        return value

    def command(self, label, *words, environment=None, stdin=None, in_any_order=False):
        """Runs a command, and writes down its exit code and what it printed, `in_any_order` if it works on several things at once."""
        done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True, timeout=600, cwd=self.folder, env={**os.environ, **(environment or {})})
        printed = "\n".join(sorted(done.stdout.splitlines())) if in_any_order else done.stdout
        self.say(label, f"exit {done.returncode}\n{printed}\n{done.stderr}")
        return done.stdout
