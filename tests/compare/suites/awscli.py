"""awscli: `aws s3` and `aws s3api`."""

import os
import pathlib
import sys

import lakefs
from lakefs.client import Client


def run(place):
    lakefs.Repository(place.name, client=Client(host=place.url, username=place.key, password=place.secret)).create(storage_namespace=place.namespace)
    environment = {"AWS_ACCESS_KEY_ID": place.key, "AWS_SECRET_ACCESS_KEY": place.secret, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "", "HOME": str(place.folder)}
    tree = place.folder / "tree"
    (tree / "sub dir").mkdir(parents=True, exist_ok=True)
    for path, data in (("one.txt", "one"), ("sub dir/two+.txt", "two"), ("ü%20.txt", "three")):
        (tree / path).write_text(data)
        os.utime(tree / path, (1_000_000_000, 1_000_000_000))  # older than any upload, or `sync` would upload it again
    (place.folder / "big").write_bytes(bytes(range(256)) * (9 << 12))
    aws = pathlib.Path(sys.executable).with_name("aws")
    bucket = f"s3://{place.name}/main"

    def run_aws(label, *words, stdin=None):
        place.command(label, sys.executable, aws, "--endpoint-url", place.url, *words, environment=environment, stdin=stdin, in_any_order=words[:2] in (("s3", "cp"), ("s3", "sync"), ("s3", "rm")))

    run_aws("cp up", "s3", "cp", "--no-progress", "tree", f"{bucket}/tree/", "--recursive")
    run_aws("cp big", "s3", "cp", "--no-progress", "big", f"{bucket}/big file")
    run_aws("cp stream", "s3", "cp", "--no-progress", "-", f"{bucket}/stream", stdin="from standard input")
    run_aws("ls", "s3", "ls", f"{bucket}/", "--recursive")
    run_aws("cp down", "s3", "cp", "--no-progress", f"{bucket}/big file", "down")
    place.say("down equals", (place.folder / "down").exists() and (place.folder / "down").read_bytes() == (place.folder / "big").read_bytes())
    run_aws("sync", "s3", "sync", "--no-progress", "tree", f"{bucket}/tree/")
    run_aws("mv", "s3", "mv", "--no-progress", f"{bucket}/tree/one.txt", f"{bucket}/tree/moved.txt")
    run_aws("head", "s3api", "head-object", "--bucket", place.name, "--key", "main/tree/moved.txt")
    run_aws("range", "s3api", "get-object", "--bucket", place.name, "--key", "main/stream", "--range", "bytes=0-3", "part")
    run_aws("if-match", "s3api", "get-object", "--bucket", place.name, "--key", "main/stream", "--if-none-match", '"x"', "part")
    run_aws("list v1", "s3api", "list-objects", "--bucket", place.name, "--prefix", "main/tree/", "--delimiter", "/")
    run_aws("missing", "s3", "cp", "--no-progress", f"{bucket}/none", "none")
    run_aws("rm", "s3", "rm", f"{bucket}/tree/", "--recursive")
