"""A plain S3 store (SeaweedFS, from PyPI) on loopback: it verifies signatures itself, and has nothing of lakeFS."""

import json
import shutil
import subprocess
import sys
import pathlib

from support import process

KEY, SECRET = "store-key", "store-secret"
# Buckets are found one label below it, too.
DOMAIN = "s3.store.test"
TLS = process.ROOT / "tests/data/tls"
RIGHTS = ["Admin", "Read", "Write", "List", "Tagging"]


def binary():
    """SeaweedFS's `weed`, beside this Python or on the path; None if it is not installed."""
    beside = pathlib.Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


class Store(process.Process):
    """One SeaweedFS with its state in a folder of its own."""

    def __init__(self, folder):
        s3, tls, *others = process.free_ports(9)
        names = ("master.port", "volume.port", "filer.port", "master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir()
        identity = {"name": "suite", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": RIGHTS}
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        self.url, self.tls_url = f"http://127.0.0.1:{s3}", f"https://127.0.0.1:{tls}"
        arguments = ["server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.port={s3}", f"-s3.domainName={DOMAIN}"]
        arguments += [f"-s3.port.https={tls}", f"-s3.cert.file={TLS / 'server.pem'}", f"-s3.key.file={TLS / 'server.key'}"]
        arguments += ["-s3.config=identities.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=400", "-master.telemetry=false"]
        arguments += [f"-{name}={port}" for name, port in zip(names, others, strict=True)]
        super().__init__("store", arguments, folder, command=binary())

    def stop(self):
        """It takes half a minute to end well, and nothing of it is kept."""
        self._child.kill()
        self._child.wait(10)
        self._out.close()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
