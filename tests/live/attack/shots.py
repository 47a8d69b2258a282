"""One request in parts, and the ways to spell it so that some parser might read it differently."""

import dataclasses
import json
import urllib.parse

import lake
import signing
import spellings

JSON = "application/json"


@dataclasses.dataclass
class Shot:
    """A request before it is bytes. `names` are the places of segments that name a repository, a branch or a tag."""

    method: str
    path: list
    names: tuple = ()
    query: list = dataclasses.field(default_factory=list)
    # A JSON body as pairs of a key and the JSON of its value; or any other body as text of one byte a character.
    fields: list = None
    body: str = ""
    type: str = ""
    headers: list = dataclasses.field(default_factory=list)
    # Its S3 host, if it is for the S3 gateway.
    host: str = ""
    version: str = "HTTP/1.1"
    # Of the mutations made: whether it can still be signed, and whether HTTP/2 can say it.
    signed: bool = False
    framing: str = "length"
    absolute: str = ""

    @property
    def target(self):
        query = "&".join(name if value is None else f"{name}={value}" for name, value in self.query)
        return "/" + "/".join(self.path) + (f"?{query}" if query else "")

    def content(self):
        if self.fields is None:
            return self.body
        pairs = ",".join(f"{key}:{value}" for key, value in self.fields)
        return self.body.replace("{FIELDS}", "{" + pairs + "}") if self.body else "{" + pairs + "}"


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


def rest(method, aim, path, query=(), body=None, names=(1,)):
    """A call of the API below one repository. `body` is a mapping, written as JSON; names of repository and branches count from the end of
    `/api/v1/repositories`."""
    segments = ["api", "v1", "repositories", aim.target.repository, *[part for part in path.split("/") if part]]
    shot = Shot(method, segments, tuple(at + 2 for at in names), [[name, quote(value)] for name, value in query])
    if body is not None:
        shot.fields, shot.type = [[json.dumps(key), json.dumps(value)] for key, value in body.items()], JSON
    return shot


def s3(method, aim, path, query=(), body="", headers=()):
    """A call of the S3 gateway; `path` is reference and key, or nothing."""
    segments = [aim.target.repository, *(path.split("/") if path else [])]
    return Shot(method, segments, (0, 1) if path else (0,), [[name, value] for name, value in query], None, body, "", list(headers), lake.S3_DOMAIN)


# --- ways to spell ---------------------------------------------------------------------------------------------------------------------


def names(choose, aim, shot):
    """A repository, branch or tag in another encoding."""
    if shot.names:
        at = choose.choice(shot.names)
        if at < len(shot.path):
            shot.path[at] = spellings.name(shot.path[at], choose)


def path(choose, aim, shot):
    """The structure of the path."""
    at = choose.randrange(len(shot.path))
    match choose.randrange(9):
        case 0:
            shot.path.insert(at, choose.choice(["", ".", "%2e", "x/..", "x/%2e%2e"]))
        case 1:
            shot.path[at] = spellings.once(shot.path[at], choose, choose.choice([0.3, 1]))
        case 2:
            shot.path[at] = spellings.again(spellings.once(shot.path[at], choose, 0.5), 1, choose)
        case 3:
            shot.path[at] = shot.path[at].upper()
        case 4:
            shot.path[at] += choose.choice(spellings.TAILS)
        case 5:
            shot.path.append(choose.choice(["", "", ".", "..", "%2e%2e", "%00", ";", "#", "?"]))
        case 6:
            shot.path[at : at + 2] = [choose.choice(["%2F", "%2f", "%252F", "\\", "%5C", "%c0%af"]).join(shot.path[at : at + 2])]
        case 7:
            # One needless escape of a letter anywhere: the second decoding is off.
            shot.path[at] = shot.path[at][:-1] + spellings.once(shot.path[at][-1:], choose)
        case 8:
            shot.path.insert(0, choose.choice(["", "metrics/..", "_health/..", "api", "s3"]))


