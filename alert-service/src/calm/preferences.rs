use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    digest::Digest,
    group::Grouping,
    matcher::{Matchers, Traits},
    problems::Problems,
    quiet::QuietHours,
};
use crate::rule::CHANNELS_MAX;

/// At most this many inhibitions, routes and escalations each.
const ENTRIES_MAX: usize = 50;
const LABELS_MAX: usize = 20;
const LIMIT_MAX: u32 = 10_000;
/// A week.
const AFTER_MINUTES_MAX: u32 = 7 * 24 * 60;

/// What the owner of channels wants of all alerts of theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Preferences {
    /// When nothing but what is critical is to arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quiet_hours: Option<QuietHours>,
    /// Of all channels together.
    pub(crate) limits: Limits,
    /// Of one channel each, by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) channel_limits: BTreeMap<String, Limits>,
    /// Channels that get one message each hour or day, by id. It takes the place of grouping.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) digests: BTreeMap<String, Digest>,
    /// Which alerts keep others back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inhibitions: Vec<Inhibition>,
    /// Where alerts of rules go that name no channels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Route>,
    /// One message for alerts that have something in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grouping: Option<Grouping>,
    /// Who is notified of an alert that nobody acknowledges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) escalations: Vec<Escalation>,
}

/// At most so many messages about beginnings; critical alerts always pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// In any hour; 1 to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hourly_max: Option<u32>,
    /// In any 24 hours; 1 to 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) daily_max: Option<u32>,
}

/// While an alert is open that matches `source`, others that match `target` and have equal values of all labels in
/// `equal` are not notified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inhibition {
    /// Matchers, at least one.
    #[schema(value_type = Vec<String>)]
    pub(crate) source: Matchers,
    /// Matchers, at least one.
    #[schema(value_type = Vec<String>)]
    pub(crate) target: Matchers,
    /// Names of labels, or `rule`, `fingerprint`, `severity`; of both alerts absent is equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) equal: Vec<String>,
}

/// Where alerts go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// All of them match; without any, every alert does.
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    #[schema(value_type = Vec<String>)]
    matchers: Matchers,
    /// Ids of channels, 1 to 20.
    channels: Vec<String>,
    /// Whether the routes after this one are asked too.
    #[serde(default, rename = "continue")]
    continues: bool,
}

/// Channels that are notified if nobody has acknowledged the alert until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Escalation {
    /// All of them match; without any, every alert does.
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub(crate) matchers: Matchers,
    /// After the alert began here; 1 minute to 7 days.
    pub(crate) after_minutes: u32,
    /// Ids of channels, 1 to 20; also those that were notified at once.
    pub(crate) channels: Vec<String>,
}

impl Limits {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one message more is one too many, after so many in the last hour and day.
    pub(crate) fn are_reached(&self, hour: u32, day: u32) -> bool {
        self.hourly_max.is_some_and(|most| hour >= most)
            || self.daily_max.is_some_and(|most| day >= most)
    }

    fn check(&self, at: &str, problems: &mut Problems) {
        for (field, most) in [
            ("hourly_max", self.hourly_max),
            ("daily_max", self.daily_max),
        ] {
            if most.is_some_and(|most| !(1..=LIMIT_MAX).contains(&most)) {
                let problem = format!("is to be from 1 to {LIMIT_MAX}");
                problems.refuse(&format!("{at}.{field}"), problem);
            }
        }
    }
}

impl Inhibition {
    /// Whether `source` keeps `target` back. One that could as well be kept back by the other does not.
    pub(crate) fn holds(&self, source: &Traits<'_>, target: &Traits<'_>) -> bool {
        self.source.matches(source)
            && self.equal_values(source) == self.equal_values(target)
            && !(self.target.matches(source) && self.source.matches(target))
    }

    fn equal_values<'a>(&self, traits: &Traits<'a>) -> Vec<&'a str> {
        self.equal.iter().map(|name| traits.value(name)).collect()
    }

    /// What an alert has to have to keep `target` back, as far as the database can compare it.
    pub(crate) fn required(
        &self,
        target: &Traits<'_>,
    ) -> (BTreeMap<String, String>, Option<String>) {
        let (mut labels, severity) = self.source.required();
        let own = |name: &str| matches!(name, "rule" | "fingerprint" | "severity");
        for name in self.equal.iter().filter(|name| !own(name)) {
            let value = target.value(name);
            if !value.is_empty() {
                labels.insert(name.clone(), value.to_owned());
            }
        }
        (labels, severity)
    }
}

