"""Every way to hurt a protected branch, as a request before it is spelt: each does damage to an estate when nothing stands before lakeFS.

In `dw` estates each of them does what it is named for; in `do` ones, which are read-only, only what is forced does anything.
"""

import dataclasses
import random

import shots
import spellings

BRANCH = (1, 3)
MERGE = (1, 3, 5)


def hard_reset(choose, aim):
    forced = choose.choice([[], [("force", "true")], [("force", "false")]])
    ref = choose.choice([aim.target.old, "main~1"])
    return shots.rest("PUT", aim, f"branches/{choose.choice(['main', 'release'])}/hard_reset", [("ref", ref), *forced], names=BRANCH)


def delete_branch(choose, aim):
    return shots.rest("DELETE", aim, f"branches/{choose.choice(['release', 'held'])}", choose.choice([[], [("force", "true")]]), names=BRANCH)


def make_branch_over_another(choose, aim):
    body = {"name": choose.choice(["release", "main"]), "source": aim.target.old, "force": True}
    return shots.rest("POST", aim, "branches", body=body)


def reset(choose, aim):
    body = choose.choice([{"type": "reset"}, {"type": "object", "path": "held/1"}, {"type": "common_prefix", "path": "held/"}, {"type": "common_prefix", "path": ""}])
    return shots.rest("PUT", aim, "branches/held", body=body, names=BRANCH)


def revert(choose, aim):
    return shots.rest("POST", aim, "branches/release/revert", body={"ref": choose.choice([aim.target.release, "release"]), "parent_number": 0}, names=BRANCH)


def cherry_pick(choose, aim):
    return shots.rest("POST", aim, "branches/main/cherry-pick", body={"ref": choose.choice([aim.target.dev, "dev"])}, names=BRANCH)


def imports(choose, aim):
    path = choose.choice([{"path": aim.sources["object"], "type": "object", "destination": "in/1"}, {"path": aim.sources["whole"], "type": "common_prefix", "destination": choose.choice(["in/", ""])}])
    return shots.rest("POST", aim, "branches/release/import", body={"paths": [path], "commit": {"message": "m"}}, names=BRANCH)


def imports_a_hook(choose, aim):
    path = choose.choice(
        [
            {"path": aim.sources["object"], "type": "object", "destination": "_lakefs_actions/x.yaml"},
            {"path": aim.sources["whole"], "type": "common_prefix", "destination": choose.choice(["_lakefs_actions/", ""])},
            {"path": aim.sources["end"], "type": "common_prefix", "destination": "_lakefs_"},
        ]
    )
    body = {"paths": [{"path": aim.sources["object"], "type": "object", "destination": "in/1"}, path], "commit": {"message": "m"}}
    return shots.rest("POST", aim, "branches/dev/import", body=body, names=BRANCH)


def merge_source_wins(choose, aim):
    body = {"strategy": "source-wins"} | choose.choice([{}, {"message": "m"}, {"force": False}, {"squash_merge": True}, {"metadata": {"strategy": "dest-wins"}}])
    return shots.rest("POST", aim, f"refs/{choose.choice(['dev', aim.target.dev])}/merge/release", body=body, names=MERGE)


def restore_refs(choose, aim):
    body = {"commits_meta_range_id": aim.target.metarange, "tags_meta_range_id": aim.target.metarange, "branches_meta_range_id": aim.target.metarange}
    return shots.rest(*choose.choice([("PUT", aim, "refs/restore"), ("POST", aim, "restore")]), body=body | choose.choice([{}, {"force": True}]))


def delete_repository(choose, aim):
    return shots.rest("DELETE", aim, "", choose.choice([[], [("force", "true")]]))


def delete_tag(choose, aim):
    return shots.rest("DELETE", aim, "tags/v1", choose.choice([[], [("force", "true")]]), names=BRANCH)


def make_tag_over_another(choose, aim):
    return shots.rest("POST", aim, "tags", body={"id": "v1", "ref": "dev", "force": True})


def set_rules(choose, aim):
    shot = shots.rest("PUT", aim, "settings/branch_protection")
    shot.body, shot.type = choose.choice(["[]", '[{"pattern":"x"}]', '[{"pattern":"sealed-*"},{"pattern":"m*"}]']), shots.JSON
    return shot


def set_rules_the_old_way(choose, aim):
    method, pattern = choose.choice([("DELETE", "sealed-*"), ("POST", "x")])
    return shots.rest(method, aim, "branch_protection", body={"pattern": pattern})


def delete_object(choose, aim):
    return shots.rest("DELETE", aim, "branches/main/objects", [("path", "a/1"), *choose.choice([[], [("force", "true")]])], names=BRANCH)


