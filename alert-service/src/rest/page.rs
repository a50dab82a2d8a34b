//! Pages of lists: what all of them have in common.

use service::rest::{Problem, extract::check_limit};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// How many are on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page(usize);

impl Page {
    /// Of as many as somebody asks for, 1 to 1,000; 100 if they do not say.
    pub(super) fn of(limit: Option<u32>) -> Result<Self, Problem> {
        check_limit(limit, LIMIT_DEFAULT, LIMIT_MAX).map(Self)
    }

    /// How many rows to read: one more than are shown tells whether there is a next page.
    pub(super) fn probe(self) -> i64 {
        i64::try_from(self.0 + 1).unwrap_or(i64::MAX)
    }

    /// What is shown of the rows that were read, and the id after which the next page begins.
    pub(super) fn cut<R, V>(
        self,
        mut rows: Vec<R>,
        id: impl Fn(&R) -> &String,
        show: impl FnMut(R) -> V,
    ) -> (Vec<V>, Option<String>) {
        let has_more = rows.len() > self.0;
        rows.truncate(self.0);
        let next = rows
            .last()
            .filter(|_| has_more)
            .map(|last| id(last).clone());
        (rows.into_iter().map(show).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_full_has_a_next_one_only_if_there_is_more() {
        let rows = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let page = Page::of(Some(2)).unwrap();
        assert_eq!(page.probe(), 3);
        let cut = |count| page.cut(rows(count), |row| row, |row| row);
        assert_eq!(cut(2), (rows(2), None));
        assert_eq!(cut(3), (rows(2), Some("1".to_owned())));
        assert_eq!(cut(0), (vec![], None));
        assert!(Page::of(Some(0)).is_err() && Page::of(Some(1_001)).is_err());
        assert_eq!(Page::of(None).unwrap().probe(), 101);
    }
}
