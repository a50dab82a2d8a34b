//! What an access narrows, sees and counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{num::NonZeroU32, sync::Arc};

use access::{Access, Certificate, Denied, Entry, Gate, Identity, Peer, Scope, Secret, Tokens};
use atlas_events::{Clock, EventType, WantedEvents};
use proptest::{collection::vec, prelude::*, sample::select};
use test_support::{custom_event, draft, series_event};

fn only(names: &[&str]) -> Option<Arc<[String]>> {
    Some(names.iter().map(ToString::to_string).collect())
}

fn entry() -> Entry {
    let secret = Secret::new("atlas_x".to_owned());
    Entry::new("a", Identity::Token(secret.hash()), Scope::ALL.to_vec())
}

/// What becomes of a wish for types, with a grant of some.
#[track_caller]
fn check_types(granted: &[&str], wanted: &[&str], expected: Result<&[&str], &str>) {
    let access = Access::of_entry(Entry {
        event_types: only(granted),
        ..entry()
    });
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let filter = WantedEvents::new(owned(wanted), Vec::new()).unwrap();
    let narrowed = access.narrow(filter);
    let found = narrowed
        .map(|filter| filter.event_types().unwrap_or_default().to_vec())
        .map_err(|denied| denied.field().unwrap_or_default().to_owned());
    assert_eq!(found, expected.map(owned).map_err(ToOwned::to_owned));
}

#[test]
fn types_are_narrowed_to_those_that_are_granted() {
    check_types(&["custom:A"], &[], Ok(&["custom:A"]));
    check_types(&["custom:A"], &["custom:A"], Ok(&["custom:A"]));
    check_types(&["custom:A"], &["CustomEvent"], Ok(&["custom:A"]));
    check_types(&["CustomEvent"], &["custom:B"], Ok(&["custom:B"]));
    check_types(&["CustomEvent"], &["CustomEvent"], Ok(&["CustomEvent"]));
    check_types(
        &["custom:A"],
        &["custom:A", "custom:B"],
        Err("event_types[1]"),
    );
    let collected = "SeriesCollectedEvent";
    check_types(&[collected], &["CustomEvent"], Err("event_types[0]"));
    check_types(&["CustomEvent"], &[collected], Err("event_types[0]"));
}

#[test]
fn what_is_limited_is_limited_in_all_ways_at_once() {
    let access = Access::of_entry(Entry {
        sources: only(&["test"]),
        series: only(&["NORTH"]),
        ..entry()
    });
    let north = series_event(1, "NORTH", "2024-05-01", "1");
    let mut foreign = north.clone();
    foreign.source_service = "other".to_owned();
    assert!(access.sees(&north));
    assert!(!access.sees(&foreign));
    assert!(!access.sees(&series_event(2, "SOUTH", "2024-05-01", "1")));
    assert!(!access.sees(&custom_event(3)));
    assert!(access.require_unlimited().is_err());
    assert!(Access::of_entry(entry()).require_unlimited().is_ok());
    assert!(open().sees(&custom_event(3)));
}

/// Of a gate that asks nobody who they are.
fn open() -> Access {
    Gate::Open.admit(None, &Peer::default()).unwrap()
}

#[test]
fn who_was_not_asked_may_do_nothing() {
    let nothing = Access::nothing();
    let north = series_event(1, "NORTH", "2024-05-01", "1");
    assert!(
        Scope::ALL
            .iter()
            .all(|scope| nothing.require(*scope).is_err())
    );
    assert!(nothing.is_limited());
    assert!(nothing.require_unlimited().is_err());
    assert!(nothing.narrow(WantedEvents::default()).is_err());
    assert!(!nothing.sees(&north));
    assert!(
        nothing
            .check_derived("SeriesCollectedEvent", ["NORTH"], "id")
            .is_err()
    );
    let collected = ("SeriesCollectedEvent", "test");
    assert!(nothing.check_collected(collected, "NORTH", "id").is_err());
    assert!(nothing.publish(&[draft(north)], |_| String::new()).is_err());
    assert!(nothing.open_stream().is_err());
    // The same questions of one who may.
    let all = open();
    assert!(all.require(Scope::Admin).is_ok() && all.require_unlimited().is_ok());
    assert!(all.check_collected(collected, "NORTH", "id").is_ok());
    assert!(all.open_stream().is_ok());
}

