"""The attacker's alphabet: requests that mean to reset `main` hard, spelt in every way that some parser might read differently.

`volley(seed, aim)` makes the same request for every aim, but for the names in it: what is fired at lakeFS directly and what is fired through
the gateway differ in nothing else. Names of repositories have one length, so that the random choices stay in step.
"""

import base64
import dataclasses
import random

import lake

PATH = "/api/v1/repositories/{R}/branches/{B}/hard_reset"


@dataclasses.dataclass(frozen=True)
class Aim:
    """Whom a volley is for."""

    target: lake.Target
    host: str
    bearer: str
    cookie: str

    def names(self):
        return {"R": self.target.repository, "B": "main", "OLD": self.target.old, "AUTH": self.target.world.basic}


@dataclasses.dataclass(frozen=True)
class Volley:
    """Bytes to send, piece by piece."""

    family: str
    pieces: tuple
    # Whether an answer must come.
    due: bool = True
    head_only: bool = False
    # Whether it may be fired at lakeFS itself.
    direct: bool = True


def volley(seed, aim):
    """The volley of this seed, for this aim."""
    choose = random.Random(seed)
    family = choose.choices(list(FAMILIES), weights=[weight for _, weight in FAMILIES.values()])[0]
    made = FAMILIES[family][0](choose, aim)
    return dataclasses.replace(made, family=family)


# --- pieces of a request -------------------------------------------------------------------------------------------------------------


def once(text, choose, share=1.0):
    """Characters encoded once, some of them."""
    return "".join(_percent(c, choose) if choose.random() < share else c for c in text)


def _percent(c, choose):
    spelt = "".join(f"%{byte:02X}" for byte in c.encode())
    return spelt.lower() if choose.random() < 0.3 else spelt


def again(text, share, choose):
    """The `%` of earlier encodings encoded once more."""
    return "".join("%25" if c == "%" and choose.random() < share else c for c in text)


def overlong(text):
    """UTF-8 of two bytes for ASCII, which no decoder should take."""
    return "".join(f"%{0xC0 | ord(c) >> 6:02X}%{0x80 | ord(c) & 0x3F:02X}" for c in text)


def full_width(text):
    """The same letters from another block."""
    return "".join(once(chr(ord(c) + 0xFEE0), random.Random(0)) if c.isalpha() else c for c in text)


TAILS = ["+", "%20", "%00", "%2500", ";", ";x=1", "%3B", "~0", "@", "%40", "%2F", "%252F", ".", "%2E", "/.", "%23", "#", "%3F", "%0A", "%0D%0A", "%09",
         "%E2%80%8B", "$", "^", "*", "%", "%zz", "%25", "%u006d", "\\", "%5C", ":", "|", "!", "'", "%C2%A0", "/", "//", "?", "&", "=", ",", "\x7f", "\xe9"]  # fmt: skip
HEADS = ["+", "%20", "%00", ".", "./", "%2E%2F", "../branches/", "%2e%2e%2fbranches%2f", "/", "%2F", "@", "-", "~", ":", "\\", "%EF%BB%BF", "dev/../"]


def name(text, choose):
    """A repository or branch, spelt so that it may still bind."""
    kind = choose.choices(
        ("plain", "once", "some", "twice", "mixed", "thrice", "deep", "overlong", "wide", "tail", "head", "case", "u"),
        (20, 8, 12, 12, 10, 3, 2, 2, 1, 12, 4, 2, 1),
    )[0]
    match kind:
        case "once":
            return once(text, choose)
        case "some":
            return once(text, choose, 0.4)
        case "twice":
            return again(once(text, choose), 1, choose)
        case "mixed":
            return again(once(text, choose, 0.6), 0.5, choose)
        case "thrice":
            return again(again(once(text, choose), 1, choose), 1, choose)
        case "deep":
            spelt = once(text, choose, 0.5)
            for _ in range(choose.randint(2, 5)):
                spelt = again(spelt, 0.7, choose)
            return spelt
        case "overlong":
            return overlong(text)
        case "wide":
            return full_width(text)
        case "tail":
            return (text if choose.random() < 0.6 else once(text, choose, 0.5)) + choose.choice(TAILS)
        case "head":
            return choose.choice(HEADS) + text
        case "case":
            return "".join(c.upper() if choose.random() < 0.5 else c for c in text)
        case "u":
            return "".join(f"%u{ord(c):04x}" for c in text)
    return text