impl Preferences {
    /// The channels of an alert whose rule names none.
    pub(crate) fn routed(&self, traits: &Traits<'_>) -> Vec<String> {
        let mut channels: Vec<String> = Vec::new();
        for route in &self.routes {
            if !route.matchers.matches(traits) {
                continue;
            }
            for channel in &route.channels {
                if !channels.contains(channel) {
                    channels.push(channel.clone());
                }
            }
            if !route.continues {
                break;
            }
        }
        channels
    }

    /// Every channel that they name, with the field that does.
    pub(crate) fn channels(&self) -> Vec<(String, &str)> {
        let limits = self.channel_limits.keys();
        let limits = limits.map(|id| ("channel_limits".to_owned(), id.as_str()));
        let digests = self.digests.keys();
        let digests = digests.map(|id| ("digests".to_owned(), id.as_str()));
        let routes = self
            .routes
            .iter()
            .map(|route| &route.channels)
            .enumerate()
            .map(|(index, channels)| (format!("routes[{index}]"), channels));
        let escalations = self
            .escalations
            .iter()
            .map(|escalation| &escalation.channels)
            .enumerate()
            .map(|(index, channels)| (format!("escalations[{index}]"), channels));
        let listed = routes.chain(escalations).flat_map(|(at, channels)| {
            let named = channels.iter().enumerate();
            named.map(move |(index, id)| (format!("{at}.channels[{index}]"), id.as_str()))
        });
        limits.chain(digests).chain(listed).collect()
    }

    /// Everything that is wrong with them, whatever channels there are.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Problems::default();
        if let Some(quiet) = &self.quiet_hours {
            quiet.check(&mut problems);
        }
        self.limits.check("limits", &mut problems);
        for (id, limits) in &self.channel_limits {
            limits.check(&format!("channel_limits.{id}"), &mut problems);
        }
        for (id, digest) in &self.digests {
            digest.check(&format!("digests.{id}"), &mut problems);
        }
        for (field, entries) in [
            ("digests", self.digests.len()),
            ("inhibitions", self.inhibitions.len()),
            ("routes", self.routes.len()),
            ("escalations", self.escalations.len()),
            ("channel_limits", self.channel_limits.len()),
        ] {
            if entries > ENTRIES_MAX {
                problems.refuse(field, format!("has more than {ENTRIES_MAX} entries"));
            }
        }
        for (index, inhibition) in self.inhibitions.iter().enumerate() {
            inhibition.check(&format!("inhibitions[{index}]"), &mut problems);
        }
        for (index, route) in self.routes.iter().enumerate() {
            let at = format!("routes[{index}]");
            check_list(
                &at,
                (&route.matchers, false),
                &route.channels,
                &mut problems,
            );
        }
        for (index, escalation) in self.escalations.iter().enumerate() {
            let at = format!("escalations[{index}]");
            let Escalation {
                matchers, channels, ..
            } = escalation;
            check_list(&at, (matchers, false), channels, &mut problems);
            if !(1..=AFTER_MINUTES_MAX).contains(&escalation.after_minutes) {
                let problem = format!("is to be from 1 to {AFTER_MINUTES_MAX}");
                problems.refuse(&format!("{at}.after_minutes"), problem);
            }
        }
        if let Some(grouping) = &self.grouping {
            grouping.check(&mut problems);
        }
        problems.into_inner()
    }
}

impl Inhibition {
    fn check(&self, at: &str, problems: &mut Problems) {
        for (field, matchers) in [("source", &self.source), ("target", &self.target)] {
            check_matchers(&format!("{at}.{field}"), matchers, true, problems);
        }
        if self.equal.len() > LABELS_MAX {
            let problem = format!("has more than {LABELS_MAX} entries");
            problems.refuse(&format!("{at}.equal"), problem);
        }
    }
}

fn check_list(
    at: &str,
    (matchers, required): (&Matchers, bool),
    channels: &[String],
    problems: &mut Problems,
) {
    check_matchers(&format!("{at}.matchers"), matchers, required, problems);
    if channels.is_empty() || channels.len() > CHANNELS_MAX {
        let problem = format!("is to name 1 to {CHANNELS_MAX} channels");
        problems.refuse(&format!("{at}.channels"), problem);
    }
}

