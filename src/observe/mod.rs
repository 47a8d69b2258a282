//! Seeing what happens: the outermost layer, one access line a request, metrics, the log's set-up.

pub mod metrics;

pub use metrics::Metrics;