def force(choose):
    """One spelling of `force`, or what may be taken for one."""
    key = choose.choice(["force"] * 12 + ["f%6Frce", "%66orce", "%66%6f%72%63%65", "for%63e", "FORCE", "Force", "force[]", "force%00", "force%20", "%20force",
                                          "+force", "force+", "for\u017fce", "%2566orce", "force%3D", "x.force", "force;", "&force", "amp;force", "\tforce"])  # fmt: skip
    value = choose.choice(["true"] * 8 + ["True", "TRUE", "T", "t", "1", "%74rue", "%31", "tr%75e", "tRUE", "yes", "on", "2", "01", "+true", "true+", "%20true", "true%20",
                                          "true%00", "true#", "true;", "true;x", "", "%2574rue", "true%", "true%zz", "false", "0", "true,false", "[true]", "\"true\"",
                                          "true%0A", "%EF%BB%BFtrue", "true%3Bx", "true?x"])  # fmt: skip
    shape = choose.choices(("pair", "bare", "twice", "false first", "false last", "semicolon", "none"), (16, 1, 2, 2, 2, 1, 2))[0]
    pair = f"{key}={value}"
    return {
        "pair": pair,
        "bare": key,
        "twice": f"{pair}&{pair}",
        "false first": f"force=false&{pair}",
        "false last": f"{pair}&force=false",
        "semicolon": f"x;{pair}",
        "none": "",
    }[shape]


def reference(old, choose):
    """One spelling of `ref`."""
    key = choose.choice(["ref"] * 14 + ["r%65f", "%72%65%66", "REF", "ref[]", "ref%00", "+ref"])
    value = choose.choice([old] * 8 + ["main~1", "main%7E1", "main^1", "main%5E", "main%255E1", "dev~1", once(old, choose, 0.2), old[:12], old + "#", old + "%23x", old + "+", "", old.upper()])
    return choose.choices((f"{key}={value}", f"{key}={value}&ref={old}", f"ref={old}&{key}={value}"), (14, 1, 1))[0]


NOISE = ["x=1", "x", "&", "=", "x=%zz", "x;y", "a=b;c=d", "_method=GET", "presign=true", "%", "path=/x", "amount=1", "X-Amz-Signature=x", "X-Amz-Algorithm=AWS4-HMAC-SHA256",
         "X-Amz-Credential=", "AWSAccessKeyId=", "X-Amz-Credential=a;b", "X-Amz-Credential=%zz", "x-amz-credential=a", "AWSAccessKeyId=a;b", "delete", "uploads", "?", "#", "/"]  # fmt: skip


def query(aim, choose):
    """A whole query."""
    pieces = [reference(aim.target.old, choose), force(choose)]
    if choose.random() < 0.25:
        pieces += choose.sample(NOISE, choose.randint(1, 3))
    if choose.random() < 0.3:
        choose.shuffle(pieces)
    return "&".join(pieces)


def plain_query(aim):
    return f"ref={aim.target.old}&force=true"


def plain_path(aim):
    return PATH.format(**aim.names())


def request(target, aim, *, method="PUT", version="HTTP/1.1", headers=(), host=True, auth=True, close=True, length=True, body=""):
    """A request as text of one byte a character, so that nothing is corrected on the way."""
    lines = [f"{method} {target} {version}".rstrip()]
    lines += [f"Host: {aim.host}"] if host else []
    lines += [f"Authorization: {aim.target.world.basic}"] if auth else []
    lines += list(headers)
    lines += [f"Content-Length: {len(body)}"] if length else []
    lines += ["Connection: close"] if close else []
    return "\r\n".join(lines) + "\r\n\r\n" + body


def raw(text):
    return text.encode("utf-8") if any(ord(c) > 255 for c in text) else text.encode("latin-1")


def one(text, **how):
    return Volley("", (raw(text),), **how)


# --- families ------------------------------------------------------------------------------------------------------------------------


