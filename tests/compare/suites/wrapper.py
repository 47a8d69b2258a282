"""The `lakefs` package: repositories, branches, objects as files, transactions."""

import lakefs
from lakefs.client import Client


def run(place):
    client = Client(host=place.url, username=place.key, password=place.secret)
    repository = lakefs.Repository(place.name, client=client)
    place.attempt("create", lambda: repository.create(storage_namespace=place.namespace).properties)
    place.attempt("create again", lambda: repository.create(storage_namespace=place.namespace))
    place.attempt("create, exists ok", lambda: repository.create(storage_namespace=place.namespace, exist_ok=True).properties)
    branch = repository.branch("work").create(source_reference="main")
    for mode, data in (("x", "once"), ("w", "text ü\n"), ("wb", b"\0\1\2"), ("x", "twice")):
        place.attempt(f"write {mode}", lambda mode=mode, data=data: branch.object("d/a b+c.txt").upload(data=data, mode=mode).stat())
    with branch.object("lines").writer(mode="w", pre_sign=False, content_type="text/plain", metadata={"k": "v"}) as writer:
        writer.write("one\ntwo\nthree\n")
    with branch.object("presigned").writer(mode="wb", pre_sign=True) as writer:
        writer.write(b"by the store")
    for path in ("lines", "presigned", "none"):
        place.attempt(f"read {path}", lambda path=path: branch.object(path).reader(mode="rb", pre_sign=False).read())
        place.attempt(f"read {path} presigned", lambda path=path: branch.object(path).reader(mode="rb", pre_sign=True).read())
    with branch.object("lines").reader(mode="r", pre_sign=False) as reader:
        reader.seek(4)
        place.attempt("seek, readline", reader.readline)
        place.attempt("read some", lambda: reader.read(2))
    place.attempt("exists", lambda: [branch.object(path).exists() for path in ("lines", "none")])
    place.attempt("uncommitted", lambda: sorted(change.path for change in branch.uncommitted()))
    place.attempt("commit", lambda: branch.commit("one", metadata={"k": "v"}).get_commit().message)
    place.attempt("commit nothing", lambda: branch.commit("nothing"))
    place.attempt("copy", lambda: branch.object("lines").copy("work", "lines2").stat())
    place.attempt("delete", lambda: branch.object("lines2").delete())
    place.attempt("delete many", lambda: branch.delete_objects(["lines2", "none"]))
    with branch.transact(commit_message="in a transaction") as transaction:
        transaction.object("t").upload(data=b"t")
    place.attempt("merge", lambda: branch.merge_into("main") and "merged")
    place.attempt("merge again", lambda: branch.merge_into("main"))
    place.attempt("objects", lambda: [each.path for each in repository.ref("main").objects(delimiter="/")])
    place.attempt("diff", lambda: [(each.type, each.path) for each in repository.ref("main~1").diff("main")])
    place.attempt("log", lambda: [commit.message for commit in repository.ref("main").log(max_amount=10)])
    place.attempt("tag", lambda: repository.tag("v1").create("main").id)
    place.attempt("reset", lambda: branch.reset_changes())
    place.attempt("delete branch", branch.delete)
    place.attempt("delete repository", repository.delete)
