"""The suites: each a module with `run(place)`, which uses lakeFS as one kind of client does."""

NAMES = ("rest", "operations", "http", "sdk", "wrapper", "spec", "lakectl", "s3sdk", "s3raw", "awscli", "rclone", "bodies")