NOISE = ["x=1", "x", "&", "=", "x=%zz", "x;y", "a=b;c=d", "_method=GET", "presign=true", "%", "amount=1", "X-Amz-Signature=x", "X-Amz-Credential=", "AWSAccessKeyId=", "X-Amz-Credential=a;b",
         "X-Amz-Credential=%zz", "delete", "uploads", "uploadId=", "uploadId=x", "tagging", "acl", "force=false", "force=0", "force", "force=true;x", "path=x", "dest_path=x", "prefix=x", "?", "#", "/", "versionId=null", "list-type=2"]  # fmt: skip


def query(choose, aim, shot):
    """The query: keys and values encoded, doubled, emptied, cut off, with others around."""
    kind = choose.randrange(8)
    if shot.query and kind < 6:
        at = choose.randrange(len(shot.query))
        name, value = shot.query[at]
        match kind:
            case 0:
                name = spellings.once(name, choose, choose.choice([0.3, 1]))
            case 1 if value is not None:
                value = spellings.once(urllib.parse.unquote(value), choose, choose.choice([0.3, 1]))
            case 2:
                shot.query.insert(choose.randint(0, len(shot.query)), [name, choose.choice(["", "x", value, "false", "other%2Fpath", None])])
            case 3:
                name = choose.choice([name.upper(), name.capitalize(), f"{name}[]", f"+{name}", f"{name}%00", spellings.again(spellings.once(name, choose), 1, choose)])
            case 4 if value is not None:
                value += choose.choice([";", ";x", "%00", "+", "%20", "#", "#x", "%", "%zz", "%23", "/", "%2F", "%0A", "%2500"])
            case 5 if value is not None:
                value = choose.choice(["%2F", "./", "/", "%2E%2F", "//", "x/../", "+", "%00", "%EF%BB%BF"]) + value
        shot.query[at] = [name, value]
    else:
        shot.query.insert(choose.randint(0, len(shot.query)), [choose.choice(NOISE), None])


BENIGN = {"force": ["false", "null"], "strategy": ["null", '""'], "destination": ['"x/"'], "type": ['"object"'], "paths": ["[]", "null"]}


def fields(choose, aim, shot):
    """The JSON body: keys in every spelling that Go folds, doubled, with more before, within and behind."""
    if shot.fields is None:
        return
    at = choose.randrange(len(shot.fields)) if shot.fields else 0
    key, value = shot.fields[at] if shot.fields else ('"x"', "1")
    name = json.loads(key) if key.isascii() else key.strip('"')
    match choose.randrange(18):
        case 0:
            key = '"' + "".join(f"\\u{ord(c):04x}" if choose.random() < 0.4 else c for c in name) + '"'
        case 1:
            key = json.dumps(choose.choice([name.upper(), name.capitalize(), name.swapcase()]))
        case 2:
            key = '"' + name.replace("s", "\u017f").replace("k", "\u212a") + '"'
        case 3:
            shot.fields.insert(choose.choice([0, at, len(shot.fields)]), [json.dumps(choose.choice([name, name.upper(), name.capitalize()])), choose.choice(BENIGN.get(name, ["null", '"x"', value]))])
            return
        case 4:
            value = "".join(f"\\u{ord(c):04x}" if c.isalpha() and choose.random() < 0.3 else c for c in value) if value.startswith('"') else f" {value}\t"
        case 5:
            shot.body = "{FIELDS}" + choose.choice(["garbage", "{}", '{"force":false}', "\n\n", "]", "\0", " null", "//x", ",", '{"strategy":"dest-wins"}'])
        case 6:
            shot.body = choose.choice(["\n\t ", "\xef\xbb\xbf", "\x0b", " ", "\0", "/**/", "[]", "null", "{}"]) + "{FIELDS}"
        case 7:
            depth = choose.choice([50, 200, 2000, 9_000, 11_000])
            shot.fields.insert(0, ['"deep"', "[" * depth + "]" * depth])
        case 8:
            shot.fields.insert(choose.choice([0, len(shot.fields)]), ['"pad"', '"' + "a" * choose.choice([20_000, 100_000, 300_000]) + '"'])
        case 9:
            shot.fields.insert(0, ['"bad"', choose.choice(['"\xff\xfe"', "1e999999", '"\\ud800"', '"\\u0000"', "-0", "1.0E+2", '"\x01"', "tru", "0x1", "[1,]", '"\xed\xa0\x80"'])])
        case 10:
            shot.body = choose.choice(["[{FIELDS}]", '{"x":{FIELDS}}', "{FIELDS}{FIELDS}", '"{FIELDS}"'])
        case 11:
            shot.fields += [[json.dumps(f"m{number}"), "1"] for number in range(choose.choice([3, 300]))]
        case 12:
            shot.type = choose.choice(["application/json; charset=utf-8", "application/json; charset=utf-16", "APPLICATION/JSON", "text/json", "text/plain", "application/x-www-form-urlencoded", "", "application/json;", "application/json, text/plain",
                                       "multipart/form-data; boundary=x", "application/vnd.api+json", "application/problem+json", " application/json "])  # fmt: skip
        case 13:
            value = choose.choice({"true": ["1", '"true"', "[true]", "TRUE", "null", "true "]}.get(value, [value, f"[{value}]", "null"]))
        case 14:
            shot.headers.append("Content-Encoding: " + choose.choice(["gzip", "identity", "deflate", "aws-chunked"]))
        case 15:
            shot.fields.insert(at, [json.dumps(choose.choice(["force", "Force", "FORCE"])), choose.choice(["false", "null", "true"])])
            return
        case 16:
            choose.shuffle(shot.fields)
            return
        case 17:
            shot.fields.append([json.dumps(choose.choice(["allow_empty", "parent_number", "date", "hidden", "squash_merge"])), choose.choice(["true", "0", "1", "null"])])
            return
    if shot.fields:
        shot.fields[min(at, len(shot.fields) - 1)] = [key, value]


