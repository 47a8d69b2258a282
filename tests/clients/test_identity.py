"""Who a client is: forgeries get nothing in any mode, nameless cookies neither crash nor authenticate, what is anonymous stays so."""

import time

import lakefs_sdk
import pytest
from support import clients, raw, tokens

REPOSITORIES = "/api/v1/repositories"
WRONG = "not-the-secret-that-lakefs-has"


def forgeries(secret):
    """Ways to claim to be `admin` without lakeFS's secret, or with what it no longer vouches for, as headers."""
    past = int(time.time()) - 60
    month = int(time.time()) - 31 * 86_400
    forged = tokens.jwt(WRONG)
    return {
        "a token signed with another secret": raw.bearer(forged),
        "a token without a signature": raw.bearer(tokens.jwt(secret, algorithm="none")),
        "a token whose claims were swapped": raw.bearer(swapped(tokens.jwt(secret, "nobody"), tokens.jwt(WRONG, "admin"))),
        "a token that has ended": raw.bearer(tokens.jwt(secret, exp=past)),
        "a token without an end": raw.bearer(tokens.jwt(secret, exp=None)),
        "a token for another audience": raw.bearer(tokens.jwt(secret, aud="elsewhere")),
        "a token of nobody": raw.bearer(tokens.jwt(secret, "")),
        "no token at all": {"Authorization": "Bearer "},
        "two words": {"Authorization": "Bearer a b"},
        "a key pair with a wrong secret": raw.basic("AKIAIOSFODNN7EXAMPLE", WRONG),
        "a key pair of nobody": raw.basic("AKIANOBODY", WRONG),
        "basic that is not base64": {"Authorization": "Basic %%%"},
        "an internal cookie signed with another secret": {"Cookie": tokens.internal_cookie(tokens.jwt(secret), WRONG)},
        "an internal cookie with a forged token": {"Cookie": tokens.internal_cookie(forged, secret)},
        "a raw token as a cookie": {"Cookie": f"internal_auth_session={tokens.jwt(secret)}"},
        "an oidc cookie signed with another secret": {"Cookie": tokens.oidc_cookie({"sub": "admin"}, WRONG)},
        "an oidc cookie of 31 days ago": {"Cookie": tokens.oidc_cookie({"sub": "admin"}, secret, month)},
        "an oidc cookie without the claim": {"Cookie": tokens.oidc_cookie({"name": "admin"}, secret)},
        "an oidc cookie under saml's name": {"Cookie": tokens.oidc_cookie({"sub": "admin"}, secret).replace("oidc_", "saml_")},
        "a saml cookie signed with another secret": {"Cookie": tokens.saml_cookie({"sub": "admin"}, WRONG)},
        "a saml cookie of 31 days ago": {"Cookie": tokens.saml_cookie({"sub": "admin"}, secret, month)},
        "a saml cookie of garbage": {"Cookie": "saml_auth_session=%00garbage"},
        "a header that proxies trust": {"X-Forwarded-User": "admin", "Remote-User": "admin"},
    }


def swapped(token, claims_of):
    """`token` with the claims of another one."""
    head, _, signature = token.split(".")
    return ".".join((head, claims_of.split(".")[1], signature))


@pytest.mark.parametrize("what", forgeries("x"))
def test_a_forgery_gets_lakefs_own_401(front, back, what):
    answer = raw.send(front.url, "GET", REPOSITORIES, headers=forgeries(back.auth_secret)[what])
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


def test_every_scheme_is_admin(front, scheme, back):
    assert clients.client(front.url, scheme, back).auth.get_current_user().user.id == "admin"


@pytest.mark.parametrize("external", clients.EXTERNAL)
def test_plain_lakefs_refuses_cookies_of_an_identity_provider(back, external):
    answer = raw.send(back.url, "GET", REPOSITORIES, headers=clients.credential(external, back)[1])
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


@pytest.mark.gateway
@pytest.mark.parametrize("external", clients.EXTERNAL)
def test_without_a_bearer_to_attach_so_does_the_gateway(gateways, back, external):
    answer = raw.send(gateways("passthrough").url, "GET", REPOSITORIES, headers=clients.credential(external, back)[1])
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


@pytest.mark.gateway
@pytest.mark.parametrize("upstream", ["login", "mint"])
@pytest.mark.parametrize("external", clients.EXTERNAL)
def test_a_user_that_lakefs_never_heard_of_works_behind_the_gateway(gateways, back, upstream, external):
    gateway = gateways(upstream)
    answer = raw.send(gateway.url, "GET", REPOSITORIES, headers=clients.credential(external, back, user="alice@example.com")[1])
    assert answer.status == 200, answer.body
    line = gateway.access_line_of(answer.headers)
    assert (line["principal"], line["auth.method"], line["auth.proved"]) == ("alice@example.com", external.removesuffix("_auth"), True)


@pytest.mark.gateway
@pytest.mark.parametrize("known", [scheme for scheme in clients.SCHEMES if scheme not in clients.EXTERNAL])
def test_without_the_shared_secret_lakefs_itself_is_asked(gateways, back, known):
    gateway = gateways("login", auth__lakefs_secret=None)
    client = clients.client(gateway.url, known, back)
    assert client.auth.get_current_user().user.id == "admin"
    assert clients.outcome(client.repositories.list_repositories_with_http_info)[0] == 200


@pytest.mark.gateway
@pytest.mark.parametrize("what", forgeries("x"))
def test_without_the_shared_secret_a_forgery_gets_nothing_either(gateways, back, what):
    gateway = gateways("login", auth__lakefs_secret=None)
    for _ in range(2):  # the second answer may come from what was remembered of the first
        answer = raw.send(gateway.url, "GET", REPOSITORIES, headers=forgeries(back.auth_secret)[what])
        assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


