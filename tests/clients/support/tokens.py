"""lakeFS's own tokens and session cookies, made from the shared secret.

Tokens are HS256 JWTs (lakeFS pkg/auth/token.go). Cookies are gorilla securecookies without encryption (cmd/lakefs serve.go): base64url of
`timestamp|base64url(gob)|HMAC-SHA256`, the MAC over `name|timestamp|base64url(gob)`. The gob is a `map[any]any` of one entry: a token for
`internal_auth_session`, claims for the other two. `test_tokens.py` holds this against bytes that lakeFS's own libraries made.
"""

import base64
import hashlib
import hmac
import json
import re
import time
import uuid

JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")
CLAIMS_TYPE = b"github.com/treeverse/lakefs/pkg/auth/oidc.Claims"
MAP_OF_ANY = bytes.fromhex("0d7f040102ff8000011001100000")
CLAIMS_DEFINITION = bytes.fromhex("ff8104010106") + b"Claims" + bytes.fromhex("01ff8200010c01100000")


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(secret, user="admin", *, lifetime=3600, algorithm="HS256", **claims):
    """A lakeFS login token for `user`; `claims` replace or, as None, remove the usual ones."""
    now = int(time.time())
    payload = {"jti": str(uuid.uuid4()), "iss": "auth", "sub": user, "aud": "login", "iat": now, "exp": now + lifetime}
    payload = {name: value for name, value in {**payload, **claims}.items() if value is not None}
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, payload))
    if algorithm == "none":
        return signed + "."
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(mac)}"


def _uint(number):
    """gob's unsigned integer: one byte below 128, else the negated byte count and the bytes."""
    if number < 128:
        return bytes([number])
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([256 - len(data)]) + data


def _string(text):
    data = text.encode()
    return _uint(len(data)) + data


def _any_string(text):
    """A string as an interface value: the type's name, its id, its length, the value."""
    value = b"\0" + _string(text)
    return _string("string") + b"\x0c" + _uint(len(value)) + value


def gob_token(token):
    """`map[any]any{"token": token}`."""
    value = b"\xff\x80\0\x01" + _any_string("token") + _any_string(token)
    return MAP_OF_ANY + _uint(len(value)) + value


def gob_claims(key, claims):
    """`map[any]any{key: oidc.Claims(claims)}`, values as strings."""
    head = b"\xff\x80\0\x01" + _any_string(key) + _uint(len(CLAIMS_TYPE)) + CLAIMS_TYPE + CLAIMS_DEFINITION
    value = b"\0" + _uint(len(claims)) + b"".join(_string(name) + _any_string(text) for name, text in claims.items())
    tail = b"\xff\x82" + _uint(len(value)) + value
    return MAP_OF_ANY + _uint(len(head)) + head + _uint(len(tail)) + tail


def signed_cookie(name, gob, secret, now=None):
    """The value of a signed session cookie."""
    stamped = f"{int(now if now is not None else time.time())}|".encode() + base64.urlsafe_b64encode(gob)
    mac = hmac.new(secret.encode(), f"{name}|".encode() + stamped, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(stamped + b"|" + mac).decode()


def internal_cookie(token, secret, now=None):
    """`internal_auth_session=...` with a token inside."""
    return "internal_auth_session=" + signed_cookie("internal_auth_session", gob_token(token), secret, now)


def oidc_cookie(claims, secret, now=None):
    """`oidc_auth_session=...` with claims inside."""
    return "oidc_auth_session=" + signed_cookie("oidc_auth_session", gob_claims("id_token_claims", claims), secret, now)


def saml_cookie(claims, secret, now=None):
    """`saml_auth_session=...` with claims inside."""
    return "saml_auth_session=" + signed_cookie("saml_auth_session", gob_claims("saml_token_claims", claims), secret, now)
