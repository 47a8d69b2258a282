"""rclone: copy, check, list, move and purge over its S3 backend."""

import pathlib
import sys

import lakefs
from lakefs.client import Client


def run(place):
    lakefs.Repository(place.name, client=Client(host=place.url, username=place.key, password=place.secret)).create(storage_namespace=place.namespace)
    options = {"TYPE": "s3", "PROVIDER": "Other", "ACCESS_KEY_ID": place.key, "SECRET_ACCESS_KEY": place.secret, "ENDPOINT": place.url, "REGION": "us-east-1", "NO_CHECK_BUCKET": "true"}
    environment = {f"RCLONE_CONFIG_LAKE_{name}": value for name, value in options.items()} | {"RCLONE_CONFIG": "", "HOME": str(place.folder), "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_RETRIES": "1", "RCLONE_STATS": "0"}
    tree = place.folder / "tree"
    (tree / "sub dir").mkdir(parents=True, exist_ok=True)
    for path, data in (("one.txt", "one"), ("sub dir/two+.txt", "two"), ("ü%20.txt", "three")):
        (tree / path).write_text(data)
    (tree / "big").write_bytes(bytes(range(256)) * (9 << 12))
    rclone = pathlib.Path(sys.executable).with_name("rclone")
    root = f"lake:{place.name}/main"
    for words in (
        ("copy", "tree", f"{root}/tree", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", "--transfers", "1"),
        ("lsf", "-R", f"{root}/tree"),
        ("lsf", "-R", f"{root}/tree", "--s3-list-version", "1"),
        ("check", "tree", f"{root}/tree"),
        ("cat", f"{root}/tree/sub dir/two+.txt"),
        ("cat", f"{root}/tree/one.txt", "--offset", "1", "--count", "1"),
        ("copyto", f"{root}/tree/one.txt", f"{root}/tree/copied.txt"),
        ("moveto", f"{root}/tree/one.txt", f"{root}/tree/moved.txt"),
        ("copy", f"{root}/tree", "down", "--transfers", "1"),
        ("check", "down", f"{root}/tree", "--download"),
        ("deletefile", f"{root}/tree/moved.txt"),
        ("purge", f"{root}/tree"),
        ("lsf", "-R", f"{root}/tree"),
    ):
        place.command(" ".join(words), rclone, *words, environment=environment)
