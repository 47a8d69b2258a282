//! lakeFS's session cookies: gorilla securecookie, a gob map inside, signed with HMAC-SHA256. Pure.
