//! Messages of two versions.

use prost_reflect::MessageDescriptor;

use super::{Found, Rule, fields};
use crate::DescriptorSet;

pub(super) fn compare(old: &DescriptorSet, new: &DescriptorSet, found: &mut Found) {
    for before in old.messages() {
        match new.pool().get_message_by_name(before.full_name()) {
            Some(now) => message(&before, &now, found),
            None => {
                let file = before.parent_file();
                found.deleted(Rule::MessageNoDelete, &file, before.full_name(), new);
            }
        }
    }
}

fn message(before: &MessageDescriptor, now: &MessageDescriptor, found: &mut Found) {
    for field in before.fields() {
        match now.get_field(field.number()) {
            Some(same_number) => fields::compare(&field, &same_number, found),
            None => fields::deleted(&field, now, found),
        }
    }
    if found.mode.is_backward() {
        // A new field that every reader asks for; earlier events do not have it.
        for field in now.fields() {
            if field.is_required() && before.get_field(field.number()).is_none() {
                fields::required(&field, "is new and required", found);
            }
        }
    }
    reserved(before, now, found);
}

fn reserved(before: &MessageDescriptor, now: &MessageDescriptor, found: &mut Found) {
    let mut add = |what: String| {
        found.add(
            Rule::ReservedMessageNoDelete,
            &now.parent_file(),
            now.full_name().to_owned(),
            format!("{what} is no longer reserved"),
        );
    };
    let ranges: Vec<_> = now.reserved_ranges().collect();
    for range in before.reserved_ranges() {
        let is_covered = super::is_covered(
            (range.start.into(), range.end.into()),
            ranges
                .iter()
                .map(|range| (range.start.into(), range.end.into())),
        );
        if !is_covered {
            add(format!("{} to {}", range.start, range.end - 1));
        }
    }
    for name in before.reserved_names() {
        if !now.reserved_names().any(|reserved| reserved == name) {
            add(format!("the name \"{name}\""));
        }
    }
}
