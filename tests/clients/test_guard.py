"""Forced hard resets on protected branches are refused by name; spellings with two readings never reach lakeFS."""

import json

import pytest
from support import clients, raw
from support.calls import HARD_RESET, Call

pytestmark = pytest.mark.gateway


@pytest.fixture
def history(back):
    """A repository whose `main` and `work` have two commits each."""
    repository, admin = back.repository(), back.admin()
    first = {branch: admin.commit(repository, branch, f"{branch}/1") for branch in ("main", "work")}
    second = {branch: admin.commit(repository, branch, f"{branch}/2") for branch in ("main", "work")}
    return repository, first, second


def test_a_forced_hard_reset_of_a_protected_branch_is_refused_by_name(front, scheme, back, history):
    repository, first, second = history
    call = Call(HARD_RESET, repository, branch="main", ref=first["main"], force=True)
    answer = call.raw(front.url, clients.credential(scheme, back)[1])
    assert answer.status == 403
    assert (answer.header("X-Lakegate-Reason"), answer.header("X-Lakegate-Rule")) == ("guarded", "main-stays")
    assert answer.header("Content-Type") == "application/json"
    message, request = answer.json()["message"], answer.header("X-Request-Id")
    assert "main-stays" in message and message.endswith(f"(request {request})")
    status, body = call.by_sdk(clients.client(front.url, scheme, back))
    assert status == 403
    assert json.loads(body)["message"].startswith(message.removesuffix(f"{request})"))
    assert back.admin().head(repository, "main") == second["main"]
    line = front.access_line_of(answer.headers)
    assert (line["operation"], line["decision"], line["reason"], line["rule"]) == ("hardResetBranch", "refused", "guarded", "main-stays")


def test_what_no_rule_names_goes_through(gateway, back, history):
    repository, first, second = history
    client, admin = clients.client(gateway.url, "basic_auth", back), back.admin()
    for target, force in (("first", False), ("second", True), ("first", True)):
        to = {"first": first, "second": second}[target]["work"]
        assert Call(HARD_RESET, repository, branch="work", ref=to, force=force).by_sdk(client) == (204, b"")
        assert admin.head(repository, "work") == to


def test_a_hard_reset_without_force_is_refused_unless_the_rule_is_for_forced_ones(gateway, gateways, back, history):
    repository, first, second = history
    call = Call(HARD_RESET, repository, branch="main", ref=first["main"])
    basic = raw.basic(back.access_key, back.secret_key)
    answer = call.raw(gateway.url, basic)
    assert (answer.status, answer.header("X-Lakegate-Reason"), answer.header("X-Lakegate-Rule")) == (403, "guarded", "main-stays")
    assert back.admin().head(repository, "main") == second["main"]
    rule = {"name": "forced-only", "branches": ["main"], "preset": "protect", "hard_reset": "forced"}
    lenient = gateways("login", guard__rules=[rule])
    forced = Call(HARD_RESET, repository, branch="main", ref=first["main"], force=True).raw(lenient.url, basic)
    assert (forced.status, forced.header("X-Lakegate-Rule")) == (403, "forced-only")
    assert call.raw(lenient.url, basic).status == 204
    assert back.admin().head(repository, "main") == first["main"]


def test_a_rule_in_shadow_only_says_so(gateways, back, history):
    repository, first, _ = history
    rule = {"name": "try-it", "branches": ["main"], "mode": "shadow"}
    gateway = gateways("login", guard__rules=[rule])
    answer = Call(HARD_RESET, repository, branch="main", ref=first["main"], force=True).raw(gateway.url, raw.basic(back.access_key, back.secret_key))
    assert answer.status == 204
    assert back.admin().head(repository, "main") == first["main"]
    assert "try-it" in gateway.access_line_of(answer.headers)["shadow"]


def test_observe_mode_refuses_nothing_by_policy(gateways, back, history):
    repository, first, _ = history
    gateway = gateways("login", mode="observe")
    answer = Call(HARD_RESET, repository, branch="main", ref=first["main"], force=True).raw(gateway.url, raw.basic(back.access_key, back.secret_key))
    assert answer.status == 204
    assert "main-stays" in gateway.access_line_of(answer.headers)["shadow"]


