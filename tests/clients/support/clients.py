"""lakefs-sdk clients under each of lakeFS's five authentication schemes, in the form that the installed version can send."""

import tempfile

import lakefs_sdk
from lakefs_sdk.exceptions import ApiException

from support import raw, tokens

SCHEMES = ("basic_auth", "jwt_token", "cookie_auth", "oidc_auth", "saml_auth")
# lakeFS of one user has no external users: these two work only through a gateway that proves them and attaches a bearer of its own.
EXTERNAL = ("oidc_auth", "saml_auth")
VERSION = lakefs_sdk.__version__
# lakefs-sdk removed oidc_auth and saml_auth; there a cookie is given to the ApiClient whole.
KNOWS_EXTERNAL = "oidc_auth" in lakefs_sdk.Configuration(api_key={"oidc_auth": "x"}).auth_settings()
UNAUTHENTICATED = b'{"message":"error authenticating request"}\n'


class Client:
    """All APIs of the SDK, over one configured ApiClient."""

    def __init__(self, url, *, cookie=None, retries=False, **configuration):
        made = lakefs_sdk.Configuration(host=f"{url}/api/v1", **configuration)
        made.retries = retries
        self.api = lakefs_sdk.ApiClient(made, cookie=cookie)
        self.experimental = lakefs_sdk.ExperimentalApi(self.api)
        self.auth = lakefs_sdk.AuthApi(self.api)
        self.branches = lakefs_sdk.BranchesApi(self.api)
        self.commits = lakefs_sdk.CommitsApi(self.api)
        self.objects = lakefs_sdk.ObjectsApi(self.api)
        self.refs = lakefs_sdk.RefsApi(self.api)
        self.repositories = lakefs_sdk.RepositoriesApi(self.api)

    def head(self, repository, branch):
        """The commit that a branch points at."""
        return self.branches.get_branch(repository, branch).commit_id

    def write(self, repository, branch, path, data=b"x"):
        """Writes one object: the SDK takes it as a file and sends it as a form."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            self.objects.upload_object(repository, branch, path, content=file.name)

    def commit(self, repository, branch, path, data=b"x"):
        """Writes one object, commits it, and returns the commit's id."""
        self.write(repository, branch, path, data)
        return self.commits.commit(repository, branch, lakefs_sdk.CommitCreation(message=f"write {path}")).id


def credential(scheme, back, *, secret=None, token=None, user="admin", claims=None):
    """What a client of this scheme carries: `Configuration` and `ApiClient` arguments, and the same as raw headers.

    `secret` other than lakeFS's own makes a forgery of it.
    """
    secret = secret or back.auth_secret
    if scheme == "basic_auth":
        key, password = back.access_key, back.secret_key if secret == back.auth_secret else secret
        return {"username": key, "password": password}, raw.basic(key, password)
    if scheme == "jwt_token":
        token = token or tokens.jwt(secret, user)
        return {"access_token": token}, raw.bearer(token)
    cookie = {
        "cookie_auth": lambda: tokens.internal_cookie(token or tokens.jwt(secret, user), secret),
        "oidc_auth": lambda: tokens.oidc_cookie(claims or {"sub": user}, secret),
        "saml_auth": lambda: tokens.saml_cookie(claims or {"sub": user}, secret),
    }[scheme]()
    # `api_key` sends its value as the whole Cookie header, so the value has to bring the name.
    by_key = scheme == "cookie_auth" or KNOWS_EXTERNAL
    return {"api_key": {scheme: cookie}} if by_key else {"cookie": cookie}, {"Cookie": cookie}


def client(url, scheme, back, **how):
    """A client of this scheme, speaking to `url`."""
    return Client(url, **credential(scheme, back, **how)[0])


def outcome(call, *arguments, **named):
    """Status and body of an SDK call, whether it returned or raised."""
    try:
        answer = call(*arguments, **named)
        status, body = answer.status_code, answer.raw_data
    except ApiException as error:
        status, body = error.status, error.body
    return status, body.encode() if isinstance(body, str) else body or b""
