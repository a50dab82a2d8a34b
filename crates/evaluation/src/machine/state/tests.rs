use super::*;
use crate::calendar::{BusinessDays, Span};

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2024, 1, day).unwrap()
}

/// Folds '+' holds, '-' does not, '?' no data, 'c' the clear condition holds, one a day from
/// the 1st; 'p', 'm' and 'C' are '+', '-' and 'c' at a date that is no observation. Gives the
/// turns as day and sign.
fn turns(rule: &Rule, has_clear: bool, signals: &str) -> String {
    let mut state = State::initial(day(1));
    let mut emitted = String::new();
    for (index, signal) in signals.chars().enumerate() {
        let date = day(index as u32 + 1);
        let known = |truth| (signal != '?').then_some(truth);
        let counts = !"pmC".contains(signal);
        let signals = Signals {
            when: known("+p".contains(signal)),
            clear: has_clear.then_some(known("cC".contains(signal))),
            when_counts: counts,
            clear_counts: counts,
        };
        let (next, turn) = rule.step(state, date, signals);
        state = next;
        match turn {
            Some(Turn::Entered) => emitted += &format!("+{} ", index + 1),
            Some(Turn::Cleared) => emitted += &format!("-{} ", index + 1),
            Some(Turn::NoData) => emitted += &format!("?{} ", index + 1),
            Some(Turn::Data) => emitted += &format!("!{} ", index + 1),
            None => {}
        }
    }
    emitted.trim_end().to_owned()
}

fn days(days: u32) -> Option<Hold> {
    Some(Hold::Term(Term::Span(Span::Days(days))))
}

#[test]
fn without_data_the_policy_decides() {
    let rule = |on_no_data| Rule {
        on_no_data,
        ..Rule::default()
    };
    let signals = "??-+??+?-?+";
    assert_eq!(turns(&rule(OnNoData::Keep), false, signals), "+4 -9 +11");
    assert_eq!(
        turns(&rule(OnNoData::Clear), false, signals),
        "+4 -5 +7 -8 +11"
    );
    // It enters or clears in place of having data again, and says so once where it does neither.
    let emitted = turns(&rule(OnNoData::Emit), false, signals);
    assert_eq!(emitted, "+4 ?5 !7 ?8 -9 ?10 +11");
    let pending = Rule {
        hold: days(3),
        ..rule(OnNoData::Clear)
    };
    assert_eq!(turns(&pending, false, "++?+++++"), "+7");
}

#[test]
fn without_fields_the_condition_decides() {
    assert_eq!(turns(&Rule::default(), false, "-++--+"), "+2 -4 +6");
}

#[test]
fn hold_by_observations_and_by_calendar() {
    let rule = Rule {
        hold: Some(Hold::Count(3)),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "++-+++-"), "+6 -7");
    assert_eq!(turns(&rule, false, "+?+?+"), "+5");
    let rule = Rule {
        hold: days(2),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "++-+++-"), "+6 -7");
    assert_eq!(turns(&rule, false, "+??+"), "+4");
}

#[test]
fn keep_for_bridges_short_clears() {
    let rule = Rule {
        keep_for: days(2),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "+--+---"), "+1 -7");
    let rule = Rule {
        keep_for: Some(Hold::Count(2)),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "+-+--+"), "+1 -5 +6");
}

#[test]
fn cooldown_delays_the_next_entry() {
    let rule = Rule {
        cooldown: Some(Term::Span(Span::Days(3))),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "+-++++"), "+1 -2 +5");
    assert_eq!(turns(&rule, false, "+-+---+"), "+1 -2 +7");
}

#[test]
fn n_of_m_counts_dates_with_data() {
    let rule = Rule {
        n_of_m: Some([2, 3]),
        ..Rule::default()
    };
    assert_eq!(turns(&rule, false, "+-+--"), "+3 -4");
    assert_eq!(turns(&rule, false, "+???+"), "+5");
    assert_eq!(turns(&rule, false, "+--+--+-+"), "+9");
}

