//! Branch and repository patterns with the semantics of gobwas/glob v0.2.3, as lakeFS uses it. Pure.
