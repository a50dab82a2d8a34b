//! What an access narrows, sees and counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{num::NonZeroU32, sync::Arc};

use access::{Access, Denied, Entry, Gate, Identity, Peer, Scope, Secret, Tokens};
use atlas_events::{Clock, EventFilter};
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
    let filter = EventFilter::new(owned(wanted), Vec::new()).unwrap();
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
    assert!(Access::everything().sees(&custom_event(3)));
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

#[test]
fn a_gate_of_certificates_takes_no_token_for_one() {
    let shown = Peer {
        certificate: Some("CN=a".into()),
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