def paths(choose, aim):
    """Names of repository and branch in every encoding."""
    spelt = PATH.format(R=name(aim.target.repository, choose), B=name("main", choose))
    asked = plain_query(aim) if choose.random() < 0.7 else query(aim, choose)
    return one(request(f"{spelt}?{asked}", aim))


def queries(choose, aim):
    """`force` and `ref` in every spelling."""
    spelt = PATH.format(R=aim.target.repository, B="main" if choose.random() < 0.8 else name("main", choose))
    return one(request(f"{spelt}{choose.choice(['?'] * 12 + ['??', '?&', '?;', '%3F', '#?', '/?'])}{query(aim, choose)}", aim))


def structure(choose, aim):
    """The path's own structure: slashes, dots, constants, letters' case, fragments, prefixes."""
    repository, branch = aim.target.repository, "main" if choose.random() < 0.7 else name("main", choose)
    segments = ["", "api", "v1", "repositories", repository, "branches", branch, "hard_reset"]
    for _ in range(choose.randint(1, 2)):
        at = choose.randrange(len(segments))
        match choose.randrange(14):
            case 0:
                segments.insert(at, "")
            case 1:
                segments.insert(at, choose.choice([".", "%2e", "%2E", ".%00", "%252e"]))
            case 2:
                segments[at:at] = ["x", choose.choice(["..", "%2e%2e", ".%2e", "%2E.", "..%2f", "..;", "%252e%252e"])]
            case 3:
                segments[at] = once(segments[at], choose, choose.choice([0.3, 1]))
            case 4:
                segments[at] = again(once(segments[at], choose, 0.5), 1, choose)
            case 5:
                segments[at] = segments[at].upper()
            case 6:
                segments[at] += choose.choice(TAILS)
            case 7:
                segments.append(choose.choice(["", "", ".", "x", "..", "%2e%2e", "%00", ";", "#", "?", "..;/hard_reset"]))
            case 8:
                segments[at : at + 2] = [choose.choice(["%2F", "%2f", "%252F", "\\", "%5C", "\uff0f", "%c0%af"]).join(segments[at : at + 2])]
            case 9:
                segments[1:1] = choose.choice([["metrics", ".."], ["_health", ".."], ["iceberg", "api", "..", ".."], ["_lakegate", ".."], ["openapi.json", ".."], ["s3", ".."], ["logout", ".."]])
            case 10:
                segments[5:7] = ["branches", "dev", "..", branch]
            case 11:
                segments[-1] = choose.choice(["hard_reset", "hard-reset", "hard_reset.json", "hard_reset~", "hard_reset%20", "hard_reset%09", "Hard_Reset", "hard_reset/hard_reset"])
            case 12:
                segments[5] = choose.choice(["branches", "refs", "tags", "Branches", "branches%2E", "branch"])
            case 13:
                segments[2] = choose.choice(["v1", "v01", "V1", "v1.0", "v2", "v1;", "v1%2e"])
    target = "/".join(segments)
    target = target if target.startswith("/") or choose.random() < 0.5 else "/" + target
    return one(request(f"{target}?{plain_query(aim)}", aim))


AUTHORITIES = ["{H}", "x", "localhost", "127.0.0.1:1", lake.S3_DOMAIN, "{R}." + lake.S3_DOMAIN, lake.S3_DOMAIN.upper(), lake.S3_DOMAIN + ".", lake.S3_DOMAIN + ":80", "a.b." + lake.S3_DOMAIN,
               "x" + lake.S3_DOMAIN, "." + lake.S3_DOMAIN, "u@" + lake.S3_DOMAIN, "u:p@{H}", lake.S3_DOMAIN + "@{H}", "[::1]", "[::1]:80", "[" + lake.S3_DOMAIN + "]", "", lake.S3_DOMAIN + ":80:80",
               "%73" + lake.S3_DOMAIN[1:], lake.S3_DOMAIN + ":", lake.S3_DOMAIN + ":x", "_", lake.S3_DOMAIN + "\t", "{H},{H}", "{H}/x", "{H}#", "{H}\\@" + lake.S3_DOMAIN, "x_y." + lake.S3_DOMAIN,
               lake.S3_DOMAIN + ":000080", lake.S3_DOMAIN + "%00", "*." + lake.S3_DOMAIN, "-." + lake.S3_DOMAIN, "(" + lake.S3_DOMAIN, lake.S3_DOMAIN + ":65536"]  # fmt: skip


