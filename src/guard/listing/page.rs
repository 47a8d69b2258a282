//! A page of the API's list of repositories: read, cut, written. Pure.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lakefs::Query;

/// A page, as lakeFS writes it. What it has besides is left out: nobody here knows what it would tell.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) has_more: bool,
    pub(super) next_offset: String,
    max_per_page: u64,
    pub(super) results: Vec<Repository>,
}

/// One repository, and its JSON as it came.
#[derive(Debug)]
pub(super) struct Repository {
    id: String,
    json: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Wire<R> {
    pagination: Pagination,
    results: Vec<R>,
}

#[derive(Serialize, Deserialize)]
struct Pagination {
    has_more: bool,
    max_per_page: u64,
    next_offset: String,
    results: usize,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Page {
    /// Reads one; `None` where it is not what lakeFS writes.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let wire: Wire<Box<RawValue>> = serde_json::from_slice(body).ok()?;
        let repository = |json: Box<RawValue>| {
            let Named { id } = serde_json::from_str(json.get()).ok()?;
            Some(Repository { id, json })
        };
        Some(Self {
            has_more: wire.pagination.has_more,
            next_offset: wire.pagination.next_offset,
            max_per_page: wire.pagination.max_per_page,
            results: wire.results.into_iter().map(repository).collect::<Option<_>>()?,
        })
    }

    /// Leaves out what is not seen, and says how many those were.
    pub(super) fn hide(&mut self, sees: impl Fn(&str) -> bool) -> usize {
        let before = self.results.len();
        self.results.retain(|repository| sees(&repository.id));
        before - self.results.len()
    }

    /// Takes in the page that follows.
    pub(super) fn append(&mut self, next: Self) {
        self.results.extend(next.results);
        (self.has_more, self.next_offset) = (next.has_more, next.next_offset);
    }

    /// The first `size` of them, as a page: the next one begins after its last.
    pub(super) fn cut_to(mut self, size: usize) -> Self {
        self.has_more = self.results.len() > size;
        self.results.truncate(size);
        let last = self.results.last().filter(|_| self.has_more);
        self.next_offset = last.map(|last| last.id.clone()).unwrap_or_default();
        self
    }

    /// As lakeFS would write it.
    pub(super) fn write(&self) -> String {
        let wire = Wire {
            pagination: Pagination {
                has_more: self.has_more,
                max_per_page: self.max_per_page,
                next_offset: self.next_offset.clone(),
                results: self.results.len(),
            },
            results: self.results.iter().map(|repository| &repository.json).collect(),
        };
        serde_json::to_string(&wire).unwrap_or_default() + "\n"
    }
}

/// The query for what follows `after`, as many as lakeFS gives at a time.
pub(super) fn following(query: Option<&str>, after: &str) -> String {
    let after = utf8_percent_encode(after, NON_ALPHANUMERIC);
    let mut following = format!("?amount=1000&after={after}");
    for pair in query.unwrap_or_default().split('&') {
        // What Go drops of a query, it drops of this one.
        let replaced = Query::new(Some(pair))
            .pairs()
            .any(|(name, _)| name == "amount" || name == "after");
        if !pair.is_empty() && !replaced {
            following += "&";
            following += pair;
        }
    }
    following
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// lakeFS's answer: those after `after`, `amount` of them.
    fn answer(all: &BTreeSet<String>, after: &str, amount: usize) -> String {
        let mut following = all.iter().filter(|name| name.as_str() > after);
        let results: Vec<_> = following.by_ref().take(amount).collect();
        let has_more = following.next().is_some();
        let last = results.last().filter(|_| has_more);
        let results: Vec<_> = results
            .iter()
            .map(|name| serde_json::json!({ "id": name, "creation_date": 1 }))
            .collect();
        serde_json::json!({
            "pagination": {
                "has_more": has_more, "max_per_page": 1000, "next_offset": last.map_or("", |last| last), "results": results.len(),
            },
            "results": results,
        })
        .to_string()
    }

    /// What `Listing::cut_page` does, `step` at a time.
    fn cut(all: &BTreeSet<String>, seen: &BTreeSet<String>, after: &str, amount: usize, step: usize) -> String {
        let sees = |name: &str| seen.contains(name);
        let body = answer(all, after, amount);
        let mut page = Page::read(body.as_bytes()).unwrap();
        let size = page.results.len();
        if page.hide(sees) == 0 {
            return body;
        }
        while page.has_more && page.results.len() <= size {
            let mut next = Page::read(answer(all, &page.next_offset, step).as_bytes()).unwrap();
            next.hide(sees);
            page.append(next);
        }
        page.cut_to(size).write()
    }

    proptest! {
        /// Whoever follows the pages finds all that they may see, once and in order; and no name of another.
        #[test]
        fn following_the_pages_finds_what_may_be_seen_and_nothing_else(
            all in prop::collection::btree_map("[a-d]{3,4}", any::<bool>(), 0..40),
            (amount, step) in (1..7_usize, 1..9_usize),
        ) {
            let names: BTreeSet<String> = all.keys().cloned().collect();
            let seen: BTreeSet<String> = all.iter().filter(|(_, seen)| **seen).map(|(name, _)| name.clone()).collect();
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let body = cut(&names, &seen, &after, amount, step);
                let page = Page::read(body.as_bytes()).unwrap();
                prop_assert!(page.results.len() <= amount);
                let value: serde_json::Value = serde_json::from_str(&body).unwrap();
                prop_assert_eq!(&value["pagination"]["results"], page.results.len());
                for hidden in names.difference(&seen) {
                    prop_assert!(!body.contains(&format!("\"{hidden}\"")), "{} in {}", hidden, body);
                }
                found.extend(page.results.into_iter().map(|repository| repository.id));
                if !page.has_more {
                    prop_assert_eq!(page.next_offset, "");
                    break;
                }
                after = page.next_offset;
            }
            prop_assert_eq!(found, seen.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn what_is_not_a_page_is_not_read(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Page::read(&body).is_none());
        }
    }

    #[test]
    fn a_page_is_written_as_lakefs_writes_it() {
        let body = concat!(
            r#"{"pagination":{"has_more":false,"max_per_page":1000,"next_offset":"","results":2},"#,
            r#""results":[{"creation_date":1,"default_branch":"main","id":"a"},{"creation_date":2,"id":"b"}]}"#,
            "\n"
        );
        let mut page = Page::read(body.as_bytes()).unwrap();
        assert_eq!(page.write(), body);
        assert_eq!(page.hide(|name| name == "b"), 1);
        let cut = page.cut_to(2).write();
        assert_eq!(
            cut,
            body.replace(r#"{"creation_date":1,"default_branch":"main","id":"a"},"#, "")
                .replace(r#""results":2"#, r#""results":1"#)
        );
    }

    #[test]
    fn two_readings_are_none() {
        for body in [
            r#"{"pagination":{"has_more":false,"max_per_page":1,"next_offset":"","results":1},"results":[{"id":"a","id":"b"}]}"#,
            r#"{"pagination":{"has_more":false,"max_per_page":1,"next_offset":"","results":1},"results":[{"ID":"b"}]}"#,
            r#"{"results":[]}"#,
        ] {
            assert!(Page::read(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn the_following_query_keeps_what_else_was_asked() {
        assert_eq!(following(None, "a-b"), "?amount=1000&after=a%2Db");
        assert_eq!(
            following(Some("prefix=x&amount=3&search=y%20z&aft%65r=q&&p;q"), "b"),
            "?amount=1000&after=b&prefix=x&search=y%20z&p;q"
        );
    }
}
