//! What lakeFS serves beside its API and the S3 gateway: the web UI, health, metrics, profiles, Iceberg catalogs. Pure.
//!
//! Its router wants these paths literally; everything else is the UI, whatever the method.

use super::classify::{Classified, Force, Protocol, Role, Target};
use super::operation::Operation;
use super::url;

/// Says what a request outside `/api/v1` is.
pub(super) fn classify(path: &str) -> Classified {
    let operation = operation(path);
    Classified {
        protocol: Protocol::Web,
        operation,
        targets: match operation {
            Operation::Iceberg => iceberg(path).into_iter().collect(),
            _ => Vec::new(),
        },
        upload_id: None,
        part_number: None,
        parts: None,
        source_metarange: None,
        source_wins: false,
        force: Force::No,
        presign: false,
    }
}

/// The mounts of pkg/api/serve.go and services.go.
fn operation(path: &str) -> Operation {
    let mounted = |at: &str| {
        path.strip_prefix(at)
            .is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let below = |at: &str| path.starts_with(at);
    match path {
        _ if mounted("/_health") => Operation::Health,
        _ if mounted("/metrics") => Operation::Metrics,
        _ if mounted("/_pprof") => Operation::Pprof,
        _ if mounted("/openapi.json") => Operation::OpenApi,
        _ if mounted("/logout") => Operation::Logout,
        _ if below("/iceberg/api/") || below("/iceberg/relative_to/") || below("/mds/iceberg/api/") => {
            Operation::Iceberg
        }
        _ => Operation::Ui,
    }
}

/// The repository and branch of an Iceberg catalog's path: the first two levels of its namespace, which stand after `relative_to`,
/// else after `namespaces` (lakeFS Enterprise, by its documentation). Levels are parted by U+001F or, in `relative_to`, by a dot.
fn iceberg(path: &str) -> Option<Target> {
    let mut segments = path
        .split('/')
        .skip_while(|segment| !matches!(*segment, "relative_to" | "namespaces"));
    segments.next()?;
    let namespace = url::unescape_path(segments.next()?)?;
    let mut levels = namespace.split(['\u{1f}', '.']);
    Some(Target {
        role: Role::Subject,
        repository: levels.next().filter(|level| !level.is_empty())?.to_owned(),
        reference: levels.next().map(str::to_owned),
        path: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_literal_and_the_rest_is_the_ui() {
        for (path, operation) in [
            ("/", Operation::Ui),
            ("/repositories/r", Operation::Ui),
            ("/api/v2/x", Operation::Ui),
            ("/_health", Operation::Health),
            ("/_healthy", Operation::Ui),
            ("/metrics/", Operation::Metrics),
            ("/metrics%2F", Operation::Ui),
            ("/%6Detrics", Operation::Ui),
            ("//metrics", Operation::Ui),
            ("/_pprof/heap", Operation::Pprof),
            ("/logout", Operation::Logout),
            ("/openapi.json", Operation::OpenApi),
            ("/iceberg/api/v1/config", Operation::Iceberg),
            ("/mds/iceberg/api/v1/config", Operation::Iceberg),
            ("/iceberg/", Operation::Ui),
            ("", Operation::Ui),
            ("*", Operation::Ui),
        ] {
            assert_eq!(classify(path).operation, operation, "{path}");
        }
    }

    #[test]
    fn an_iceberg_namespace_names_repository_and_branch() {
        for path in [
            "/iceberg/api/v1/namespaces/repo%1Fmain%1Fbooks/tables/t",
            "/iceberg/relative_to/repo.main/api/v1/namespaces/books",
        ] {
            let classified = classify(path);
            let target = classified.targets.first().unwrap();
            assert_eq!(
                (&*target.repository, target.reference.as_deref()),
                ("repo", Some("main")),
                "{path}"
            );
        }
        assert!(classify("/iceberg/api/v1/config").targets.is_empty());
    }
}
