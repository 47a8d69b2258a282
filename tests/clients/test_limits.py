"""Many clients on one branch, and one client that wants too much."""

import collections
import concurrent.futures
import threading

import lakefs_sdk
import pytest
from support import calls, clients, raw

pytestmark = pytest.mark.gateway


@pytest.mark.parametrize("upstream", ["login", "mint", "passthrough"])
def test_twenty_committers_on_one_branch_never_hear_of_contention(gateways, back, upstream):
    gateway, repository, admin = gateways(upstream), back.repository(), back.admin()
    rounds, committers = 3, 20
    # Nobody writes while others commit: an upload that meets a commit at lakeFS may still be told 429 (src/limit/turn.rs).
    all_here = threading.Barrier(committers)

    def commit_some(number):
        client = clients.client(gateway.url, clients.SCHEMES[number % 3], back)
        answers = []
        for each in range(rounds):
            path = f"{number}/{each}"
            all_here.wait(120)
            client.write(repository, "work", path)
            all_here.wait(120)
            # Another's commit may take this one's object along: with `allow_empty` that is no error.
            made = lakefs_sdk.CommitCreation(message=path, allow_empty=True)
            answers.append(clients.outcome(client.commits.commit_with_http_info, repository, "work", made))
        return answers

    with concurrent.futures.ThreadPoolExecutor(committers) as pool:
        answers = [answer for answers in pool.map(commit_some, range(committers)) for answer in answers]
    assert collections.Counter(status for status, _ in answers) == {201: rounds * committers}, [answer for answer in answers if answer[0] != 201][:3]
    assert not admin.branches.diff_branch(repository, "work").results, "an object was left uncommitted"
    assert len(admin.objects.list_objects(repository, "work", amount=1000).results) == rounds * committers
    messages = [commit.message for commit in admin.refs.log_commits(repository, "work", amount=1000).results]
    assert sorted(message for message in messages if "/" in message) == sorted(f"{n}/{each}" for n in range(committers) for each in range(rounds))
    assert max(line["queue_ms"] for line in gateway.access_lines(operation="commit", repository=repository)) > 0


def narrow(gateways, **more):
    """A gateway that gives each principal one request a second, and waits for nobody."""
    return gateways("login", limit__principal={"requests_per_second": 1, "burst": 2, "in_flight": 4}, limit__max_wait="50ms", **more)


def alice_and_bob(back):
    return [clients.credential("saml_auth", back, user=user)[1] for user in ("alice", "bob")]


def test_over_its_share_a_client_is_told_when_to_come_back(gateways, back):
    gateway, (alice, bob) = narrow(gateways), alice_and_bob(back)
    answers = [raw.send(gateway.url, "GET", "/api/v1/repositories", headers=alice) for _ in range(6)]
    refused = [answer for answer in answers if answer.status != 200]
    assert answers[0].status == 200 and refused
    for answer in refused:
        assert (answer.status, answer.header("X-Lakegate-Reason")) == (429, "over-share")
        assert int(answer.header("Retry-After")) >= 1
        assert answer.header("Content-Type") == "application/json" and answer.json()["message"]
    assert raw.send(gateway.url, "GET", "/api/v1/repositories", headers=bob).status == 200


def test_old_clients_are_told_420_where_the_configuration_says_so(gateways, back):
    gateway, (alice, _) = narrow(gateways, limit__too_many_status=420), alice_and_bob(back)
    statuses = {raw.send(gateway.url, "GET", "/api/v1/repositories", headers=alice).status for _ in range(6)}
    assert statuses == {200, 420}


def test_in_shadow_nobody_is_refused(gateways, back):
    gateway, (alice, _) = narrow(gateways, limit__mode="shadow"), alice_and_bob(back)
    answers = [raw.send(gateway.url, "GET", "/api/v1/repositories", headers=alice) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    assert any(gateway.access_line_of(answer.headers).get("shadow") for answer in answers)


def test_a_patient_client_waits_for_its_turn_instead(gateways, back):
    gateway = gateways("login", limit__principal={"requests_per_second": 10, "burst": 1, "in_flight": 4}, limit__max_wait="30s")
    headers = clients.credential("saml_auth", back, user="alice")[1]
    answers = [raw.send(gateway.url, "GET", "/api/v1/repositories", headers=headers) for _ in range(5)]
    assert {answer.status for answer in answers} == {200}
    assert max(gateway.access_line_of(answer.headers)["queue_ms"] for answer in answers) > 10


def test_a_retrying_sdk_gets_through_after_a_refusal(gateways, back, repository):
    """With Retry-After urllib3 sends PUT and DELETE again by itself: what the gateway refuses costs such a client only time."""
    gateway = gateways("login", limit__principal={"requests_per_second": 2, "burst": 1, "in_flight": 4}, limit__max_wait="10ms")
    client = clients.Client(gateway.url, retries=None, **clients.credential("basic_auth", back)[0])
    for _ in range(3):
        call = calls.Call(calls.HARD_RESET, repository, ref="work")
        assert call.by_sdk(client)[0] == 204