def delete_objects(choose, aim):
    return shots.rest("POST", aim, "branches/main/objects/delete", choose.choice([[], [("force", "true")]]), {"paths": ["a/1", "a/2"]}, names=BRANCH)


def s3_delete(choose, aim):
    return shots.s3("DELETE", aim, f"{choose.choice(['main', 'release'])}/a/1", choose.choice([[]] * 4 + [[["versionId", "null"]], [["x-id", "DeleteObject"]], [["uploads", None]], [["partNumber", "1"]]]))


def _spelt(choose, text):
    """Text of an XML element."""
    kind = choose.randrange(6)
    if kind == 0:
        return "".join(f"&#{ord(c)};" if choose.random() < 0.4 else c for c in text)
    if kind == 1:
        return "".join(f"&#x{ord(c):x};" if choose.random() < 0.4 else c for c in text)
    if kind == 2:
        cut = choose.randrange(len(text))
        return f"{text[:cut]}<![CDATA[{text[cut:]}]]>"
    if kind == 3:
        cut = choose.randrange(len(text))
        return text[:cut] + choose.choice(["<!-- x -->", "<x>dev</x>", "<x/>", "<?x y?>", "<![CDATA[]]>"]) + text[cut:]
    if kind == 4:
        return choose.choice(["/", ""]) + text + choose.choice(["", "\n", "\nx", "&#10;x", "&#13;"])
    return text


