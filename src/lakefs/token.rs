//! lakeFS's own tokens: HS256 JWTs as pkg/auth/token.go makes and reads them. Pure.