fn check_matchers(field: &str, matchers: &Matchers, required: bool, problems: &mut Problems) {
    if required && matchers.is_empty() {
        problems.refuse(field, "is to have at least one matcher");
    }
    if let Some(problem) = matchers.problem() {
        problems.refuse(field, problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn traits<'a>(severity: &'a str, labels: &'a BTreeMap<String, String>) -> Traits<'a> {
        Traits {
            rule_id: "R",
            fingerprint: "F",
            severity,
            labels,
        }
    }

    #[test]
    fn an_inhibition_needs_both_sides_and_equal_labels() {
        let json = r#"{"source":["severity=critical"],"target":["severity=~\"warning|critical\""],"equal":["team"]}"#;
        let inhibition: Inhibition = serde_json::from_str(json).unwrap();
        let (a, b, none) = (
            labels(&[("team", "a")]),
            labels(&[("team", "b")]),
            labels(&[]),
        );
        let holds = |source, target| inhibition.holds(&source, &target);
        assert!(holds(traits("critical", &a), traits("warning", &a)));
        assert!(!holds(traits("critical", &b), traits("warning", &a)));
        assert!(!holds(traits("warning", &a), traits("warning", &a)));
        // What is absent of both is equal.
        assert!(holds(traits("critical", &none), traits("warning", &none)));
        assert!(!holds(traits("critical", &none), traits("warning", &a)));
        // Each could keep the other back: neither does.
        assert!(!holds(traits("critical", &a), traits("critical", &a)));
        let (wanted, severity) = inhibition.required(&traits("warning", &a));
        assert_eq!((wanted, severity), (a.clone(), Some("critical".to_owned())));
    }

    #[test]
    fn the_first_route_that_matches_is_the_last_unless_it_continues() {
        let json = r#"{"routes":[
            {"matchers":["severity=critical"],"channels":["p","q"],"continue":true},
            {"matchers":["team=a"],"channels":["q","r"]},
            {"channels":["s"]}]}"#;
        let preferences: Preferences = serde_json::from_str(json).unwrap();
        let (a, b) = (labels(&[("team", "a")]), labels(&[]));
        assert_eq!(preferences.routed(&traits("critical", &a)), ["p", "q", "r"]);
        assert_eq!(preferences.routed(&traits("info", &a)), ["q", "r"]);
        assert_eq!(preferences.routed(&traits("critical", &b)), ["p", "q", "s"]);
        assert_eq!(preferences.routed(&traits("info", &b)), ["s"]);
    }

    #[test]
    fn every_problem_names_its_field() {
        let json = r#"{
            "limits": {"hourly_max": 0},
            "channel_limits": {"c": {"daily_max": 20000}},
            "inhibitions": [{"source": [], "target": ["a=b"]}],
            "digests": {"d": {"every": "hour", "zone": "UTC", "at": "08:00"}, "e": {"every": "day", "zone": "X"}},
            "routes": [{"channels": []}],
            "grouping": {"by": [], "wait_seconds": 100000},
            "escalations": [{"after_minutes": 0, "channels": ["c"]}]}"#;
        let preferences: Preferences = serde_json::from_str(json).unwrap();
        let problems = preferences.problems().into_iter();
        let fields: Vec<_> = problems.map(|(field, _)| field).collect();
        let expected = [
            "limits.hourly_max",
            "channel_limits.c.daily_max",
            "digests.d.at",
            "digests.e.zone",
            "inhibitions[0].source",
            "routes[0].channels",
            "escalations[0].after_minutes",
            "grouping.wait_seconds",
        ];
        assert_eq!(fields, expected);
        let named = preferences.channels();
        let named: Vec<_> = named.iter().map(|(at, id)| (&**at, *id)).collect();
        let expected = [
            ("channel_limits", "c"),
            ("digests", "d"),
            ("digests", "e"),
            ("escalations[0].channels[0]", "c"),
        ];
        assert_eq!(named, expected);
        assert!(Preferences::default().problems().is_empty());
        assert!(serde_json::from_str::<Preferences>(r#"{"quiet":1}"#).is_err());
    }
}
