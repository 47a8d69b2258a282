"""Every status that lakeFS documents for the experimental calls, under every scheme: those it sends provoked, the others scripted.

What lakeFS answered reaches the client byte for byte: each answer is had twice, from lakeFS and through the gateway, and compared whole.
"""

import dataclasses
import re

import pytest
from support import calls, clients, raw
from support.calls import ABORT, COMPLETE, CREATE, HARD_RESET, Call

FORGERS_SECRET = "not-the-secret-that-lakefs-has"


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the provoked errors need: an open upload, one whose parts are written on a branch that lakeFS itself protects, commits."""

    repository: str
    open: calls.Upload
    sealed: calls.Upload
    first: str
    second: str


@pytest.fixture(scope="module")
def stage(back):
    admin, repository = back.admin(), back.repository(protected=["sealed"])
    first, second = admin.commit(repository, "work", "a"), admin.commit(repository, "work", "b")
    opened = calls.create(admin, repository, "work", "open/upload").put([b"open"])
    sealed = calls.create(admin, repository, "sealed", "sealed/upload").put([b"sealed"])
    return Stage(repository, opened, sealed, first, second)


PROVOKED = {
    (CREATE, 400, "too many parts"): lambda s: Call(CREATE, s.repository, path="p", parts=10_001),
    (CREATE, 404, "no such branch"): lambda s: Call(CREATE, s.repository, branch="nope", path="p", parts=1),
    (CREATE, 404, "no such repository"): lambda s: Call(CREATE, "t-nope", path="p", parts=1),
    (COMPLETE, 400, "no parts"): lambda s: Call.of(COMPLETE, s.open, etags=()),
    (COMPLETE, 400, "address of another path"): lambda s: Call.of(COMPLETE, s.open, path="other"),
    (COMPLETE, 400, "address without signature"): lambda s: Call.of(COMPLETE, s.open, physical_address=s.open.physical_address.split(",")[0]),
    (COMPLETE, 403, "branch that lakeFS protects"): lambda s: Call.of(COMPLETE, s.sealed),
    (COMPLETE, 404, "no such repository"): lambda s: Call.of(COMPLETE, s.open, repository="t-nope"),
    (COMPLETE, 500, "no such upload"): lambda s: Call.of(COMPLETE, s.open, upload_id="00000000000000000000000000000000"),
    (COMPLETE, 500, "wrong ETag"): lambda s: Call.of(COMPLETE, s.open, etags=("0" * 32,)),
    (ABORT, 400, "address of another path"): lambda s: Call.of(ABORT, s.open, path="other"),
    (ABORT, 404, "no such repository"): lambda s: Call.of(ABORT, s.open, repository="t-nope"),
    (ABORT, 500, "no such upload"): lambda s: Call.of(ABORT, s.open, upload_id="00000000000000000000000000000000"),
    (HARD_RESET, 400, "no ref at all"): lambda s: Call(HARD_RESET, s.repository, ref="!!bad ref"),
    (HARD_RESET, 403, "branch that lakeFS protects"): lambda s: Call(HARD_RESET, s.repository, branch="sealed", ref=s.first),
    (HARD_RESET, 404, "no such ref"): lambda s: Call(HARD_RESET, s.repository, ref="nope"),
    (HARD_RESET, 404, "no such branch"): lambda s: Call(HARD_RESET, s.repository, branch="nope", ref=s.first),
    (HARD_RESET, 404, "no such repository"): lambda s: Call(HARD_RESET, "t-nope", ref=s.first),
}


def settled(comparable):
    """The same answer without the request id that the S3 store put into its text."""
    status, headers, body = comparable
    body = re.sub(rb"RequestID: [^,]*", b"RequestID: -", body)
    return status, [(name, value) for name, value in headers if name != "content-length"], body


@pytest.mark.parametrize(("operation", "status", "why"), PROVOKED)
def test_a_provoked_error_reaches_the_client_as_lakefs_sent_it(front, scheme, stage, back, operation, status, why):
    call = PROVOKED[operation, status, why](stage)
    sdk_status, sdk_body = call.by_sdk(clients.client(front.url, scheme, back))
    direct = call.raw(back.url, raw.basic(back.access_key, back.secret_key))
    through = call.raw(front.url, clients.credential(scheme, back)[1])
    assert (sdk_status, direct.status) == (status, status), (sdk_body, direct.body)
    assert settled(through.comparable()) == settled(direct.comparable())
    assert settled((0, [], sdk_body)) == settled((0, [], direct.body))


@pytest.mark.parametrize("operation", calls.OPERATIONS)
def test_success_is_what_lakefs_documents(front, scheme, back, repository, operation):
    admin, path = back.admin(), f"{front.upstream}/{scheme}/{operation}"
    if operation == CREATE:
        call = Call(CREATE, repository, path=path, parts=2)
    elif operation == HARD_RESET:
        admin.commit(repository, "work", path, path.encode())
        call = Call(HARD_RESET, repository, ref="work~1", force=False)
    else:
        call = Call.of(operation, calls.create(admin, repository, "work", path).put([b"data"]))
    status, body = call.by_sdk(clients.client(front.url, scheme, back))
    assert status == calls.SUCCESS[operation], body
    assert (body == b"") == (status == 204)


@pytest.mark.parametrize("operation", calls.OPERATIONS)
def test_a_forged_credential_gets_lakefs_own_401(front, scheme, back, stage, operation):
    call = {
        CREATE: Call(CREATE, stage.repository, path="p", parts=1),
        COMPLETE: Call.of(COMPLETE, stage.open),
        ABORT: Call.of(ABORT, stage.open),
        HARD_RESET: Call(HARD_RESET, stage.repository, ref=stage.first),
    }[operation]
    status, body = call.by_sdk(clients.client(front.url, scheme, back, secret=FORGERS_SECRET))
    assert (status, body) == (401, clients.UNAUTHENTICATED)
    answer = call.raw(front.url, clients.credential(scheme, back, secret=FORGERS_SECRET)[1])
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)
    assert answer.header("Content-Type") == "application/json" and answer.header("WWW-Authenticate") is None
    assert back.admin().head(stage.repository, "work") == stage.second


# Bodies on purpose unlike what a JSON library would write: nothing may read and rewrite them. With what must come out where it differs.
STAGING = b'{ "physical_address":"s3://lake/x?a=1&b=\\u0026",\n\t"token": null }\n'
SCRIPTED = [
    (400, b'{"message" : "odd  spacing"}\n'),
    (400, b"Invalid format for parameter force: multiple values for single value parameter 'force'\n"),
    (401, b'{"message":"insufficient permissions: not allowed to fs:RevertBranch"}\n'),
    (403, b'{"message":"read-only repository"}\n'),
    (404, "{\"message\":\"branch 'f\u00fcr' not found\"}\n".encode()),
    (409, STAGING),
    (410, b'{"message":"repository in deletion"}\n'),
    (412, b'{"message":"Precondition failed"}\n'),
    (420, b'{"message":"too many requests"}\n'),
    (423, b'{"message":"Too many attempts, try again later"}\n'),
    (429, b'{"message":"Too many attempts, try again later"}\n'),
    (500, b'{"message":"predicate failed"}\n'),
    (501, b'{"message":"presign multipart upload API is not supported"}\n'),
    (502, b"<html>a load balancer's page</html>"),
    (503, b'{"message":"Throughput exceeded. Slow down and retry"}\n'),
    (504, b""),
]


def any_call(operation, stage):
    """A call that is well formed; what becomes of it is scripted."""
    if operation == HARD_RESET:
        return Call(HARD_RESET, stage.repository, ref=stage.first)
    if operation == CREATE:
        return Call(CREATE, stage.repository, path="scripted", parts=1)
    return Call.of(operation, stage.open)


@pytest.mark.scripted
@pytest.mark.gateway
@pytest.mark.parametrize("operation", calls.OPERATIONS)
@pytest.mark.parametrize(("status", "body"), SCRIPTED, ids=[f"{status}-{number}" for number, (status, _) in enumerate(SCRIPTED)])
def test_a_scripted_answer_reaches_the_client_to_the_byte(gateway, scheme, stage, back, operation, status, body):
    call, expected = any_call(operation, stage), 429 if status in (420, 423) else status
    kind = "application/json" if body.startswith(b"{") else "text/plain; charset=utf-8"
    headers = {"Content-Type": kind, "X-Odd": "kept, as it is", "X-Content-Type-Options": "nosniff"}
    back.script(calls.IDS[operation], status, body.decode(), headers, times=3)
    direct = call.raw(back.url, raw.basic(back.access_key, back.secret_key))
    assert (direct.status, direct.body) == (status, body)
    through = call.raw(gateway.url, clients.credential(scheme, back)[1])
    assert through.comparable() == (expected, *direct.comparable()[1:])
    sdk_status, sdk_body = call.by_sdk(clients.client(gateway.url, scheme, back))
    assert (sdk_status, sdk_body) == (expected, body)


@pytest.mark.scripted
@pytest.mark.gateway
@pytest.mark.parametrize("operation", calls.OPERATIONS)
@pytest.mark.parametrize("status", [420, 423, 429])
def test_too_many_is_420_where_the_configuration_says_so(gateways, stage, back, operation, status):
    gateway = gateways("login", limit__too_many_status=420)
    back.script(calls.IDS[operation], status, '{"message":"Too many attempts, try again later"}\n')
    sdk_status, sdk_body = any_call(operation, stage).by_sdk(clients.client(gateway.url, "basic_auth", back))
    assert (sdk_status, sdk_body) == (420, b'{"message":"Too many attempts, try again later"}\n')
