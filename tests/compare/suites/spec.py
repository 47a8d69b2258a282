"""lakefs-spec: lakeFS as a file system."""

import lakefs
from lakefs.client import Client
from lakefs_spec import LakeFSFileSystem


def run(place):
    repository = lakefs.Repository(place.name, client=Client(host=place.url, username=place.key, password=place.secret)).create(storage_namespace=place.namespace)
    fs = LakeFSFileSystem(host=place.url, username=place.key, password=place.secret, use_listings_cache=False, skip_instance_cache=True)
    root = f"{place.name}/main"
    for path, data in (("a.txt", b"a"), ("d/b c+.txt", b"0123456789"), ("d/\u00fc.txt", b"\xc3\xbc")):
        place.attempt(f"pipe {path}", fs.pipe, f"{root}/{path}", data)
        place.attempt(f"cat {path}", fs.cat, f"{root}/{path}")
        place.attempt(f"info {path}", fs.info, f"{root}/{path}")
    place.attempt("some bytes", fs.cat_file, f"{root}/d/b c+.txt", 2, 5)
    place.attempt("ls", fs.ls, f"{root}/", True)
    place.attempt("find", fs.find, f"{root}/")
    place.attempt("glob", fs.glob, f"{root}/d/*")
    place.attempt("exists", lambda: [fs.exists(f"{root}/{path}") for path in ("a.txt", "d", "none")])
    place.attempt("missing", fs.cat, f"{root}/none")
    (place.folder / "local").write_bytes(b"from a file")
    place.attempt("put", fs.put, str(place.folder / "local"), f"{root}/put")
    place.attempt("put again", fs.put, str(place.folder / "local"), f"{root}/put")
    place.attempt("get", fs.get, f"{root}/put", str(place.folder / "back"))
    place.attempt("checksum", fs.checksum, f"{root}/put")
    place.attempt("copy", fs.cp_file, f"{root}/put", f"{root}/copied")
    with fs.open(f"{root}/written", "wb") as file:
        file.write(b"w" * 100000)
    with fs.open(f"{root}/written", "rb") as file:
        file.seek(99990)
        place.attempt("read the end", file.read)
    repository.branch("main").commit("before the transaction")
    with fs.transaction(place.name, "main") as transaction:
        fs.pipe(f"{place.name}/{transaction.branch.id}/in-transaction", b"t")
        place.attempt("commit", lambda: transaction.commit("m") and "done")
    place.attempt("rm", fs.rm, f"{root}/d", True)
    place.attempt("ls afterwards", fs.ls, f"{root}/", False)
