//! The listener's three pages.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::health::Health;
use super::hosts::Hosts;
use crate::observe::Metrics;

/// What Prometheus knows OpenMetrics by.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers the listener's requests.
pub(super) struct Pages {
    pub(super) hosts: Hosts,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Pages {
    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Answer {
        if !self.hosts.allow(request.uri(), request.headers()) {
            return answer::failure(
                StatusCode::FORBIDDEN,
                "this is not served by that host name or to that origin: use an address or localhost, or name it in admin.hosts",
            );
        }
        let page = request.uri().path();
        if !matches!(page, "/livez" | "/readyz" | "/metrics") {
            return answer::not_found();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return answer::not_allowed("GET, HEAD");
        }
        match page {
            "/livez" => answer::text(StatusCode::OK, "text/plain; charset=utf-8", "alive\n"),
            "/readyz" => {
                let report = self.health.report().await;
                let status = if report.ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                answer::json(status, &report)
            }
            _ => answer::text(StatusCode::OK, OPENMETRICS, self.metrics.encode()),
        }
    }
}
