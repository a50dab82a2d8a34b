use std::sync::Arc;

use crate::{
    Event, KNOWN_EVENT_TYPES, Violation,
    event_type::{CUSTOM_EVENT, CUSTOM_PREFIX, EventType, is_registered_name},
    rules::{check_custom_type, series_of},
    text::{check_series_id, clip},
};

/// At most this many event types or series in one filter.
const ENTRIES_MAX: usize = 1_000;
/// At most this many bytes of names in each of the two lists: a filter is kept for as long as its
/// stream is open.
const LIST_BYTES_MAX: usize = 64 * 1024;
/// At most this many characters of a name that is not known are repeated.
const QUOTED_CHARS_MAX: usize = 100;

/// Which events a reader asks for. Nothing is read by it: an [`EventFilter`] says what of these it may see.
/// The default asks for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct WantedEvents {
    event_types: Vec<String>,
    any_custom: bool,
    series_ids: Vec<String>,
}

impl WantedEvents {
    /// Events of one of `event_types` (all if empty) that are about one of `series_ids` (all if
    /// empty). Types are payload message names, `CustomEvent` for all custom ones,
    /// `custom:<type>`, or full names of registered types.
    ///
    /// # Errors
    /// An unknown type (the known ones are listed), a custom type or series id that no event can
    /// have, more than 1,000 entries, or more than 64 KiB of them.
    pub fn new(event_types: Vec<String>, series_ids: Vec<String>) -> Result<Self, Violation> {
        check_size("event_types", &event_types)?;
        check_size("series_ids", &series_ids)?;
        for (index, name) in event_types.iter().enumerate() {
            check_type(&format!("event_types[{index}]"), name)?;
        }
        for (index, id) in series_ids.iter().enumerate() {
            check_series_id(&format!("series_ids[{index}]"), id)?;
        }
        let any_custom = event_types.iter().any(|name| name == CUSTOM_EVENT);
        Ok(Self {
            event_types,
            any_custom,
            series_ids,
        })
    }

    /// The types asked for by name, or `None` for all.
    pub fn event_types(&self) -> Option<&[String]> {
        (!self.event_types.is_empty()).then_some(&self.event_types)
    }

    /// The series asked for, or `None` for all.
    pub fn series_ids(&self) -> Option<&[String]> {
        (!self.series_ids.is_empty()).then_some(&self.series_ids)
    }

    /// Whether every event is wanted.
    pub fn is_unfiltered(&self) -> bool {
        self.event_types.is_empty() && self.series_ids.is_empty()
    }
}

/// Which events are read for a reader: those that it wants, of those that it may see.
///
/// There is no default, so that code which has lost track of its reader's access cannot read for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventFilter {
    wanted: WantedEvents,
    /// `None`: any.
    source_services: Option<Arc<[String]>>,
    /// `None`: any, and events that are about none.
    series_within: Option<Arc<[String]>>,
}

impl EventFilter {
    /// All that is wanted, whoever published it and whatever it is about. For an access that is not
    /// limited, and for a process that reads a log for itself; everybody else is narrowed by its access.
    pub fn unrestricted(wanted: WantedEvents) -> Self {
        Self {
            wanted,
            source_services: None,
            series_within: None,
        }
    }

    /// Of these, only the events that one of `sources` published.
    #[must_use]
    pub fn published_by(self, sources: Arc<[String]>) -> Self {
        let source_services = Some(sources);
        Self {
            source_services,
            ..self
        }
    }

    /// Of these, only the events that are about series, all of them among `series_ids`: an event
    /// about two series would reveal both.
    #[must_use]
    pub fn about_only(self, series_ids: Arc<[String]>) -> Self {
        let series_within = Some(series_ids);
        Self {
            series_within,
            ..self
        }
    }

    /// Whether every event is wanted, and may be seen.
    pub fn is_unfiltered(&self) -> bool {
        self.wanted.is_unfiltered()
            && self.source_services.is_none()
            && self.series_within.is_none()
    }

