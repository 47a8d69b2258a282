"""lakectl: what a person does all day. Needs LAKECTL_BIN."""

import os


def run(place):
    binary = os.environ.get("LAKECTL_BIN")
    environment = {
        "LAKECTL_SERVER_ENDPOINT_URL": place.url,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": place.key,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": place.secret,
        "HOME": str(place.folder),
        "LAKECTL_CONFIG": "",
    }
    (place.folder / "tree").mkdir(exist_ok=True)
    for name in ("one.txt", "two words+.txt"):
        (place.folder / "tree" / name).write_text(name)
    (place.folder / "big").write_bytes(bytes(range(256)) * (20 << 12))

    def lakectl(line, *more):
        words = [word.replace("{}", f"lakefs://{place.name}") for word in line.split()]
        place.command(line, binary, *words, *more, environment=environment)

    lakectl("--version")
    lakectl("identity")
    lakectl(f"repo create {{}} {place.namespace}")
    lakectl(f"repo create {{}} {place.namespace}")
    for line in (
        "repo list --amount 1000 --prefix none", "branch create {}/work --source {}/main", "branch create {}/work --source {}/main", "branch list {}", "branch show {}/work",
        "fs upload {}/work/a/one.txt --source tree/one.txt", "fs upload {}/work/a/presigned.txt --source tree/one.txt --pre-sign=true", "fs upload {}/work/a/direct.txt --source tree/one.txt --pre-sign=false",
        "fs upload {}/work/tree/ --source tree/ --recursive", "fs upload {}/work/big --source big --pre-sign=true", "fs upload {}/work/big2 --source big --pre-sign=false",
        "fs ls {}/work/", "fs ls {}/work/ --recursive", "fs stat {}/work/a/one.txt", "fs stat {}/work/none", "fs cat {}/work/a/one.txt", "fs cat {}/work/a/one.txt --pre-sign=false", "fs cat {}/work/none",
        "fs download {}/work/big down --parallelism 1", "fs download {}/work/big2 down2 --pre-sign=false", "diff {}/work", "commit {}/work -m one --meta k=v", "commit {}/work -m nothing",
        "commit {}/work -m empty --allow-empty-message --allow-empty-commit", "log {}/work", "log {}/work --amount 1", "show commit {}/work", "diff {}/main {}/work", "merge {}/work {}/main", "merge {}/work {}/main",
        "tag create {}/v1 {}/main", "tag list {}", "tag show {}/v1", "tag delete {}/v1 -y", "fs rm {}/work/a/one.txt", "fs rm {}/work/tree/ --recursive", "branch reset {}/work -y", "branch revert {}/main main -m 1 -y",
        "cherry-pick {}/work {}/main", "branch-protect add {} release-*", "branch-protect list {}", "branch-protect delete {} release-*", "refs-dump {}", "actions runs list {}", "gc get-config {}", "annotate {}/main/",
        "branch delete {}/work -y", "auth users list", "doctor", "repo delete {} -y",
    ):  # fmt: skip
        lakectl(line)
    for name in ("down", "down2"):
        path = place.folder / name
        place.say(f"size of {name}", path.stat().st_size if path.exists() else None)
