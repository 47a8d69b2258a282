"""The suite's own cookies against bytes that lakeFS's libraries made: if these hold, a refused cookie is the gateway's word, not ours."""

from support import tokens

SECRET = "THIS_MUST_BE_CHANGED_IN_PRODUCTION"
NOW = 1795379955
INTERNAL = (
    "MTc5NTM3OTk1NXxEWDhFQVFMX2dBQUJFQUVRQUFBcV80QUFBUVp6ZEhKcGJtY01Cd0FGZEc5clpXNEdjM1J5YVc1bkRBMEFDMkZpWXk1a1pXWXVaMmhwfMykmT6k8E5uSbTosg"
    "Pvhr8s3UfeoE409ctlP8UPi0FS"
)
SAML_GOB = (
    "0d7f040102ff800001100110000067ff80000106737472696e670c13001173616d6c5f746f6b656e5f636c61696d73306769746875622e636f6d2f747265657665727365"
    "2f6c616b6566732f706b672f617574682f6f6964632e436c61696d73ff8104010106436c61696d7301ff8200010c0110000025ff822200010373756206737472696e670c"
    "130011616c696365406578616d706c652e636f6d"
)
SAML_MAC = "8395ce8277166d48cc6bc5548b9c01e3cf86771d60748c4f5956324ece4cd500"


def test_an_internal_cookie_equals_the_one_lakefs_made():
    assert tokens.internal_cookie("abc.def.ghi", SECRET, NOW) == f"internal_auth_session={INTERNAL}"


def test_a_saml_cookie_equals_the_one_lakefs_made():
    gob = tokens.gob_claims("saml_token_claims", {"sub": "alice@example.com"})
    assert gob.hex() == SAML_GOB
    value = tokens.signed_cookie("saml_auth_session", gob, SECRET, NOW)
    assert tokens.base64.urlsafe_b64decode(value)[-32:].hex() == SAML_MAC


def test_long_values_have_gob_lengths_of_several_bytes():
    assert tokens._uint(300) == bytes.fromhex("fe012c")
    assert tokens._uint(127) == b"\x7f" and tokens._uint(128) == b"\xff\x80"
