"""The heads that destructive calls lose are on disk before they go, whenever the gateway dies, and `lakegate undo` brings them back."""

import concurrent.futures
import http.server
import json
import os
import random
import subprocess
import threading
import time

import pytest
from support import clients, process, raw, world

pytestmark = pytest.mark.gateway

# .ci/full sets more.
ROUNDS = int(os.environ.get("LAKEGATE_KILL_ROUNDS", "6"))
OLD = "a" * 64


def lakegate(gateway, *arguments):
    """What a command says of the running gateway: one object a line."""
    command = [str(process.binary()), *arguments, "--json", "--socket", str(gateway.folder / "lakegate.sock")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(gateway, repository, branch):
    return lakegate(gateway, "undo", "list", "--repository", repository, "--branch", branch)


def head(back, repository, branch):
    answer = raw.send(back.url, "GET", f"/api/v1/repositories/{repository}/branches/{branch}", headers=raw.basic(back.access_key, back.secret_key))
    return answer.json()["commit_id"] if answer.status == 200 else None


def hard_reset(front, back, repository, branch, ref):
    target = f"/api/v1/repositories/{repository}/branches/{branch}/hard_reset?ref={ref}"
    return raw.send(front.url, "PUT", target, headers=raw.basic(back.access_key, back.secret_key))


def tags(back, repository):
    answer = raw.send(back.url, "GET", f"/api/v1/repositories/{repository}/tags", headers=raw.basic(back.access_key, back.secret_key))
    return {tag["id"]: tag["commit_id"] for tag in answer.json()["results"]}


@pytest.mark.parametrize("upstream", ["login", "passthrough"])
def test_a_branch_that_was_reset_and_deleted_comes_back(gateways, back, upstream):
    gateway, repository = gateways(upstream), back.repository()
    first = back.admin().commit(repository, "work", "work/1")
    second = back.admin().commit(repository, "work", "work/2")
    assert hard_reset(gateway, back, repository, "work", first).status == 204
    (reset,) = records(gateway, repository, "work")
    assert (reset["outcome"], reset["commit"], reset["left_at"], reset["moved_to"]) == ("done", second, first, first)
    assert tags(back, repository) == {reset["pin"]["tag"]: second}
    deleted = raw.send(gateway.url, "DELETE", f"/api/v1/repositories/{repository}/branches/work", headers=raw.basic(back.access_key, back.secret_key))
    assert deleted.status == 204
    delete = records(gateway, repository, "work")[0]
    if upstream == "passthrough":
        # The gateway has no user of its own: it says what to do by hand.
        command = [str(process.binary()), "undo", "apply", delete["id"], "--socket", str(gateway.folder / "lakegate.sock")]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 1 and "auth.service" in refused.stderr and "lakectl branch create" in refused.stderr
        return
    assert lakegate(gateway, "undo", "apply", delete["id"], "--dry-run")[0]["changed"] is False
    assert head(back, repository, "work") is None
    assert lakegate(gateway, "undo", "apply", delete["id"])[0]["changed"] is True
    assert head(back, repository, "work") == first
    assert lakegate(gateway, "undo", "apply", reset["id"])[0]["changed"] is True
    assert head(back, repository, "work") == second
    own = records(gateway, repository, "work")[0]
    assert own["undoes"] == reset["id"]
    lakegate(gateway, "undo", "apply", own["id"])
    assert head(back, repository, "work") == first


def test_a_call_that_lakefs_refuses_is_marked_failed_and_leaves_no_tag(gateway, back):
    repository = back.repository()
    assert hard_reset(gateway, back, repository, "work", "no-such-ref").status == 404
    (record,) = records(gateway, repository, "work")
    assert (record["outcome"], record["status"], record["pin"]) == ("failed", 404, None)
    assert tags(back, repository) == {}


class Stuck(http.server.BaseHTTPRequestHandler):
    """A lakeFS that knows one branch, takes a hard reset, and never answers it."""

    protocol_version = "HTTP/1.1"
    took = threading.Event()

    def answer(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"id": "main", "commit_id": OLD, "user": {"id": "admin"}})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"id": "t", "commit_id": OLD, "token": "t", "token_expiration": int(time.time()) + 3600}, 200 if "login" in self.path else 201)

    def do_PUT(self):
        self.took.set()
        time.sleep(60)

    def log_message(self, *_):
        pass


def test_killed_between_record_and_answer_the_record_is_there_and_says_unknown(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stuck)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    back = world.Back("stuck", f"http://127.0.0.1:{server.server_port}", "AKIASTUCK", "s" * 40, "t" * 40, "s3://none")
    gateway = world.Gateway("killed", back, tmp_path, "passthrough", "livez", guard__rules=[])
    threading.Thread(target=lambda: _ignored(lambda: hard_reset(gateway, back, "lake", "main", "other")), daemon=True).start()
    assert Stuck.took.wait(20)
    gateway.kill()
    gateway = world.Gateway("killed", back, tmp_path, "passthrough", "livez", guard__rules=[])
    try:
        (record,) = records(gateway, "lake", "main")
        assert (record["outcome"], record["commit"], record["moved_to"]) == ("unknown", OLD, "other")
        assert "whether lakeFS did them is unknown" in gateway.log()
    finally:
        gateway.stop()
        server.shutdown()


def _ignored(call):
    try:
        call()
    except OSError:
        pass