#[test]
fn a_series_is_managed_by_whoever_may_see_its_collection() {
    let collected = ("SeriesCollectedEvent", "FredCollector");
    let may = |entry: Entry| Access::of_entry(entry).check_collected(collected, "NORTH", "id");
    assert!(may(entry()).is_ok());
    for (limit, allowed) in [
        ("custom:OrderPlaced", false),
        ("SeriesCollectedEvent", true),
    ] {
        let limited = Entry {
            event_types: only(&[limit]),
            ..entry()
        };
        assert_eq!(may(limited).is_ok(), allowed, "{limit}");
    }
    for (limit, allowed) in [("Shop", false), ("FredCollector", true)] {
        let limited = Entry {
            sources: only(&[limit]),
            ..entry()
        };
        assert_eq!(may(limited).is_ok(), allowed, "{limit}");
    }
}

#[test]
fn a_wish_that_grows_when_it_is_narrowed_gets_no_more_than_is_granted() {
    // The narrowed list would have more entries than a filter may have.
    let wish = ["CustomEvent"; 501];
    check_types(
        &["custom:A", "custom:B"],
        &wish,
        Ok(&["custom:A", "custom:B"]),
    );
    // An entry that no file holds: nothing is granted, which is not everything.
    check_types(&[], &["CustomEvent"], Err("event_types[0]"));
    check_types(&[], &[], Err(""));
    // More than fits into a filter is refused and not left out of it.
    let many: Vec<String> = (0..1_001).map(|n| format!("custom:T{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check_types(&many, &[], Err(""));
}

const TYPES: [&str; 5] = [
    "SeriesCollectedEvent",
    "CustomEvent",
    "custom:A",
    "custom:B",
    "RegimeTransitionEvent",
];
const SERIES: [&str; 3] = ["NORTH", "SOUTH", "EAST"];
const SOURCES: [&str; 2] = ["test", "Shop"];

fn some_of(all: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<&'static str>>> {
    proptest::option::of(vec(select(all), 0..4))
}

/// A wish: mostly short, sometimes as long as a filter may be.
fn wish_of(all: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    let repeated = (select(all), 1..=1_000_usize).prop_map(|(name, count)| vec![name; count]);
    prop_oneof![4 => vec(select(all), 0..4), 1 => repeated]
}

/// An event: of a source, of a type, and about series.
fn event() -> impl Strategy<Value = (&'static str, &'static str, Vec<&'static str>)> {
    let kinds = ["SeriesCollectedEvent", "custom:A", "custom:B", "custom:C"];
    (
        select(&SOURCES[..]),
        select(kinds.to_vec()),
        vec(select(&SERIES[..]), 0..3),
    )
}

fn names(list: &[&str], kind: &str) -> bool {
    let is_custom = kind.starts_with("custom:");
    list.iter()
        .any(|name| *name == kind || (*name == "CustomEvent" && is_custom))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The words of the grant and of the wish, without the filter's ways of keeping them.
    #[test]
    fn what_is_delivered_is_granted_and_wanted(
        (types, series, sources) in (some_of(&TYPES), some_of(&SERIES), some_of(&SOURCES)),
        (wanted_types, wanted_series) in (wish_of(&TYPES), wish_of(&SERIES)),
        (source, kind, about) in event(),
    ) {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let access = Access::of_entry(Entry {
            event_types: types.as_deref().and_then(only),
            series: series.as_deref().and_then(only),
            sources: sources.as_deref().and_then(only),
            ..entry()
        });
        let wish = WantedEvents::new(owned(&wanted_types), owned(&wanted_series)).unwrap();
        let Ok(filter) = access.narrow(wish) else {
            return Ok(());
        };
        let within = |series: &Vec<&str>| {
            !about.is_empty() && about.iter().all(|id| series.contains(id))
        };
        let granted = types.as_ref().is_none_or(|types| names(types, kind))
            && sources.as_ref().is_none_or(|sources| sources.contains(&source))
            && series.as_ref().is_none_or(within);
        let wanted = (wanted_types.is_empty() || names(&wanted_types, kind))
            && (wanted_series.is_empty() || about.iter().any(|id| wanted_series.contains(id)));
        let delivered =
            filter.matches(&EventType::from_stored(kind), source, about.iter().copied());
        prop_assert_eq!(delivered, granted && wanted);
    }
}

#[test]
fn what_others_used_of_their_limits_stays_used_when_tokens_are_replaced() {
    let limited = Entry {
        events_per_second: NonZeroU32::new(1),
        ..entry()
    };
    let tokens = Tokens::new(vec![limited.clone()], Clock::system());
    let publish = || {
        let access = tokens.by_token("atlas_x").unwrap();
        access.publish(&[draft(custom_event(1))], |_| String::new())
    };
    publish().unwrap();
    let secret = Secret::new("atlas_y".to_owned());
    let other = Entry::new("b", Identity::Token(secret.hash()), vec![Scope::Read]);
    tokens.replace(vec![other, limited]);
    assert!(matches!(publish(), Err(Denied::TooFast { .. })));
    tokens.replace(Vec::new());
    assert!(matches!(
        tokens.by_token("atlas_x"),
        Err(Denied::Unauthenticated)
    ));
}

/// A certificate with this subject.
fn shown_as(subject: &str) -> Certificate {
    Certificate::new(&subject.parse().unwrap(), [], [], subject.as_bytes())
}

#[test]
fn the_most_exact_name_of_a_certificate_counts() {
    let entry = |name: &str, certificate: &str| {
        format!(
            "[[token]]\nname = \"{name}\"\ncertificate = '{certificate}'\nscopes = [\"read\"]\n"
        )
    };
    let subject = "O=Ops, CN=admin".parse().unwrap();
    let shown = Certificate::new(&subject, ["spiffe://ops/admin"], ["Admin.ops"], b"x");
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let mut text = String::new();
    // Each is more exact than those before it.
    for (name, certificate) in [
        ("subject", "O=Ops, CN=admin".to_owned()),
        ("dns", "DNS:admin.OPS".to_owned()),
        ("uri", "URI:spiffe://ops/admin".to_owned()),
        ("digest", format!("SHA256:{digest}")),
    ] {
        text.push_str(&entry(name, &certificate));
        let tokens = Tokens::new(access::parse(&text).unwrap(), Clock::system());
        let access = tokens.by_certificate(&shown).unwrap();
        assert_eq!(access.name(), Some(name));
    }
}

#[test]
fn a_name_that_looks_like_two_is_not_the_two() {
    let text =
        "[[token]]\nname = \"admin\"\ncertificate = \"CN=admin, O=Ops\"\nscopes = [\"admin\"]";
    let tokens = Tokens::new(access::parse(text).unwrap(), Clock::system());
    assert!(tokens.by_certificate(&shown_as("CN=admin, O=Ops")).is_ok());
    for forged in [
        "CN=admin\\, O=Ops",
        "CN=admin + O=Ops",
        "CN=admin\\2c O\\3dOps",
        "O=Ops, CN=admin",
        "CN=admin, O=Ops, OU=x",
        "CN=Admin, O=Ops",
    ] {
        assert!(
            tokens.by_certificate(&shown_as(forged)).is_err(),
            "{forged}"
        );
    }
}

#[test]
fn a_gate_of_certificates_takes_no_token_for_one() {
    let shown = Peer {
        certificate: Some(shown_as("CN=a").into()),
        ..Peer::default()
    };
    let gate = Gate::Certificates;
    let header = Some(&b"Bearer atlas_x"[..]);
    assert!(gate.admit(header, &Peer::default()).is_err());
    let access = gate.admit(None, &shown).unwrap();
    assert_eq!(access.name(), Some("CN=a"));
    let gate = Gate::Tokens(Tokens::new(vec![entry()], Clock::system()));
    assert!(gate.admit(header, &Peer::default()).is_ok());
    // One that is not listed stands for nothing, and does not make up for a wrong token.
    assert!(gate.admit(None, &shown).is_err());
    assert!(gate.admit(Some(b"Bearer atlas_y"), &shown).is_err());
    assert!(gate.admit(Some(b"Bearer \xff"), &shown).is_err());
}