#[test]
fn dates_that_are_no_observation_are_not_counted() {
    let hold = Rule {
        hold: Some(Hold::Count(2)),
        ..Rule::default()
    };
    assert_eq!(turns(&hold, false, "+pp+"), "+4");
    assert_eq!(turns(&hold, false, "p+pp+"), "+5");
    // What does not hold ends it all the same.
    assert_eq!(turns(&hold, false, "+m++"), "+4");
    let keep = Rule {
        keep_for: Some(Hold::Count(2)),
        ..Rule::default()
    };
    assert_eq!(turns(&keep, false, "+-mm-"), "+1 -5");
    assert_eq!(turns(&keep, true, "+cCCc"), "+1 -5");
    let often = Rule {
        n_of_m: Some([2, 3]),
        ..Rule::default()
    };
    assert_eq!(turns(&often, false, "+ppp+"), "+5");
    assert_eq!(turns(&often, false, "+mmm+"), "+5");
}

#[test]
fn hysteresis_does_not_flicker() {
    assert_eq!(turns(&Rule::default(), true, "+-+-+-c-+"), "+1 -7 +9");
    assert_eq!(
        turns(&Rule::default(), false, "+-+-+-"),
        "+1 -2 +3 -4 +5 -6"
    );
}

#[test]
fn no_data_changes_nothing_but_what_is_shown() {
    assert_eq!(turns(&Rule::default(), false, "+??-"), "+1 -4");
    let signals = Signals {
        when: None,
        clear: None,
        when_counts: true,
        clear_counts: true,
    };
    let rule = Rule::default();
    let (first, _) = rule.step(State::initial(day(1)), day(1), signals);
    let (second, _) = rule.step(first, day(2), signals);
    assert_eq!((second.phase, second.no_data), (Phase::Normal, true));
    assert_eq!(first, second);
    let known = Signals {
        when: Some(true),
        ..signals
    };
    let (third, turn) = rule.step(second, day(3), known);
    assert_eq!(turn, Some(Turn::Entered));
    assert_eq!(
        (third.phase, third.since, third.no_data),
        (Phase::Active, day(3), false)
    );
}

#[test]
fn the_earliest_change_is_told() {
    let rule = Rule {
        hold: days(5),
        cooldown: Some(Term::Span(Span::Days(10))),
        ..Rule::default()
    };
    let mut state = State::initial(day(1));
    assert_eq!(state.earliest_change(&rule), None);
    state.enter(Phase::Pending, day(3));
    assert_eq!(state.earliest_change(&rule), Some(day(8)));
    state.cleared = Some(day(2));
    assert_eq!(state.earliest_change(&rule), Some(day(12)));
}

/// The 1st is a Monday.
#[test]
fn times_are_counted_in_business_days() {
    let business = |rule, holidays: &[u32]| BusinessCalendar {
        rule,
        holidays: holidays.iter().map(|number| day(*number)).collect(),
    };
    let held = |business| Rule {
        hold: Some(Hold::Term(Term::Business(2))),
        business: Some(business),
        ..Rule::default()
    };
    let weekdays = held(business(BusinessDays::Weekdays, &[]));
    assert_eq!(turns(&weekdays, false, "+++++"), "+3");
    // From Friday to Tuesday, from Saturday to Tuesday, and not across a break.
    assert_eq!(turns(&weekdays, false, "----+++++"), "+9");
    assert_eq!(turns(&weekdays, false, "-----++++"), "+9");
    assert_eq!(turns(&weekdays, false, "----+++-+++"), "+11");
    let closed = held(business(BusinessDays::Weekdays, &[8]));
    assert_eq!(turns(&closed, false, "----++++++"), "+10");
    // The 15th is the birthday of Martin Luther King.
    let federal = held(business(BusinessDays::UsFederal, &[]));
    assert_eq!(turns(&federal, false, "-----------+++++++"), "+17");
    let after = Rule {
        keep_for: Some(Hold::Term(Term::Business(1))),
        cooldown: Some(Term::Business(2)),
        business: Some(business(BusinessDays::Weekdays, &[])),
        ..Rule::default()
    };
    // Normal from Friday on: it clears on Monday, and may enter again on Wednesday.
    assert_eq!(turns(&after, false, "++++----+++"), "+1 -8 +10");
}
