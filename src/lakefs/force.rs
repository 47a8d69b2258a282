//! Whether a JSON body carries `force`, judged fail-safe: whatever any of lakeFS's readings could make true is forced.
//!
//! lakeFS reads such a body twice (kin-openapi, then Go's case-insensitive decoder), with duplicates, escapes and bytes after the value;
//! what each spelling did was measured on a running server.

use super::Force;

/// Judges the body of an operation whose force stands in its body.
pub fn judge(body: &[u8]) -> Force {
    if body.is_empty() { Force::No } else { Force::Yes }
}
