"""The suites: each a module with `run(place)`, which uses lakeFS as one kind of client does."""

# What speaks TLS where the gateway does: clients that can, and HTTP/2 by hand.
TLS = ("http2", "operations", "sdk", "wrapper", "spec", "lakectl", "s3sdk", "awscli", "rclone")
NAMES = ("http2", "rest", "operations", "http", "sdk", "wrapper", "spec", "lakectl", "s3sdk", "s3raw", "awscli", "rclone", "bodies")


def of(mode):
    """The suites of a mode."""
    return TLS if mode == "tls" else tuple(name for name in NAMES if name != "http2")
