//! The tree of REST path templates: method and path segments to an operation, as lakeFS's router (chi) finds it. Pure.
//!
//! Built once from the operation table, so that a row there is all an operation needs.

use std::sync::LazyLock;

use super::operation::Operation;

/// How many segments the longest template may have.
pub(super) const MAX_SEGMENTS: usize = 12;

/// What a segment of a template is to the request's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Repository,
    /// A branch by its own name: what mutations change.
    Branch,
    /// Any reference or tag.
    Reference,
    /// What a merge takes from, or the second reference of a comparison.
    Source,
    UploadId,
    PartNumber,
}

/// An operation's place in the tree.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) operation: Operation,
    method: &'static str,
    /// Which segments are parameters that targets are made of.
    pub(super) parameters: Vec<(usize, Parameter)>,
}

/// Finds the operation of a method and the segments below `/api/v1`. Constants match literally and win over parameters; a parameter
/// matches any segment but an empty one.
pub(super) fn find(method: &str, segments: &[&str]) -> Option<&'static Route> {
    static ROOT: LazyLock<Node> = LazyLock::new(Node::of_table);
    ROOT.find(method, segments)
}

#[derive(Debug, Default)]
struct Node {
    constants: Vec<(&'static str, Self)>,
    parameter: Option<Box<Self>>,
    routes: Vec<Route>,
}

impl Node {
    fn of_table() -> Self {
        let mut root = Self::default();
        for operation in Operation::ALL {
            let spec = operation.spec();
            if spec.path.is_empty() {
                continue;
            }
            let segments: Vec<_> = spec.path.split('/').skip(1).collect();
            let node = segments.iter().fold(&mut root, |node, segment| node.child(segment));
            node.routes.push(Route {
                operation: *operation,
                method: spec.method,
                parameters: (0..)
                    .zip(&segments)
                    .filter_map(|(at, name)| Some((at, parameter(name)?)))
                    .collect(),
            });
        }
        root
    }

    fn child(&mut self, segment: &'static str) -> &mut Self {
        if segment.starts_with('{') {
            return self.parameter.get_or_insert_default();
        }
        let at = self
            .constants
            .iter()
            .position(|(name, _)| *name == segment)
            .unwrap_or_else(|| {
                self.constants.push((segment, Self::default()));
                self.constants.len() - 1
            });
        #[expect(clippy::indexing_slicing, reason = "found or pushed the line before")]
        &mut self.constants[at].1
    }

    fn find(&self, method: &str, segments: &[&str]) -> Option<&Route> {
        let Some((first, rest)) = segments.split_first() else {
            return self.routes.iter().find(|route| route.method == method);
        };
        let constant = self.constants.iter().find(|(name, _)| name == first);
        constant.and_then(|(_, node)| node.find(method, rest)).or_else(|| {
            self.parameter
                .as_ref()
                .filter(|_| !first.is_empty())?
                .find(method, rest)
        })
    }
}

fn parameter(segment: &str) -> Option<Parameter> {
    Some(match segment {
        "{repository}" => Parameter::Repository,
        "{branch}" | "{destinationBranch}" => Parameter::Branch,
        "{ref}" | "{tag}" | "{commitId}" | "{leftRef}" | "{left_ref}" => Parameter::Reference,
        "{sourceRef}" | "{rightRef}" | "{right_ref}" => Parameter::Source,
        "{uploadId}" => Parameter::UploadId,
        "{partNumber}" => Parameter::PartNumber,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(method: &str, path: &str) -> Option<&'static str> {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        find(method, &segments).map(|route| route.operation.spec().id)
    }

    #[test]
    fn every_row_is_found_at_its_own_template() {
        for operation in Operation::ALL
            .iter()
            .filter(|operation| !operation.spec().path.is_empty())
        {
            let spec = operation.spec();
            assert_eq!(id(spec.method, spec.path), Some(spec.id));
            assert!(spec.path.split('/').count() <= MAX_SEGMENTS, "{}", spec.id);
            let longer = format!("{}/x/y/z", spec.path);
            assert_eq!(id(spec.method, &longer), None, "{longer}");
        }
    }

    #[test]
    fn constants_win_over_parameters_and_the_method_decides() {
        assert_eq!(id("PUT", "/repositories/r/refs/dump"), Some("dumpRefs"));
        assert_eq!(id("GET", "/repositories/r/refs/dump/objects"), Some("getObject"));
        assert_eq!(id("DELETE", "/repositories/r/branches/ranges"), Some("deleteBranch"));
        assert_eq!(id("POST", "/repositories/r/branches/ranges"), Some("ingestRange"));
        assert_eq!(id("GET", "/repositories/r/branches/b/hard_reset"), None);
        assert_eq!(id("put", "/repositories/r/branches/b/hard_reset"), None);
        assert_eq!(id("GET", "/repositories//branches"), None);
        assert_eq!(id("GET", "/repositories/"), None);
    }
}
