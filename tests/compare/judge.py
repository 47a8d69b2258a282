"""What is equal, what differs, and what is meant to: two transcripts in, named differences out."""

import collections
import dataclasses
import pathlib
import re
import tomllib

# What belongs to one connection (RFC 9110 7.6.1) and is set anew by each hop.
OF_EACH_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
# What is made anew for each request, repository, or second. Everything else must be equal to the byte.
MADE_ANEW = tuple(
    (re.compile(pattern), blank)
    for pattern, blank in (
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "<token>"),
        (r"internal_auth_session=[\w=-]{20,}", "internal_auth_session=<cookie>"),
        (r"data/[0-9a-v]{20}/[0-9a-v]{20}", "<address>"),
        (r"<address>(,|%2C)[\w-]{43}", r"<address>\1<signature>"),
        (r"\b[0-9a-f]{40}_[0-9a-f]{32}\b", "<upload>"),
        (r"\b[0-9a-f]{64}\b", "<hash>"),
        (r"(?<=commits/)[0-9a-f]{10,16}\b|(?<=ref=)[0-9a-f]{10,16}\b|(?<=  )[0-9a-f]{16}(?=  )", "<short hash>"),
        (r"\b(DR|GCP)[\w-]{20,22}(?![\w-])", "<task>"),
        (r"(?<=id\":\")[0-9a-v]{20}(?=\")|(?<=id=')[0-9a-v]{20}(?=')|(?<=import\?id=)[0-9a-v]{20}", "<run>"),
        (r"\btransaction-\d+", "transaction-<number>"),  # lakefs-spec draws one
        (r"(?<=\"count\":)\d+(?=,\"month\")", "<requests so far>"),
        (r"datetime\.datetime\([\d, ]+", "datetime.datetime(<date>, "),
        (r"<(HostId|RequestId|RequestID)>[^<]+", r"<\1><id>"),
        (r"RequestID: [\w-]+", "RequestID: <id>"),
        (r"run id '\w+'", "run id '<id>'"),
        (r"X-Amz-(Credential|Date|Signature)=[^&\s\"\\]+", r"X-Amz-\1=<made anew>"),
        (r"([?&])(Signature|Expires)=[^&\s]+", r"\1\2=<made anew>"),
        (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d[ -]\w{3}[ -]\d{4} \d\d:\d\d:\d\d GMT", "<date>"),
        (r"\b20\d\d[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d( \w+)?)?", "<date>"),
        (r"\b1[6-9]\d{8}(?:\.\d+)?\b", "<time>"),
    )
)

# What a client asks again and again until it is done: only the last answer is compared, for how often it asks is chance.
POLLED = re.compile(r"task_id=<task>|/import\?id=<run>")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing that is not equal."""

    suite: str
    mode: str
    request: str
    what: str
    direct: str
    through: str

    def __str__(self):
        return f"[{self.suite}, {self.mode}] {self.request}\n    {self.what}\n      direct:  {self.direct[:600]}\n      through: {self.through[:600]}"


def blank(text, own=()):
    """The text without what is made anew; `own` are names and ports of one of the two runs."""
    for word, instead in own:
        text = text.replace(word, instead)
    for pattern, instead in MADE_ANEW:
        text = pattern.sub(instead, text)
    return text


def _headers(answer, own, lower):
    told = collections.defaultdict(list)
    for name, value in answer.headers:
        # A length that is the body's own says nothing that the body does not, and times are not all equally long.
        if name.lower() not in OF_EACH_HOP and (name.lower(), value) != ("content-length", str(len(answer.body))):
            told[name.lower() if lower else name].append(blank(value, own))
    return told


def answers(suite, mode, request, pair, owns):
    """The differences between two answers to one request."""
    direct, through = pair

    def differs(what, one, other):
        if one != other:
            yield Difference(suite, mode, request, what, str(one), str(other))

    if reason := through.header("x-lakegate-reason"):
        told = through.body.decode(errors="replace").strip()
        yield Difference(suite, mode, request, f"refused: {reason}", f"{direct.status} {blank(direct.body[:300].decode(errors='replace'), owns[0])}", f"{through.status} {blank(told, owns[1])}")
        return
    yield from differs("status", direct.status, through.status)
    yield from differs("informational", direct.informational, through.informational)
    headers = [_headers(answer, own, mode == "upstream") for answer, own in zip(pair, owns, strict=True)]
    for name in sorted(headers[0].keys() | headers[1].keys()):
        yield from differs(f"header {name}", *(" | ".join(each[name]) if name in each else "-" for each in headers))
    bodies = [blank(answer.body.decode("utf-8", "surrogateescape"), own) for answer, own in zip(pair, owns, strict=True)]
    if bodies[0] != bodies[1]:
        at = next((i for i, (a, b) in enumerate(zip(*bodies)) if a != b), min(map(len, bodies)))
        yield from differs("body", *(f"{'..' if at > 60 else ''}{body[max(0, at - 60) :]!a}" for body in bodies))
    yield from differs("trailers", direct.trailers, through.trailers)
    yield from differs("end", direct.end == "cut", through.end == "cut")


def transcripts(suite, mode, both, owns):
    """The differences between two transcripts; requests are paired by method and target, in the order in which they came."""
    told = []
    for exchanges, own in zip(both, owns, strict=True):
        asked = collections.defaultdict(list)
        for exchange in sorted(exchanges, key=lambda exchange: exchange.at):
            asked[f"{exchange.method} {blank(exchange.target, own)}"].append(exchange.answer)
        told.append(asked)
    for request in sorted(told[0].keys() | told[1].keys()):
        direct, through = (each.get(request, []) for each in told)
        if POLLED.search(request):
            direct, through = direct[-1:], through[-1:]
        if len(direct) != len(through):
            yield Difference(suite, mode, request, "number of requests", str(len(direct)), str(len(through)))
        for pair in zip(direct, through):
            yield from answers(suite, mode, request, pair, owns)


class Meant:
    """The differences that are meant, each with its reason: `meant.toml`."""

    def __init__(self, path=pathlib.Path(__file__).with_name("meant.toml")):
        self.entries = tomllib.loads(path.read_text())["meant"]
        self.used = collections.Counter()

    def covers(self, difference):
        """Whether an entry says that this is meant."""
        for number, entry in enumerate(self.entries):
            if (
                difference.mode in entry.get("modes", [difference.mode])
                and difference.suite in entry.get("suites", [difference.suite])
                and re.search(entry.get("request", ""), difference.request)
                and re.fullmatch(entry["what"], difference.what)
                and re.search(entry.get("direct", ""), difference.direct)
                and re.search(entry.get("through", ""), difference.through)
            ):
                self.used[number] += 1
                return True
        return False

    def report(self):
        """How often each entry was needed."""
        return [(self.used[number], entry["reason"]) for number, entry in enumerate(self.entries)]