    /// Whether an event of this type and source, about these series, is wanted.
    pub fn matches<'a>(
        &self,
        event_type: &EventType,
        source_service: &str,
        series_ids: impl Iterator<Item = &'a str> + Clone,
    ) -> bool {
        let type_matches = self.event_types().is_none_or(|names| {
            (self.any_custom() && event_type.is_custom())
                || names.iter().any(|name| name == event_type.as_str())
        });
        let series_match = self.series_ids().is_none_or(|wanted| {
            wanted
                .iter()
                .any(|wanted| series_ids.clone().any(|id| id == wanted))
        });
        type_matches && series_match && self.may_see(source_service, series_ids)
    }

    /// Whether a stored event is wanted; markers never are.
    pub fn admits(&self, event: &Event) -> bool {
        let Some(payload) = &event.payload else {
            return false;
        };
        EventType::of(payload).is_some_and(|event_type| {
            let series_ids = series_of(payload);
            let series_ids = series_ids.iter().map(String::as_str);
            self.matches(&event_type, &event.source_service, series_ids)
        })
    }

    fn may_see<'a>(&self, source_service: &str, series_ids: impl Iterator<Item = &'a str>) -> bool {
        let source_matches = self
            .source_services()
            .is_none_or(|sources| sources.iter().any(|source| source == source_service));
        let is_within = self.series_within().is_none_or(|within| {
            let mut ids = series_ids.peekable();
            ids.peek().is_some() && ids.all(|id| within.iter().any(|seen| seen == id))
        });
        source_matches && is_within
    }

    /// The types wanted by name, or `None` for all.
    pub fn event_types(&self) -> Option<&[String]> {
        self.wanted.event_types()
    }

    /// Whether every custom type is wanted.
    pub fn any_custom(&self) -> bool {
        self.wanted.any_custom
    }

    /// The series wanted, or `None` for all.
    pub fn series_ids(&self) -> Option<&[String]> {
        self.wanted.series_ids()
    }

    /// The sources whose events may be seen, or `None` for all.
    pub fn source_services(&self) -> Option<&[String]> {
        self.source_services.as_deref()
    }

    /// The series that events have to be about and not go beyond, or `None` for any.
    pub fn series_within(&self) -> Option<&[String]> {
        self.series_within.as_deref()
    }
}

fn check_size(field: &str, entries: &[String]) -> Result<(), Violation> {
    if entries.len() > ENTRIES_MAX {
        let problem = format!("has more than {ENTRIES_MAX} entries");
        return Err(Violation::new(field, problem));
    }
    if entries.iter().map(String::len).sum::<usize>() > LIST_BYTES_MAX {
        let problem = format!("has more than {} KiB of names", LIST_BYTES_MAX / 1024);
        return Err(Violation::new(field, problem));
    }
    Ok(())
}