def framing(choose, aim, shot):
    """How long the body is, and in which version of the protocol."""
    shot.framing = choose.choices(("chunked", "one by one", "endless", "odd", "expect", "1.0", "bare", "both"), (6, 3, 1, 1, 1, 4, 1, 1))[0]


def method(choose, aim, shot):
    """Another method, or headers that would change it. Not one that makes an ordinary write of it: that is what a branch is for."""
    ordinary = "PUT" if shot.host else "POST" if shot.path[-1:] == ["objects"] else ""
    others = [name for name in ("POST", "PUT", "DELETE", "PATCH", "GET", "HEAD", "OPTIONS", "TRACE", "PURGE") if name != ordinary]
    if choose.random() < 0.4:
        shot.headers.append(f"{choose.choice(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])}: {shot.method}")
        shot.method = choose.choice(others)
    else:
        shot.method = choose.choice([shot.method.lower(), shot.method.capitalize(), f"{shot.method},GET", *others])


def host(choose, aim, shot):
    """An absolute target, or another host."""
    named = spellings.authority(choose, aim) if choose.random() < 0.6 else choose.choice([lake.S3_DOMAIN, f"{aim.target.repository}.{lake.S3_DOMAIN}", aim.host])
    if choose.random() < 0.6:
        shot.absolute = choose.choice(["http://", "http://", "https://", "HTTP://"]) + named
    else:
        shot.host = named


def signs(choose, aim, shot):
    """Marks of a signed request where there is none."""
    shot.headers.append(choose.choice(spellings.SIGNED[:10]))
    if choose.random() < 0.4:
        shot.headers.append(f"Connection: {', '.join(choose.sample(spellings.NOMINATED, 2))}")


WAYS = ((names, 5), (path, 2), (query, 3), (fields, 5), (framing, 1), (method, 0.4), (host, 0.6), (signs, 0.6))


def spell(choose, aim, shot):
    """Nothing, one, or some of the above."""
    for _ in range(choose.choices((0, 1, 2, 3), (3, 6, 3, 1))[0]):
        ways, weights = zip(*(pair for pair in WAYS if pair[0] is not fields or shot.fields is not None), strict=True)
        choose.choices(ways, weights)[0](choose, aim, shot)
    return shot


# --- bytes -----------------------------------------------------------------------------------------------------------------------------