def authority(choose, aim):
    return choose.choice(AUTHORITIES).format(H=aim.host, R=aim.target.repository)


def hosts(choose, aim):
    """Host, absolute targets, and the names by which lakeFS takes a request for one of its S3 gateway's."""
    target = f"{plain_path(aim)}?{plain_query(aim)}"
    headers = []
    if choose.random() < 0.6:
        scheme = choose.choice(["http://"] * 6 + ["https://", "HTTP://", "http:", "http:/", "http:///", "//", "ftp://", "s3://", "file://", "h2c://"])
        target = scheme + authority(choose, aim) + target
    headers += [choose.choice(["Host", "host", "HOST", "Host", "Host", "X-Forwarded-Host", "X-Host", "Host "]) + ": " + authority(choose, aim) for _ in range(choose.choices((0, 1, 2), (2, 6, 1))[0])]
    version = choose.choices(("HTTP/1.1", "HTTP/1.0"), (4, 1))[0]
    return one(request(target, aim, host=not headers or choose.random() < 0.1, headers=headers, version=version))


SIGNED = [
    "X-Amz-Signature: x", "X-Amz-Signature:", "X-Amz-Signature: ", "X-Amz-Signature: \t", "x-amz-signature: \xa0", "X_Amz_Signature: x", "X-Amz-Signature : x", "X-Amz-Signature\t: x",
    "X-Amz-Date: 20260101T000000Z", "X-Amz-Credential: x", "Authorization: AWS4-HMAC-SHA256 Credential=x", "Authorization: AWS x:y", "Authorization: AWSx", "Authorization:",
    "Authorization: aws4-x", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD", "Authorization: AWS4", "Authorization:  AWS  x", "Authorization: \tAWS4 x",
]  # fmt: skip
NOMINATED = ["X-Amz-Signature", "x-amz-signature", "Authorization", "Host", "Cookie", "Content-Length", "Content-Type", "Transfer-Encoding", "X-Forwarded-For", "Connection", "X-Amz-Date", "close",
             "keep-alive", "TE", "Expect", "Date", "X-Request-Id", "te, x-amz-signature", "\"X-Amz-Signature\"", "X-Amz-Signature;", "X-Amz-Copy-Source", "upgrade"]  # fmt: skip


def signatures(choose, aim):
    """Signs of a signed request, in headers and query, some of them nominated away; beside a bearer, a key pair or a cookie."""
    headers = choose.sample(SIGNED, choose.randint(1, 3))
    for _ in range(choose.choices((0, 1, 2), (2, 4, 1))[0]):
        headers.insert(choose.randrange(len(headers) + 1), choose.choice(["Connection", "Connection", "connection", "Proxy-Connection", "Keep-Alive", "Trailer", "TE", "Upgrade"]) + ": " + ", ".join(choose.sample(NOMINATED, choose.randint(1, 2))))
    asked = plain_query(aim)
    if choose.random() < 0.4:
        extra = choose.choice(["X-Amz-Credential=", "AWSAccessKeyId=", "X-Amz-Credential=a;b", "X-Amz-Credential=%zz&", "X-Amz-Credential=&X-Amz-Credential=x", "AWSAccessKeyId=x;y", "X-Amz-Credential=x",
                               "AWSAccessKeyId=x", "%58-Amz-Credential=", "X-Amz-Credential", "X-Amz-Credential=+", "X-Amz-Signature=x", "X-Amz-Credential=x" + "&" * 10_100, "&" * 9_990 + "X-Amz-Credential=x"])  # fmt: skip
        asked = f"{asked}&{extra}" if choose.random() < 0.5 else f"{extra}&{asked}"
    credentials(choose, aim, headers)
    return one(request(f"{plain_path(aim)}?{asked}", aim, headers=headers, auth=False, close=choose.random() < 0.5))