@pytest.mark.parametrize("name", ["", "=", "nothing=", "Internal_Auth_Session=", " ;; ,"])
def test_a_cookie_without_its_name_neither_crashes_nor_authenticates(front, back, name):
    value = tokens.internal_cookie(tokens.jwt(back.auth_secret), back.auth_secret).partition("=")[2]
    answer = raw.send(front.url, "GET", REPOSITORIES, headers={"Cookie": name + value})
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


def test_the_cookie_that_the_sdk_sends_by_default_has_no_name(front, back):
    value = tokens.internal_cookie(tokens.jwt(back.auth_secret), back.auth_secret).partition("=")[2]
    client = clients.Client(front.url, api_key={"cookie_auth": value})
    assert clients.outcome(client.repositories.list_repositories_with_http_info) == (401, clients.UNAUTHENTICATED)


def test_a_nameless_cookie_does_not_disturb_a_good_key_pair(front, back):
    headers = raw.basic(back.access_key, back.secret_key) | {"Cookie": "garbage; =; ;;"}
    assert raw.send(front.url, "GET", REPOSITORIES, headers=headers).status == 200


def test_a_good_cookie_does_not_save_a_bad_token(front, back):
    cookie = tokens.internal_cookie(tokens.jwt(back.auth_secret), back.auth_secret)
    answer = raw.send(front.url, "GET", REPOSITORIES, headers=raw.bearer(tokens.jwt(WRONG)) | {"Cookie": cookie})
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


def test_nobody_is_nobody(front, back):
    direct, through = (raw.send(url, "GET", "/api/v1/user") for url in (back.url, front.url))
    assert through.comparable() == direct.comparable()
    assert (through.status, through.json()) == (200, {"user": {"creation_date": 0, "id": ""}})
    answer = raw.send(front.url, "GET", REPOSITORIES)
    assert (answer.status, answer.body) == (401, clients.UNAUTHENTICATED)


def test_what_needs_no_login_needs_none(front):
    assert raw.send(front.url, "GET", "/api/v1/healthcheck").status == 204
    assert raw.send(front.url, "GET", "/api/v1/auth/capabilities").status == 200


def test_login_gives_a_token_and_a_cookie_that_work(front, back):
    anonymous = clients.Client(front.url)
    token = anonymous.auth.login(login_information=lakefs_sdk.LoginInformation(access_key_id=back.access_key, secret_access_key=back.secret_key)).token
    assert clients.Client(front.url, access_token=token).auth.get_current_user().user.id == "admin"
    answer = raw.send(front.url, "POST", "/api/v1/auth/login", body={"access_key_id": back.access_key, "secret_access_key": back.secret_key})
    cookie = answer.header("Set-Cookie").partition(";")[0]
    assert cookie.startswith("internal_auth_session=")
    assert raw.send(front.url, "GET", REPOSITORIES, headers={"Cookie": cookie}).status == 200


def test_a_login_with_a_wrong_secret_is_refused_as_by_lakefs(front, back):
    body = {"access_key_id": back.access_key, "secret_access_key": WRONG}
    direct, through = (raw.send(url, "POST", "/api/v1/auth/login", body=body) for url in (back.url, front.url))
    assert (through.status, through.body) == (direct.status, direct.body) == (401, clients.UNAUTHENTICATED)


@pytest.mark.gateway
def test_set_up_is_closed_unless_opened(gateways, back):
    for path in ("/api/v1/setup_lakefs", "/api/v1/setup_comm_prefs"):
        answer = raw.send(gateways("login").url, "POST", path, body={"username": "mallory"})
        assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "closed")
    opened = raw.send(gateways("login", auth__allow_setup=True).url, "POST", "/api/v1/setup_lakefs", body={"username": "mallory"})
    assert (opened.status, opened.json()) == (409, {"message": "lakeFS already initialized"})


@pytest.mark.gateway
def test_an_address_that_fails_too_often_has_to_wait(gateways, back):
    gateway = gateways("login", auth__failed_logins_per_minute=3)
    body = {"access_key_id": back.access_key, "secret_access_key": WRONG}
    statuses = [raw.send(gateway.url, "POST", "/api/v1/auth/login", body=body).status for _ in range(6)]
    assert statuses == [401, 401, 401, 429, 429, 429]
    last = raw.send(gateway.url, "POST", "/api/v1/auth/login", body=body)
    assert int(last.header("Retry-After")) >= 1 and last.json()["message"]


@pytest.mark.gateway
def test_metrics_and_profiles_of_lakefs_are_closed(gateway):
    for path in ("/metrics", "/_pprof/", "/_pprof/heap"):
        answer = raw.send(gateway.url, "GET", path)
        assert (answer.status, answer.header("X-Lakegate-Reason")) == (403, "closed"), path


@pytest.mark.scripted
@pytest.mark.gateway
def test_lakefs_sees_one_bearer_and_nothing_that_the_client_sent(front, scheme, back, repository):
    headers = clients.credential(scheme, back)[1]
    if "Cookie" not in headers:
        headers |= {"Cookie": "internal_auth_session=left-over; oidc_auth_session=left-over; saml_auth_session=left-over; theme=dark"}
    assert raw.send(front.url, "GET", f"/api/v1/repositories/{repository}?from=client", headers=headers).status == 200
    seen = [request for request in back.received("getRepository") if request["target"].endswith("from=client")][-1]
    if front.upstream == "passthrough":
        assert (seen["authorization"] is None) == ("Authorization" not in headers)
    else:
        assert seen["authorization"]["scheme"] == "Bearer"
        assert not {"internal_auth_session", "oidc_auth_session", "saml_auth_session"} & set(seen["cookies"])