fn check_type(field: &str, name: &str) -> Result<(), Violation> {
    if let Some(custom) = name.strip_prefix(CUSTOM_PREFIX) {
        return check_custom_type(field, custom);
    }
    if KNOWN_EVENT_TYPES.contains(&name) || is_registered_name(name) {
        return Ok(());
    }
    let (name, known) = (clip(name, QUOTED_CHARS_MAX), KNOWN_EVENT_TYPES.join(", "));
    let problem = format!(
        "\"{name}\" is not known; known are {known}, custom:<type>, and full names of registered types"
    );
    Err(Violation::new(field, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(types: &[&str], series: &[&str]) -> Result<EventFilter, Violation> {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        WantedEvents::new(owned(types), owned(series)).map(EventFilter::unrestricted)
    }

    fn everything() -> EventFilter {
        EventFilter::unrestricted(WantedEvents::default())
    }

    #[track_caller]
    fn check(types: &[&str], series: &[&str], event: (&str, &[&str]), wanted: bool) {
        let matched = filter(types, series).unwrap().matches(
            &EventType::from_stored(event.0),
            "Test",
            event.1.iter().copied(),
        );
        assert_eq!(matched, wanted, "{types:?} {series:?} {event:?}");
    }

    #[test]
    fn types_and_series_both_have_to_match() {
        check(&[], &[], ("custom:A", &[]), true);
        check(
            &["SeriesCollectedEvent"],
            &[],
            ("SeriesCollectedEvent", &["ICSA"]),
            true,
        );
        check(
            &["SeriesCollectedEvent"],
            &[],
            ("CollectionFailedEvent", &["ICSA"]),
            false,
        );
        check(&["CustomEvent"], &[], ("custom:A", &[]), true);
        check(&["custom:B"], &[], ("custom:A", &[]), false);
        check(
            &[],
            &["ICSA", "UNRATE"],
            ("ThresholdCrossedEvent", &["DGS2", "UNRATE"]),
            true,
        );
        check(&[], &["ICSA"], ("custom:A", &[]), false);
    }

    #[test]
    fn what_may_be_seen_bounds_what_is_wanted() {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let kind = EventType::from_stored("ThresholdCrossedEvent");
        let sees = |filter: &EventFilter, source: &str, series: &[&str]| {
            filter.matches(&kind, source, series.iter().copied())
        };
        let series = everything().about_only(owned(&["ICSA", "UNRATE"]).into());
        assert!(!series.is_unfiltered());
        assert!(sees(&series, "Any", &["ICSA"]));
        assert!(sees(&series, "Any", &["UNRATE", "ICSA"]));
        assert!(!sees(&series, "Any", &["ICSA", "VIXCLS"]));
        assert!(!sees(&series, "Any", &[]));
        let source = everything().published_by(owned(&["Shop"]).into());
        assert!(!source.is_unfiltered());
        assert!(sees(&source, "Shop", &[]));
        assert!(!sees(&source, "shop", &[]));
    }

    #[test]
    fn an_unknown_type_is_refused_with_the_known_ones() {
        let violation = filter(&["SeriesCollectedEvent", "Nope"], &[]).unwrap_err();
        assert_eq!(violation.field, "event_types[1]");
        assert!(
            violation.problem.contains("RegimeTransitionEvent"),
            "{violation}"
        );
        assert_eq!(
            filter(&[], &[&"x".repeat(51)]).unwrap_err().field,
            "series_ids[0]"
        );
        let long = filter(&[&"x".repeat(1_000_000)], &[]).unwrap_err();
        assert!(long.to_string().len() < 1_000, "{long}");
    }

    #[test]
    fn a_filter_holds_no_name_that_no_event_can_have() {
        for name in [
            "custom:",
            "custom:A\0",
            "custom:9",
            "custom:A B",
            "custom:\u{202e}A",
        ] {
            let violation = filter(&[name], &[]).unwrap_err();
            assert_eq!(violation.field, "event_types[0]", "{name:?}");
        }
        let long = format!("custom:{}", "A".repeat(101));
        assert_eq!(filter(&[&long], &[]).unwrap_err().field, "event_types[0]");
        assert_eq!(filter(&[], &["A\0"]).unwrap_err().field, "series_ids[0]");
    }

    #[test]
    fn a_filter_is_bounded_in_entries_and_bytes() {
        let name = format!("custom:{}", "A".repeat(100));
        let types = |count| vec![&*name; count];
        assert!(filter(&types(600), &[]).is_ok());
        assert_eq!(filter(&types(700), &[]).unwrap_err().field, "event_types");
        assert!(filter(&["CustomEvent"; 1_000], &[]).is_ok());
        let entries = ["CustomEvent"; 1_001];
        assert_eq!(filter(&entries, &[]).unwrap_err().field, "event_types");
        let name = "\u{1f980}".repeat(50);
        let series = vec![&*name; 400];
        assert_eq!(filter(&[], &series).unwrap_err().field, "series_ids");
    }
}
