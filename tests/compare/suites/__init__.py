"""The suites: each a module with `run(place)`, which uses lakeFS as one kind of client does."""

# What speaks TLS where the gateway does: clients that can, and HTTP/2 by hand.
TLS = ("http2", "operations", "sdk", "wrapper", "spec", "lakectl", "s3sdk", "awscli", "rclone")
NAMES = ("http2", "rest", "operations", "http", "sdk", "wrapper", "spec", "lakectl", "s3sdk", "s3raw", "awscli", "rclone", "bodies")

# What is asked of a lakeFS by HTTP/2: the API, S3 with boto3, both by HTTP/2 all the way, and large objects.
UPSTREAM = ("http2", "rest", "sdk", "s3sdk", "bodies")


def of(mode):
    """The suites of a mode."""
    return {"tls": TLS, "upstream": UPSTREAM}.get(mode) or tuple(name for name in NAMES if name != "http2")


def speaks_tls(mode, suite):
    """Whether a suite's clients speak TLS."""
    return mode == "tls" or suite == "http2"
