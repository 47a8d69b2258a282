"""What the log says of a request, what it never says, and the life of an upload as `lakegate uploads` tells it."""

import json
import os
import re
import subprocess

import lakefs_sdk
import pytest
from support import calls, clients, process, raw, tokens
from support.calls import ABORT, COMPLETE, Call

pytestmark = pytest.mark.gateway


def told(gateway, upload, state):
    """What `lakegate uploads` says of an upload once it is in this state: asked of the running gateway."""

    def ask():
        command = [process.binary(), "uploads", "list", "--json", "--repository", upload.repository, "--config", gateway.configuration]
        done = subprocess.run(command, cwd=gateway.folder, env={**os.environ, **gateway.environment}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return [each for each in map(json.loads, done.stdout.splitlines()) if each["upload_id"] == upload.upload_id and each["state"] == state]

    (only,) = process.wait_for(ask, f"an upload to be {state}")
    assert (only["repository"], only["branch"], only["path"], only["principal"]) == (upload.repository, upload.branch, upload.path, "admin")
    return only


def test_an_access_line_tells_who_did_what_and_what_became_of_it(front, scheme, back, repository):
    client = clients.client(front.url, scheme, back)
    answer = client.experimental.create_presign_multipart_upload_with_http_info(repository, "work", "seen", parts=1)
    line = front.access_line_of(answer.headers)
    expected = {
        "operation": "createPresignMultipartUpload",
        "method": "POST",
        "principal": "admin",
        "auth.method": {"basic_auth": "basic", "jwt_token": "bearer", "cookie_auth": "cookie", "oidc_auth": "oidc", "saml_auth": "saml"}[scheme],
        "auth.proved": True,
        "repository": repository,
        "reference": "work",
        "status": 201,
        "upstream.status": 201,
        "decision": "forwarded",
        "client.address": "127.0.0.1",
    }
    assert {name: line.get(name) for name in expected} == expected
    assert line["user_agent"].startswith("lakefs-python-sdk/")
    assert line["duration_ms"] >= line["upstream.latency_ms"] > 0 and line["sent_bytes"] == len(answer.raw_data)


def test_an_uploads_life_is_in_the_ledger(gateway, scheme, back, repository):
    client, path = clients.client(gateway.url, scheme, back), f"ledger/{scheme}"
    completed = calls.create(client, repository, "work", path, parts=2).put([b"\0" * 5_242_880, b"end"])
    assert told(gateway, completed, "open")["parts_asked"] == 2
    assert Call.of(COMPLETE, completed).by_sdk(client)[0] == 200
    last = told(gateway, completed, "completed")
    assert (last["bytes"], last["parts_done"], last["status"]) == (5_242_883, 2, 200)
    given_up = calls.create(client, repository, "work", f"{path}/given up")
    assert Call.of(ABORT, given_up).by_sdk(client)[0] == 204
    assert told(gateway, given_up, "aborted")["bytes"] is None


def test_an_uploads_steps_are_in_the_log(gateway, back, repository):
    client = clients.client(gateway.url, "basic_auth", back)
    upload = calls.create(client, repository, "work", "steps").put([b"data"])
    assert Call.of(COMPLETE, upload).by_sdk(client)[0] == 200
    def steps():
        return [line for line in gateway.lines() if line.get("target") == "lakegate::uploads" and line.get("upload.id") == upload.upload_id]

    assert [line["event"] for line in process.wait_for(lambda: len(steps()) >= 2 and steps(), "both steps")] == ["create", "complete"]


def test_planted_secrets_never_reach_the_log(gateways, back, repository):
    gateway = gateways("login")
    planted = {"PLANTED-basic-secret", "PLANTED-login-secret", "PLANTEDSIGNATURE0123456789abcdef", "PLANTED.bearer.token", "PLANTED-cookie-value", "PLANTED-session-token"}
    answers = []
    for scheme in clients.SCHEMES:
        configuration, headers = clients.credential(scheme, back)
        planted |= {re.sub(r"^(Basic |Bearer |\w+_session=)", "", value) for value in headers.values()}
        answers.append(raw.send(gateway.url, "GET", "/api/v1/repositories", headers=headers))
        upload = calls.create(clients.Client(gateway.url, **configuration), repository, "work", f"secrets/{scheme}")
        planted |= set(re.findall(r"X-Amz-(?:Signature|Credential)=([^&]+)", " ".join(upload.presigned_urls))) | {upload.physical_address.split(",")[-1]}
        assert Call.of(ABORT, upload).by_sdk(clients.Client(gateway.url, **configuration))[0] == 204
    for headers in (
        raw.basic("AKIA", "PLANTED-basic-secret"),
        raw.bearer("PLANTED.bearer.token"),
        {"Cookie": "internal_auth_session=PLANTED-cookie-value; saml_auth_session=PLANTED-cookie-value"},
        {"Cookie": "PLANTED-cookie-value"},
    ):
        answers.append(raw.send(gateway.url, "GET", "/api/v1/repositories", headers=headers))
    signed = "/repo/main/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2Fx&X-Amz-Security-Token=PLANTED-session-token&X-Amz-Signature=PLANTEDSIGNATURE0123456789abcdef"
    answers.append(raw.send(gateway.url, "GET", signed))
    body = {"access_key_id": "AKIA", "secret_access_key": "PLANTED-login-secret"}
    answers.append(raw.send(gateway.url, "POST", "/api/v1/auth/login", body=body))
    login = lakefs_sdk.LoginInformation(access_key_id=back.access_key, secret_access_key=back.secret_key)
    planted |= {clients.Client(gateway.url).auth.login(login_information=login).token, back.secret_key, back.auth_secret}
    planted |= {part for secret in list(planted) if tokens.JWT.fullmatch(secret) for part in secret.split(".")[1:]}
    for answer in answers:
        if answer.header("X-Request-Id"):
            gateway.access_line_of(answer.headers)
    log = gateway.log()
    leaked = [line for line in log.splitlines() if any(secret in line for secret in planted)]
    assert len(planted) > 20 and not leaked