# lakeFS binds the first five to the plain name, since it decodes twice; the others it refuses or reads as something else.
SPELLINGS = {
    "one letter encoded": lambda name: f"%{ord(name[0]):02X}{name[1:]}",
    "one letter encoded in lower case": lambda name: f"%{ord(name[0]):02x}{name[1:]}",
    "a letter within": lambda name: f"{name[0]}%{ord(name[1]):02X}{name[2:]}",
    "encoded twice": lambda name: f"%25{ord(name[0]):02X}{name[1:]}",
    "all of it twice": lambda name: "".join(f"%25{ord(letter):02X}" for letter in name),
    "encoded three times": lambda name: f"%2525{ord(name[0]):02X}{name[1:]}",
    "a slash": lambda name: f"{name[:2]}%2F{name[2:]}",
    "a plus": lambda name: f"{name}+",
    "a space": lambda name: f"{name}%20",
    "a zero byte": lambda name: f"{name}%00",
    "a letter of another alphabet": lambda name: f"{name[:-1]}%C4%B1",
    "an encoded semicolon": lambda name: f"{name}%3Bx",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("where", ["branch", "repository"])
def test_a_spelling_with_two_readings_is_refused(gateway, back, history, spelling, where):
    repository, first, second = history
    names = {"branch": "main", "repository": repository}
    names[where] = SPELLINGS[spelling](names[where])
    target = f"/api/v1/repositories/{names['repository']}/branches/{names['branch']}/hard_reset?ref={first['main']}&force=true"
    answer = raw.send(gateway.url, "PUT", target, headers=raw.basic(back.access_key, back.secret_key))
    assert (answer.status, answer.header("X-Lakegate-Reason")) == (400, "ambiguous-target")
    assert back.admin().head(repository, "main") == second["main"]


@pytest.mark.parametrize("name", ["main;x", "main;", "main:", "m@in", "main~0", "main$"])
def test_a_name_that_lakefs_does_not_allow_changes_nothing(gateway, back, history, name):
    repository, first, second = history
    target = f"/api/v1/repositories/{repository}/branches/{name}/hard_reset?ref={first['main']}&force=true"
    assert raw.send(gateway.url, "PUT", target, headers=raw.basic(back.access_key, back.secret_key)).status in (400, 403, 404)
    assert back.admin().head(repository, "main") == second["main"]


@pytest.mark.parametrize("force", ["1", "t", "T", "TRUE", "true", "True", "%74rue"])
@pytest.mark.parametrize("name", ["force", "f%6Frce"])
def test_every_spelling_of_force_that_lakefs_accepts_is_seen(gateway, back, history, name, force):
    repository, first, second = history
    target = f"/api/v1/repositories/{repository}/branches/main/hard_reset?ref={first['main']}&{name}={force}"
    answer = raw.send(gateway.url, "PUT", target, headers=raw.basic(back.access_key, back.secret_key))
    assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "guarded")
    assert back.admin().head(repository, "main") == second["main"]


@pytest.mark.parametrize("path", ["branches/main/rewrite", "branches/main/hard_reset/now", "refs/main/vanish"])
def test_a_mutation_that_nobody_knows_is_refused_where_a_rule_protects(gateway, back, repository, path):
    answer = raw.send(gateway.url, "POST", f"/api/v1/repositories/{repository}/{path}", headers=raw.basic(back.access_key, back.secret_key), body={})
    assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "guarded")


def test_lakefs_own_rule_still_speaks_for_itself(gateway, back):
    repository = back.repository(protected=["sealed"])
    call = Call(HARD_RESET, repository, branch="sealed", ref="main", force=True)
    answer = call.raw(gateway.url, raw.basic(back.access_key, back.secret_key))
    assert (answer.status, answer.json(), answer.header("X-Lakegate-Reason")) == (403, {"message": "protected branch"}, None)