ODD_KEYS = ["{other}{key}", "{key}<VersionId>null</VersionId>", "{key}<key>dev/x</key>", "{key}<x><Key>dev/x</Key></x>", "text{key}<Key2/>", "{key}<:Key>dev/x</:Key>", "{key}{key}", "<!-- x -->{key}", "{key}<Key/>"]
ODD_STARTS = ["", "\n", "\xef\xbb\xbf", "text", "<!DOCTYPE Delete>", "<!DOCTYPE D [<!ENTITY m 'main'>]>", "<!-- x -->", '<?xml version="1.0" encoding="utf-16"?>', '<?xml version="1.0" encoding="latin1"?>', "<?x y?>", "<!-->", "<!DOCTYPE x [<!-- ]> -->]>"]
ODD_TAILS = ["\n", "garbage <", "<Delete><Object><Key>dev/x</Key></Object></Delete>", "</Delete>", "\0", "<!-- "]
ODD_QUERIES = [("delete", ""), ("delete", "x"), ("%64elete", None), ("DELETE", None), ("delete", "%zz"), ("x&delete", None), ("delete;", None)]
ODD_HEADERS = ["Content-MD5: x", "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "Content-Encoding: aws-chunked", "Content-Type: text/plain", "X-Amz-Decoded-Content-Length: 1"]


def s3_delete_objects(choose, aim):
    """DeleteObjects, in all that encoding/xml reads."""
    key, keys, other = f"{choose.choice(['main', 'release'])}/a/1", "{key}", "<Key>dev/a/1</Key>"
    name, thing, root, space, start, tail, query, more, copies = "Key", "Object", "Delete", "", '<?xml version="1.0" encoding="UTF-8"?>\n', "", ("delete", None), [], 1
    for _ in range(choose.choices((0, 1, 2), (2, 4, 3))[0]):
        match choose.randrange(12):
            case 0 | 1 | 2:
                key = _spelt(choose, key)
            case 3:
                name = choose.choice(["n:Key", ":Key", "Key:", "Key z='&gt;'", "Key ", "n:Key xmlns:n='u'"])
            case 4:
                thing = choose.choice(["o:Object", "Object a='b'", "Object:"])
            case 5:
                keys = choose.choice(ODD_KEYS)
            case 6:
                root = choose.choice(["Delet", "x:Delete", "Object", "delete", "D", "Key"])
            case 7:
                space = choose.choice([' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', " xmlns='x'", ' xmlns:x="y" a="b"', " a", " a=b"])
            case 8:
                start = choose.choice(ODD_STARTS)
            case 9:
                tail = choose.choice(ODD_TAILS)
            case 10:
                query = choose.choice(ODD_QUERIES)
            case 11:
                copies, more = choose.choice([(1, [choose.choice(ODD_HEADERS)]), (400, []), (990, [])])
    element = f"<{name}>{key}</{name.split()[0]}>"
    inside = keys.replace("{key}", element).replace("{other}", other)
    objects = [f"<{thing}>{inside}</{thing.split()[0]}>"] * copies
    if choose.random() < 0.3:
        objects.insert(choose.randint(0, 1), f"<Object>{other}</Object>")
    body = f"{start}<{root}{space}>{''.join(objects)}{choose.choice(['', '<Quiet>true</Quiet>'])}</{root}>{tail}"
    return shots.s3("POST", aim, "", [list(query)], body, more)


def commit_metarange(choose, aim):
    return shots.rest("POST", aim, "branches/release/commits", [("source_metarange", aim.target.metarange)], {"message": "m"}, names=BRANCH)


HOOK = "_lakefs_actions/x.yaml"
LUA = 'name: x\non:\n  pre-commit:\nhooks:\n  - id: a\n    type: lua\n    properties:\n      script: |\n        print(1)\n'


def uploads_a_hook(choose, aim):
    shot = shots.rest("POST", aim, "branches/dev/objects", [("path", HOOK), *choose.choice([[], [("storageClass", "x")], [("force", "true")]])], names=BRANCH)
    shot.body, shot.type = LUA, "application/octet-stream"
    if choose.random() < 0.4:
        shot.type = "multipart/form-data; boundary=b"
        shot.body = f'--b\r\nContent-Disposition: form-data; name="content"; filename="x"\r\n\r\n{LUA}\r\n--b--\r\n'
    return shot


def stages_a_hook(choose, aim):
    body = {"physical_address": aim.target.address, "checksum": "x", "size_bytes": 7}
    return shots.rest("PUT", aim, "branches/dev/objects", [("path", HOOK)], body, names=BRANCH)


def copies_a_hook(choose, aim):
    return shots.rest("POST", aim, "branches/dev/objects/copy", [("dest_path", HOOK)], {"src_path": "a/1"} | choose.choice([{}, {"src_ref": "main"}]), names=BRANCH)


def links_a_hook(choose, aim):
    """lakeFS wants an address that it has signed for this path; the gateway does not look so far."""
    body = {"staging": {"physical_address": aim.target.address}, "checksum": "x", "size_bytes": 7}
    return shots.rest("PUT", aim, "branches/dev/staging/backing", [("path", HOOK)], body, names=BRANCH)


def completes_a_hook(choose, aim):
    kind = choose.randrange(3)
    if kind == 0:
        return shots.rest("POST", aim, "branches/dev/staging/pmpu", [("path", HOOK), ("parts", "1")], names=BRANCH)
    body = {"physical_address": aim.target.address, "parts": [{"part_number": 1, "etag": "x"}]}
    return shots.rest("PUT", aim, "branches/dev/staging/pmpu/x", [("path", HOOK)], body, names=BRANCH)


def s3_puts_a_hook(choose, aim):
    headers = choose.choice([[], [], ["Content-Type: text/plain"], [f"X-Amz-Copy-Source: /{aim.target.repository}/main/a/1"], [f"X-Amz-Copy-Source: {aim.target.repository}%2Fmain%2Fa%2F1"]])
    return shots.s3("PUT", aim, f"dev/{HOOK}", choose.choice([[]] * 4 + [[["x-id", "PutObject"]], [["partNumber", "1"]]]), "" if headers[:1] and "Copy" in headers[0] else LUA, headers)


def s3_posts_a_hook(choose, aim):
    return shots.s3("POST", aim, f"dev/{HOOK}", choose.choice([[["uploads", None]], [["uploadId", "x"]], [["uploads", ""]]]), "<CompleteMultipartUpload/>")


def forced_query(choose, aim):
    """`force` in the query: on a read-only repository it shows."""
    force = [("force", choose.choice(["true"] * 4 + ["1", "T", "True", "TRUE", "t"]))]
    kind = choose.randrange(7)
    if kind == 0:
        shot = shots.rest("POST", aim, "branches/main/objects", [("path", "a/1"), *force], names=BRANCH)
        shot.body, shot.type = f"other {choose.random()}", "application/octet-stream"
        return shot
    if kind == 1:
        return shots.rest("DELETE", aim, "branches/main/objects", [("path", "a/1"), *force], names=BRANCH)
    if kind == 2:
        return shots.rest("POST", aim, "branches/main/objects/delete", force, {"paths": ["a/1"]}, names=BRANCH)
    if kind == 3:
        return shots.rest("DELETE", aim, "tags/v1", force, names=BRANCH)
    if kind == 4:
        return shots.rest("DELETE", aim, "branches/release", force, names=BRANCH)
    if kind == 5:
        return shots.rest("DELETE", aim, "", force)
    return shots.rest("PUT", aim, "branches/main/hard_reset", [("ref", aim.target.old), *force], names=BRANCH)


def forced_body(choose, aim):
    """`force` in the body."""
    kind = choose.randrange(13)
    if kind == 0:
        return shots.rest("POST", aim, "branches/held/commits", body={"message": "m", "force": True}, names=BRANCH)
    if kind == 1:
        return shots.rest("POST", aim, "branches/release/revert", body={"ref": aim.target.release, "parent_number": 0, "force": True}, names=BRANCH)
    if kind == 2:
        return shots.rest("POST", aim, "branches/main/cherry-pick", body={"ref": aim.target.dev, "force": True}, names=BRANCH)
    if kind == 3:
        return shots.rest("POST", aim, "refs/dev/merge/main", body={"force": True}, names=MERGE)
    if kind == 4:
        return shots.rest("PUT", aim, "branches/held", body={"type": "reset", "force": True}, names=BRANCH)
    if kind == 5:
        return shots.rest("POST", aim, "tags", body={"id": "v2", "ref": "main", "force": True})
    if kind == 6:
        return shots.rest("PUT", aim, "branches/main/objects", [("path", "a/9")], {"physical_address": aim.target.address, "checksum": "x", "size_bytes": 7, "force": True}, names=BRANCH)
    if kind == 7:
        return shots.rest("POST", aim, "branches/main/objects/copy", [("dest_path", "a/9")], {"src_path": "a/1", "force": True}, names=BRANCH)
    if kind == 8:
        paths = [{"path": aim.sources["object"], "type": "object", "destination": "in/1"}]
        return shots.rest("POST", aim, "branches/release/import", body={"paths": paths, "commit": {"message": "m"}, "force": True}, names=BRANCH)
    if kind == 9:
        return shots.rest("POST", aim, "commits", body={"commit_id": "a" * 64, "version": 1, "committer": "c", "message": "m", "metarange_id": aim.target.metarange, "creation_date": 1, "parents": [], "metadata": {}, "generation": 1, "force": True})
    if kind == 10:
        return shots.rest("PUT", aim, "branches/main/staging/backing", [("path", "a/9")], {"staging": {"physical_address": aim.target.address}, "checksum": "x", "size_bytes": 7, "force": True}, names=BRANCH)
    if kind == 11:
        return shots.rest("POST", aim, "branches/held/commits/async", body={"message": "m", "force": True}, names=BRANCH)
    return shots.rest("POST", aim, "refs/dev/merge/main/async", body={"force": True}, names=MERGE)


def old_ways(choose, aim):
    """What older and other servers have, and what none has: this lakeFS answers 404."""
    path, names = choose.choice([("refs/dev/merge/release/async", MERGE), ("branches/release/commits/async", BRANCH), ("branches/release/update_token", BRANCH), ("branches/release/rewrite", BRANCH), ("settings/object_lifecycle", (1,)), ("settings/branch_lifecycle/policies", (1,))])
    return shots.rest(choose.choice(["POST", "PUT", "DELETE"]), aim, path, body={"strategy": "source-wins", "message": "m", "staging_token": "x"}, names=names)


def delete_user(choose, aim):
    """The only user: never fired at this lakeFS itself, which would be locked for good."""
    return shots.Shot("DELETE", ["api", "v1", "auth", "users", "admin"], (4,))


# How often each is fired, by kind of estate.
WRITABLE = {
    hard_reset: 2, delete_branch: 4, make_branch_over_another: 1, reset: 4, revert: 4, cherry_pick: 4, imports: 3, imports_a_hook: 6, merge_source_wins: 6, restore_refs: 1, delete_repository: 3,
    delete_tag: 4, make_tag_over_another: 1, set_rules: 3, set_rules_the_old_way: 3, delete_object: 4, delete_objects: 4, s3_delete: 8, s3_delete_objects: 10, commit_metarange: 4, uploads_a_hook: 6,
    stages_a_hook: 4, copies_a_hook: 4, links_a_hook: 1, completes_a_hook: 2, s3_puts_a_hook: 6, s3_posts_a_hook: 2, old_ways: 1, delete_user: 1,
}  # fmt: skip
READ_ONLY = {forced_query: 1, forced_body: 2}


@dataclasses.dataclass(frozen=True)
class Aim(spellings.Aim):
    """Whom a volley is for, with what an import may bring."""

    sources: dict = dataclasses.field(default_factory=dict)


def _shot(seed, aim):
    choose = random.Random(seed)
    attacks = READ_ONLY if aim.target.kind == "do" else WRITABLE
    attack = choose.choices(list(attacks), weights=list(attacks.values()))[0]
    return choose, attack, shots.spell(choose, aim, attack(choose, aim))


def volley(seed, aim):
    """The volley of this seed, for this aim."""
    choose, attack, shot = _shot(seed, aim)
    made = shots.volley(choose, aim, shot)
    return dataclasses.replace(made, family=f"danger {attack.__name__.replace('_', ' ')}", direct=attack is not delete_user)


def over_http2(seed, aim):
    """The same as HTTP/2 says it."""
    choose, _, shot = _shot(seed, aim)
    return shots.over_http2(choose, aim, shot)