def authorized(choose, aim, shot):
    """The headers that say who asks. For the S3 gateway: a signature, or anything else that lakeFS takes instead."""
    world = aim.target.world
    plainly = [f"Authorization: {world.basic}", f"Authorization: Bearer {aim.bearer}", f"Cookie: internal_auth_session={aim.cookie}"]
    if not shot.host:
        return [choose.choice(plainly)]
    way = choose.choice(("signed", "signed", "presigned", "host", "virtual", "mark", "absolute"))
    repository = shot.path[0] if shot.path else ""
    if way == "virtual" and shot.path[:1] == [aim.target.repository]:
        shot.host, shot.path = f"{repository}.{lake.S3_DOMAIN}", shot.path[1:]
        shot.names = tuple(at - 1 for at in shot.names if at)
    if way in ("signed", "presigned") or (way == "virtual" and choose.random() < 0.5):
        pairs = [(urllib.parse.unquote(name), urllib.parse.unquote(value or "")) for name, value in shot.query]
        at = "/" + "/".join(shot.path)
        if way == "presigned":
            shot.query = [[signing.presigned(world, shot.host, shot.method, at, pairs), None]]
            return []
        return signing.headers(world, shot.host, shot.method, at, pairs, shot.content().encode("latin-1", "replace"))
    if way == "mark":
        shot.host = ""
        return ["X-Amz-Signature: x", choose.choice(plainly)]
    if way == "absolute":
        shot.absolute, shot.host = f"http://{shot.host}", ""
    return [choose.choice(plainly)]


def volley(choose, aim, shot, way=None):
    """Its bytes, with whoever asks."""
    headers = [*shot.headers, *authorized(choose, aim, shot)]
    if shot.type:
        headers.append(f"Content-Type: {shot.type}")
    content, target, due = spellings.raw(shot.content()).decode("latin-1"), shot.absolute + shot.target, True
    named = f"Host: {shot.host or aim.host}"
    length, version = True, "HTTP/1.1"
    match shot.framing:
        case "chunked":
            length, content = False, _chunks(content, max(1, len(content)))
            headers.append("Transfer-Encoding: chunked")
        case "one by one":
            length, content = False, _chunks(content, 7 if len(content) < 2000 else 999)
            headers.append("Transfer-Encoding: chunked")
        case "endless":
            length, due, content = False, False, _chunks(content, 40)[:-5]
            headers.append("Transfer-Encoding: chunked")
        case "odd":
            length, due, content = False, False, _chunks(content, 40)
            headers.append(choose.choice(spellings.CODING_NAMES) + choose.choice(spellings.CODINGS))
        case "expect":
            due = False
            headers.append("Expect: 100-continue")
        case "1.0":
            version = "HTTP/1.0"
        case "both":
            due = False
            headers.append("Transfer-Encoding: chunked")
    lines = [f"{shot.method} {target} {version}", named, *headers, *([f"Content-Length: {len(content)}"] if length else []), "Connection: close"]
    end = "\n" if shot.framing == "bare" else "\r\n"
    if end == "\n":
        due = False
    head = end.join(lines) + end + end
    return spellings.Volley("", (spellings.raw(head) + content.encode("latin-1"),), due=due, head_only=shot.method == "HEAD")


def _chunks(content, size):
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces) + "0\r\n\r\n"


def over_http2(choose, aim, shot):
    """The same as HTTP/2 says it: header fields and body."""
    headers = [*shot.headers, *authorized(choose, aim, shot)]
    if shot.type:
        headers.append(f"Content-Type: {shot.type}")
    fields = [(":method", shot.method), (":scheme", "https"), (":path", shot.target), (":authority", shot.absolute.rpartition("//")[2] or shot.host or aim.host)]
    for line in headers:
        name, _, value = line.partition(":")
        if name.lower() not in ("connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"):
            fields.append((name.strip().lower(), value.strip()))
    if shot.host and shot.absolute:
        fields.append(("host", shot.host))
    return [(spellings.raw(name), spellings.raw(value)) for name, value in fields], spellings.raw(shot.content()), shot.framing != "endless"
