//! The ways in which a request to FRED goes wrong though nothing is wrong with the request.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What happens to a request instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// 500, with FRED's own error body.
    InternalError,
    /// 503, with a proxy's HTML page.
    Unavailable,
    /// 429, with a firewall's HTML page.
    TooManyRequests {
        /// The header `Retry-After`, if any.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// The right answer, but only after so long.
    Hang {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// 200, with an HTML page about maintenance.
    HtmlPage,
    /// The right answer, but as XML.
    Xml,
    /// 200, with the first half of the right answer as if it were whole.
    MalformedJson,
    /// 200, and the connection is closed after half of the announced body.
    CutMidBody,
    /// An answer of one's own, as JSON, to the next request of a path.
    Answer {
        /// The path after `/fred/`, such as `series/observations`.
        path: String,
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
}

/// Faults that wait for requests.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    times_left: usize,
    fault: Fault,
    /// Only requests for this series are met; any request if absent.
    series_id: Option<String>,
}

impl FaultPlan {
    pub(crate) fn add(&mut self, times: usize, fault: Fault, series_id: Option<String>) {
        self.entries.push_back(Entry {
            times_left: times,
            fault,
            series_id,
        });
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The fault that a request for this series meets: the one that was planned first of those that fit.
    pub(crate) fn take(&mut self, path: &str, series_id: Option<&str>) -> Option<Fault> {
        self.entries.retain(|entry| entry.times_left > 0);
        let fits = |entry: &&mut Entry| {
            let is_of_path = match &entry.fault {
                Fault::Answer { path: of, .. } => path.strip_prefix("/fred/") == Some(of),
                _ => true,
            };
            is_of_path && (entry.series_id.is_none() || entry.series_id.as_deref() == series_id)
        };
        let entry = self.entries.iter_mut().find(fits)?;
        entry.times_left -= 1;
        Some(entry.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_met_in_order_and_only_by_requests_they_are_meant_for() {
        let mut plan = FaultPlan::default();
        plan.add(1, Fault::Xml, Some("GDPC1".to_owned()));
        plan.add(2, Fault::HtmlPage, None);
        let answer = Fault::Answer {
            path: "series".to_owned(),
            status: 200,
            body: "{}".to_owned(),
        };
        plan.add(1, answer.clone(), None);
        let observations = "/fred/series/observations";
        assert_eq!(
            plan.take(observations, Some("UNRATE")),
            Some(Fault::HtmlPage)
        );
        assert_eq!(plan.take(observations, Some("GDPC1")), Some(Fault::Xml));
        assert_eq!(plan.take(observations, None), Some(Fault::HtmlPage));
        assert_eq!(plan.take(observations, Some("GDPC1")), None);
        assert_eq!(plan.take("/fred/series", Some("GDPC1")), Some(answer));
    }
}