def credentials(choose, aim, headers):
    """Adds one or two credentials, somewhere."""
    kinds = [f"Authorization: {aim.target.world.basic}", f"Authorization: Bearer {aim.bearer}", f"authorization: bEARER  {aim.bearer}", f"Cookie: internal_auth_session={aim.cookie}",
             f"Cookie: a=b; internal_auth_session={aim.cookie}; c", f"cookie: internal_auth_session=junk; internal_auth_session={aim.cookie}", f"Cookie: internal_auth_session=\"{aim.cookie}\""]  # fmt: skip
    for kind in choose.sample(kinds, choose.choices((1, 2), (4, 1))[0]):
        headers.insert(choose.randrange(len(headers) + 1), kind)


OVERRIDES = ["X-HTTP-Method-Override: {M}", "X-HTTP-Method: {M}", "X-Method-Override: {M}", "X-Original-Method: {M}", "X-Original-URL: {T}", "X-Rewrite-URL: {T}", "X-Forwarded-Uri: {T}", "X-Forwarded-Path: {T}",
             "X-Forwarded-Prefix: /x", "X-Original-Host: x", "Content-Location: {T}", "Destination: {T}", "Referer: {T}", "X-Accel-Redirect: {T}", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings"]  # fmt: skip


def methods(choose, aim):
    """Other methods, and headers that would change them or the target."""
    method = choose.choice(["PUT"] * 3 + ["put", "Put", "pUT", "POST", "GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", "PUTT", "PU", "FOO", "", "PUT\t", "\xa0PUT", "PUT,GET", "X"])
    target = f"{plain_path(aim)}?{plain_query(aim)}"
    shown = target if choose.random() < 0.6 or method == "DELETE" else f"/api/v1/repositories/{aim.target.repository}/branches/dev"
    headers = [line.format(M="PUT", T=target) for line in choose.sample(OVERRIDES, choose.randint(0, 2))]
    body = choose.choice(["", "", "_method=PUT", f"ref={aim.target.old}&force=true"])
    return one(request(shown, aim, method=method, headers=headers, body=body), head_only=method == "HEAD")


VERSIONS = ["HTTP/1.0", "HTTP/1.1", "HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/2", "HTTP/2.0", "HTTP/3.0", "http/1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/01.1", "HTTP/1.10", "HTTP/1,1", "HTTP /1.1", "", "HTTP/1.1\t", "HTTPS/1.1", "HTTP/1.1\r\nX: y", "HTTP/1.1\r", "ICAP/1.0"]


def versions(choose, aim):
    """Versions of the protocol, line ends, blanks, folds."""
    text = request(f"{plain_path(aim)}?{plain_query(aim)}", aim, version=choose.choice(VERSIONS), host=choose.random() < 0.8, close=choose.random() < 0.5)
    match choose.randrange(12):
        case 0:
            text = text.replace("\r\n", "\n")
        case 1:
            text = text.replace("\r\n", "\r")
        case 2:
            text = text.replace("\r\n", "\n", 1)
        case 3:
            text = choose.choice(["\r\n", "\n", "\r\n\r\n\r\n", " ", "\0", "\xef\xbb\xbf", "\r"]) + text
        case 4:
            text = text.replace(" ", choose.choice(["  ", "\t", "\x0b", "\x0c", "\xa0"]), choose.randint(1, 2))
        case 5:
            text = text.replace("Authorization: ", choose.choice(["Authorization : ", "Authorization:\r\n ", "Authorization:\r\n\t", " Authorization: ", "Authorization:\t", "Authorization\r\n : ", "X: y\r\n Authorization: "]))
        case 6:
            text = text.replace("Host: ", choose.choice(["Host : ", "Host:", "Host:\r\n ", " Host: ", "\tHost: ", "X:\rHost: ", "X: y\nHost: "]))
        case 7:
            text = text.replace("\r\n\r\n", choose.choice(["\n\n", "\r\n\n", "\n\r\n", "\r\r\n\r\n", "\r\n \r\n\r\n"]))
    # Where lines end otherwise, a server may well wait for more.
    return one(text, due=text.count("\r") == text.count("\n") == text.count("\r\n"))


SIZES = ["5", "05", "0x5", "+5", "5 ", " 5", "5;x", "5;x=\"\r\n\"", "5\t", "-1", "5_0", "FFFFFFFFFFFFFFFF5", "00000000000000005", "5\n", "5\r", "\xb5", ""]
CODINGS = ["chunked", "Chunked", "CHUNKED", " chunked", "chunked ", "\tchunked", "chunked, identity", "identity, chunked", "identity", "gzip, chunked", "chunked, chunked", "xchunked", "chunked\x0b", "\x0bchunked", "'chunked'", "chunked;q=1", ", chunked", "chunked,", ""]
CODING_NAMES = ["Transfer-Encoding: "] * 10 + ["Transfer-Encoding : ", "Transfer-Encoding\t: ", "Transfer-Encoding:", "transfer-encoding: ", " Transfer-Encoding: ", "X: y\r\n Transfer-Encoding: ", "Transfer-Encoding:\r\n ", "Transfer_Encoding: ", "X: y\nTransfer-Encoding: ", "X: y\rTransfer-Encoding: ", "Transfer-Encoding:\n "]


def bodies(choose, aim):
    """Bodies of any kind on an operation that has none: never ending, of two lengths, of a wrong one, cut short."""
    headers, body, due = [], "", True
    match choose.randrange(9):
        case 0:
            headers, due = ["Transfer-Encoding: chunked"], False
        case 1:
            headers, body, due = ["Transfer-Encoding: chunked"], "5\r\nhel", False
        case 2:
            headers, body = ["Transfer-Encoding: chunked"], "5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
        case 3:
            headers, due = [f"Content-Length: {choose.choice([1, 100, 10**9, 2**63 - 1])}"], False
        case 4:
            headers, body, due = ["Expect: 100-continue", "Content-Length: 5"], choose.choice(["", "hello"]), False
        case 5:
            headers, body = ["Content-Type: application/json", "Content-Length: 14"], '{"force":true}'
        case 6:
            headers, body, due = [choose.choice(CODING_NAMES) + choose.choice(CODINGS), f"Content-Length: {choose.choice([0, 5])}"], choose.choice(["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"]), False
        case 7:
            headers, body, due = [f"Content-Length: {choose.choice(['0', '+0', '0, 0', '00', '-0', '0x0', ' 0', '0 ', '', '0;', '0,', '1e1', '0_0'])}"], "", False
        case 8:
            headers, body, due = ["Transfer-Encoding: chunked"], f"{choose.choice(SIZES)}\r\nhello\r\n0\r\n\r\n", False
    return one(request(f"{plain_path(aim)}?{plain_query(aim)}", aim, headers=headers, length=False, close=choose.random() < 0.5, body=body), due=due)


def inner(choose, aim):
    """The hard reset that is hidden in another request."""
    asked = plain_query(aim) if choose.random() < 0.8 else f"{force(choose)}&ref={aim.target.old}"
    return request(f"{plain_path(aim)}?{asked}", aim, close=choose.random() < 0.7, version=choose.choices(("HTTP/1.1", "HTTP/1.0"), (5, 1))[0])


def smuggling(choose, aim):
    """A hard reset hidden behind, inside or across a harmless request, by every disagreement on where that one ends."""
    hidden = inner(choose, aim)
    harmless = choose.choice([f"/api/v1/repositories/{aim.target.repository}", "/api/v1/healthcheck", "/", "/api/v1/user", f"/api/v1/repositories/{aim.target.repository}/branches/dev/hard_reset?ref=dev", f"/{aim.target.repository}/dev/x"])
    # (Not DELETE: it would take the repository itself.)
    method = choose.choice(["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"])
    version = choose.choices(("HTTP/1.1", "HTTP/1.0"), (5, 1))[0]
    headers, body = ["Connection: keep-alive"] if choose.random() < 0.5 else [], hidden
    coding = choose.choice(CODING_NAMES) + choose.choice(CODINGS)
    match choose.randrange(18):
        case 0:  # CL.TE
            body = "0\r\n\r\n" + hidden
            headers += [f"Content-Length: {len(body)}", coding]
        case 1:  # TE.CL
            body = f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n"
            headers += [coding, f"Content-Length: {choose.choice([0, 3, len(f'{len(hidden):x}') + 2])}"]
        case 2:  # TE.TE
            body = "0\r\n\r\n" + hidden
            headers += [coding, choose.choice(CODING_NAMES) + choose.choice(CODINGS)]
        case 3:  # CL.CL
            headers += choose.sample([f"Content-Length: {len(hidden)}", f"Content-Length: {choose.choice(['0', '+0', '00', '', ' ', '0x0', '1', '-0'])}"], 2)
        case 4:  # one odd length
            headers += ["Content-Length: " + choose.choice(['+0', '0, ' + str(len(hidden)), str(len(hidden)) + ', 0', '0x0', '0;1', ' ', '0 0', '00', '0e0', str(2**64), '0_', chr(0xB2), '\x0b0', '0' * 30])]
        case 5:  # plain pipelining
            headers += ["Content-Length: 0"]
        case 6:  # no length at all
            pass
        case 7:  # a coding alone
            body = "0\r\n\r\n" + hidden
            headers += [coding]
        case 8:  # odd chunk sizes
            size = choose.choice(SIZES)
            body = choose.choice([f"{size}\r\nhello\r\n0\r\n\r\n{hidden}", f"{size}\r\n{hidden}\r\n0\r\n\r\n", f"0{size}\r\n\r\n{hidden}"])
            headers += ["Transfer-Encoding: chunked"]
        case 9:  # line ends in chunks
            body = choose.choice(["0\n\n", "0\r\n\n", "0\n\r\n", "5\nhello\n0\n\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\n\r\r\n", "0\r\nX\r\n\r\n", "5;\nx\r\nhello\r\n0\r\n\r\n", "5\rX\r\nhello\r\n0\r\n\r\n"]) + hidden
            headers += ["Transfer-Encoding: chunked"]
        case 10:  # trailers
            body = "0\r\n" + choose.choice(["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Host: x\r\n\r\n", "Authorization: x\r\n\r\n", ": x\r\n\r\n"]) + hidden
            headers += ["Transfer-Encoding: chunked", choose.choice(["Trailer: Content-Length", "TE: trailers"])]
        case 11:  # inside a header
            mark = choose.choice(["\r", "\n", "\r\r", "\0", "\x0b", "\x85", "\u2028".encode().decode("latin-1"), "\r \n", "%0d%0a", "\\r\\n"])
            headers += [f"X-A: b{mark}{mark}{hidden.replace(chr(13) + chr(10), mark)}", "Content-Length: 0"]
            body = ""
        case 12:  # inside the target
            mark = choose.choice(["%0d%0a", "\r", "\n", "\x0b", "\x85", "%0a", "\t", "\x0c", " "])
            harmless += f"?x={mark}" + f" HTTP/1.1\r\nHost: x\r\n\r\n{hidden}".replace("\r\n", mark)
            headers += ["Content-Length: 0"]
            body = ""
        case 13:  # an expectation
            headers += [choose.choice(["Expect: 100-continue", "Expect: 100-Continue, x", "Expect: y", "expect: 100-continue\r\nExpect: 100-continue"]), f"Content-Length: {choose.choice([0, 5, len(hidden)])}"]
        case 14:  # an upgrade or a tunnel
            headers += [choose.choice(["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13", "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "Upgrade: TLS/1.0\r\nConnection: Upgrade", "Connection: Upgrade"]), "Content-Length: 0"]
            method = choose.choice([method, "CONNECT", "GET"])
        case 15:  # nominated framing
            headers += [f"Connection: {choose.choice(['Content-Length', 'Transfer-Encoding', 'content-length, transfer-encoding', 'Host', 'keep-alive, Content-Length'])}", choose.choice([f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"])]
        case 16:  # a blank line too many or too few
            headers += ["Content-Length: 0" + choose.choice(["\r\n", "\n", "\r\n ", "\r\n\r\n"])]
        case 17:  # a head that grows huge, or has the same header again and again
            headers += [choose.choice([f"X: {'a' * choose.choice([8_000, 60_000, 70_000])}", "\r\n".join(f"X-{number}: y" for number in range(choose.choice([150, 250]))), "\r\n".join(["Content-Length: 0"] * 3), "\r\n".join(["Host: x"] * 2)]), "Content-Length: 0"]
    text = request(harmless, aim, method=method, version=version, headers=headers, length=False, close=False, body=body)
    return one(text, due=False)


def pipelines(choose, aim):
    """Several requests on one connection, cut anywhere, the hard reset among them."""
    dev = request(f"/api/v1/repositories/{aim.target.repository}/branches/dev", aim, method="GET", close=False)
    reset = request(f"{PATH.format(R=aim.target.repository, B=name('main', choose) if choose.random() < 0.3 else 'main')}?{plain_query(aim)}", aim, close=False)
    parts = choose.choice([[dev, reset], [reset, dev], [dev, dev, reset, dev], [reset, reset], ["\r\n\r\n", reset], [dev, "\n", reset], [dev, "\0", reset], [dev, "\r\n", reset, reset]])
    text = raw("".join(parts))
    cuts = sorted(choose.randrange(len(text)) for _ in range(choose.randint(0, 3)))
    return Volley("", tuple(text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)), due=False)


def heads(choose, aim):
    """Heads that are large, odd or doubled, on the plain hard reset."""
    headers = choose.sample(
        [f"Authorization: {aim.target.world.basic}", "X-Amz-Security-Token: x", "Accept: */*", "Range: bytes=0-", "If-Match: *", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1",
         "X-Lakegate-Principal: admin", "X-Forwarded-User: admin", "X-Request-Id: x", "Cookie: a=b", "Cookie: " + "a=b; " * 3500, "X: " + "a" * 5000, "Content-Encoding: gzip", "Via: 1.1 x", "Max-Forwards: 0",
         "X-Api-Version: 1", "Accept-Encoding: gzip", "Prefer: x", "Trailer: Authorization", "TE: trailers", "Pragma: x", "X\u00e9: y", "X(: y", ": y", "X", "X: \x01", "X: \xff", "Host: x", "Content-Length: 0"],
        choose.randint(1, 4),
    )  # fmt: skip
    if choose.random() < 0.3:
        headers.append("Connection: " + ", ".join(choose.sample(NOMINATED, choose.randint(1, 3))))
    spelt = PATH.format(R=aim.target.repository, B="main" if choose.random() < 0.6 else name("main", choose))
    return one(request(f"{spelt}?{plain_query(aim)}", aim, headers=headers, auth=choose.random() < 0.8))


def everything(choose, aim):
    """Two or three of the above at a time."""
    repository, branch = name(aim.target.repository, choose), name("main", choose)
    target = PATH.format(R=repository, B=branch) + "?" + query(aim, choose)
    if choose.random() < 0.2:
        target = f"http://{authority(choose, aim)}{target}"
    headers = choose.sample(SIGNED, choose.randint(0, 1)) + [line.format(M="PUT", T=target) for line in choose.sample(OVERRIDES, choose.randint(0, 1))]
    if choose.random() < 0.3:
        headers.append("Connection: " + choose.choice(NOMINATED))
    credentials(choose, aim, headers)
    text = request(target, aim, headers=headers, auth=False, version=choose.choices(("HTTP/1.1", "HTTP/1.0", "HTTP/1.2"), (8, 2, 1))[0], length=choose.random() < 0.7)
    return one(text)


def dummy_signature(choose, aim):
    """The web UI's own habit, a signature by nobody's key beside a cookie, on the API's path."""
    lines = ["Authorization: AWS4-HMAC-SHA256 Credential=use_swagger_credentials/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"]
    lines.append(f"Cookie: internal_auth_session={aim.cookie}")
    lines += [f"Connection: {', '.join(choose.sample(NOMINATED, 2))}"] if choose.random() < 0.7 else []
    choose.shuffle(lines)
    spelt = base64.b64encode(b"x").decode() if choose.random() < 0.1 else "main"
    return one(request(f"{PATH.format(R=aim.target.repository, B=spelt)}?{plain_query(aim)}", aim, headers=lines, auth=False))


FAMILIES = {
    "paths": (paths, 22),
    "queries": (queries, 16),
    "structure": (structure, 12),
    "hosts": (hosts, 10),
    "signatures": (signatures, 12),
    "dummy signature": (dummy_signature, 2),
    "methods": (methods, 5),
    "versions": (versions, 7),
    "bodies": (bodies, 6),
    "smuggling": (smuggling, 16),
    "pipelines": (pipelines, 4),
    "heads": (heads, 6),
    "everything": (everything, 10),
}