def test_killed_at_any_moment_no_head_is_lost_without_a_record(back, tmp_path):
    repository = back.repository()
    commits = [back.admin().commit(repository, "work", f"work/{number}") for number in range(3)]
    undone = 0
    for number in range(ROUNDS):
        before = head(back, repository, "work")
        target = random.choice([commit for commit in commits if commit != before])
        gateway = world.Gateway("kill", back, tmp_path)
        known = {record["id"] for record in records(gateway, repository, "work")}
        calling = threading.Thread(target=lambda g=gateway, t=target: _ignored(lambda: hard_reset(g, back, repository, "work", t)), daemon=True)
        calling.start()
        time.sleep(random.uniform(0, 0.06))
        gateway.kill()
        calling.join(30)
        gateway = world.Gateway("kill", back, tmp_path)
        try:
            time.sleep(0.1)  # lakeFS may still be at what it was asked before
            after = head(back, repository, "work")
            new = [record for record in records(gateway, repository, "work") if record["id"] not in known]
            assert all(record["outcome"] in ("done", "unknown", "failed") and record["commit"] == before for record in new), new
            if after != before:
                assert after == target and len(new) == 1 and new[0]["outcome"] != "failed", (number, new)
                lakegate(gateway, "undo", "apply", new[0]["id"], *(["--force"] if new[0]["left_at"] is None else []))
                assert head(back, repository, "work") == before
                undone += 1
        finally:
            gateway.stop()
    print(f"{ROUNDS} rounds, {undone} resets were done and undone")


def asking(gateways, effect, **rule):
    rule = {"name": "asks-first", "repositories": ["t-*"], "branches": ["work"], "effect": effect, **rule}
    return gateways("login", guard__rules=[rule])


def with_header(front, back, repository, ref, **headers):
    target = f"/api/v1/repositories/{repository}/branches/work/hard_reset?ref={ref}"
    return raw.send(front.url, "PUT", target, headers={**raw.basic(back.access_key, back.secret_key), **headers})


def reason(answer):
    return answer.status, answer.header("X-Lakegate-Reason"), answer.header("X-Lakegate-Rule")


def test_a_confirmation_names_what_is_about_to_be_lost(gateways, back):
    gateway, repository = asking(gateways, "require_confirmation"), back.repository()
    first = back.admin().commit(repository, "work", "work/1")
    second = back.admin().commit(repository, "work", "work/2")
    missing = with_header(gateway, back, repository, first)
    assert reason(missing) == (428, "confirmation-required", "asks-first") and second in missing.json()["message"]
    # The SDK shows it, and asks once.
    client = clients.client(gateway.url, "basic_auth", back)
    status, body = clients.outcome(client.experimental.hard_reset_branch_with_http_info, repository, "work", first)
    assert status == 428 and second.encode() in body
    assert reason(with_header(gateway, back, repository, first, **{"X-Lakegate-Confirm": first})) == (412, "confirmation-stale", "asks-first")
    assert head(back, repository, "work") == second and records(gateway, repository, "work") == []
    assert with_header(gateway, back, repository, first, **{"X-Lakegate-Confirm": second}).status == 204
    assert head(back, repository, "work") == first
    # The branch has moved: what was confirmed before is stale now.
    assert with_header(gateway, back, repository, second, **{"X-Lakegate-Confirm": second}).status == 412


def test_of_twenty_who_confirm_the_same_commit_at_once_one_moves_the_branch(gateways, back):
    gateway, repository = asking(gateways, "require_confirmation"), back.repository()
    commits = [back.admin().commit(repository, "work", f"work/{number}") for number in range(3)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        sending = [pool.submit(with_header, gateway, back, repository, commits[0], **{"X-Lakegate-Confirm": commits[2]}) for _ in range(20)]
        answers = sorted(answer.result().status for answer in sending)
    assert answers == [204] + [412] * 19


def test_an_approval_lets_one_request_pass_once(gateways, back):
    gateway, repository = asking(gateways, "require_approval"), back.repository()
    first = back.admin().commit(repository, "work", "work/1")
    second = back.admin().commit(repository, "work", "work/2")
    refused = with_header(gateway, back, repository, first)
    assert reason(refused) == (403, "approval-required", "asks-first")
    (waiting,) = (approval for approval in lakegate(gateway, "approve", "list") if approval["targets"][0] == f"{repository}/work")
    assert waiting["id"] in refused.json()["message"] and waiting["commit"] == second
    decided = lakegate(gateway, "approve", waiting["id"], "--as", "bob")[0]
    assert decided["state"] == "approved" and decided["by"].startswith("bob (uid ")
    assert with_header(gateway, back, repository, "main").status == 403  # another request
    assert with_header(gateway, back, repository, first).status == 204
    assert head(back, repository, "work") == first
    assert with_header(gateway, back, repository, first).status == 403
    shown = lakegate(gateway, "approve", "show", waiting["id"])[0]
    assert shown["state"] == "used"


@pytest.mark.parametrize("effect", ["require_confirmation", "require_approval"])
def test_in_shadow_a_rule_that_asks_only_says_so(gateways, back, effect):
    gateway, repository = asking(gateways, effect, mode="shadow"), back.repository()
    first = back.admin().commit(repository, "work", "work/1")
    back.admin().commit(repository, "work", "work/2")
    answer = with_header(gateway, back, repository, first)
    assert (answer.status, head(back, repository, "work")) == (204, first)
    assert gateway.access_line_of(answer.headers)["shadow"] == "asks-first"
