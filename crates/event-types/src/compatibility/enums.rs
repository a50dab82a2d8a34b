//! Enums of two versions.

use std::collections::BTreeSet;

use prost_reflect::{EnumDescriptor, Syntax};

use super::{Found, Rule};
use crate::DescriptorSet;

pub(super) fn compare(old: &DescriptorSet, new: &DescriptorSet, found: &mut Found) {
    for before in old.enums() {
        match new.pool().get_enum_by_name(before.full_name()) {
            Some(now) => values(&before, &now, found),
            None => {
                let file = before.parent_file();
                found.deleted(Rule::EnumNoDelete, &file, before.full_name(), new);
            }
        }
    }
}

fn values(before: &EnumDescriptor, now: &EnumDescriptor, found: &mut Found) {
    let file = now.parent_file();
    if is_closed(before) != is_closed(now) {
        let kind = |is_closed| if is_closed { "closed" } else { "open" };
        let message = format!(
            "was {} and is {}",
            kind(is_closed(before)),
            kind(is_closed(now))
        );
        found.add(
            Rule::EnumSameType,
            &file,
            now.full_name().to_owned(),
            message,
        );
    }
    let numbers: BTreeSet<_> = before.values().map(|value| value.number()).collect();
    for number in &numbers {
        let (was, is) = (names(before, *number), names(now, *number));
        if is.is_empty() {
            for name in was {
                deleted(now, &name, *number, found);
            }
        // Aliases may be added; a name that is gone may stand in stored JSON.
        } else if !is.is_superset(&was) {
            found.add(
                Rule::EnumValueSameName,
                &file,
                now.full_name().to_owned(),
                format!("{number} was {} and is {}", list(&was), list(&is)),
            );
        }
    }
    if found.mode.is_forward() && is_closed(before) {
        for value in now
            .values()
            .filter(|value| !numbers.contains(&value.number()))
        {
            found.add(
                Rule::EnumValueNoAddToClosed,
                &file,
                format!("{}.{}", now.full_name(), value.name()),
                "is new in a closed enum".to_owned(),
            );
        }
    }
    reserved(before, now, found);
}

fn deleted(now: &EnumDescriptor, name: &str, number: i32, found: &mut Found) {
    let element = format!("{}.{name}", now.full_name());
    if now.reserved_ranges().all(|range| !range.contains(&number)) {
        found.add(
            Rule::EnumValueNoDeleteUnlessNumberReserved,
            &now.parent_file(),
            element.clone(),
            format!("the value {number} is missing; reserve its number: `reserved {number};`"),
        );
    }
    if now.reserved_names().all(|reserved| reserved != name) {
        found.add(
            Rule::EnumValueNoDeleteUnlessNameReserved,
            &now.parent_file(),
            element,
            format!("the value {number} is missing; reserve its name: `reserved \"{name}\";`"),
        );
    }
}

fn reserved(before: &EnumDescriptor, now: &EnumDescriptor, found: &mut Found) {
    let mut add = |what: String| {
        found.add(
            Rule::ReservedEnumNoDelete,
            &now.parent_file(),
            now.full_name().to_owned(),
            format!("{what} is no longer reserved"),
        );
    };
    let half_open = |range: &std::ops::RangeInclusive<i32>| {
        (i64::from(*range.start()), i64::from(*range.end()) + 1)
    };
    let ranges: Vec<_> = now.reserved_ranges().collect();
    for range in before.reserved_ranges() {
        if !super::is_covered(half_open(&range), ranges.iter().map(half_open)) {
            add(format!("{} to {}", range.start(), range.end()));
        }
    }
    for name in before.reserved_names() {
        if !now.reserved_names().any(|reserved| reserved == name) {
            add(format!("the name \"{name}\""));
        }
    }
}

/// In proto2 a value that is not declared is an unknown field.
fn is_closed(declared: &EnumDescriptor) -> bool {
    declared.parent_file().syntax() == Syntax::Proto2
}

fn names(declared: &EnumDescriptor, number: i32) -> BTreeSet<String> {
    (declared.values())
        .filter(|value| value.number() == number)
        .map(|value| value.name().to_owned())
        .collect()
}

fn list(names: &BTreeSet<String>) -> String {
    let names: Vec<_> = names.iter().map(|name| &**name).collect();
    names.join(", ")
}
