//! The rules of alerts and deliveries.

use super::{MESSAGE_CHARS_MAX, NAME_CHARS_MAX};
use crate::{
    AlertChangedEvent, DeliveryChangedEvent, Violation,
    text::{check_name, check_text},
};

const TITLE_CHARS_MAX: usize = 1_000;

pub(super) fn check_alert(event: &AlertChangedEvent) -> Result<(), Violation> {
    for (field, name) in [
        ("alert_id", &event.alert_id),
        ("rule_id", &event.rule_id),
        ("owner", &event.owner),
        ("severity", &event.severity),
    ] {
        check_name(field, name, NAME_CHARS_MAX)?;
    }
    check_text("title", &event.title, TITLE_CHARS_MAX)?;
    for (key, value) in &event.labels {
        check_name("labels", key, NAME_CHARS_MAX)?;
        check_text("labels", value, MESSAGE_CHARS_MAX)?;
    }
    for (field, text) in [
        ("cause_log_id", &event.cause_log_id),
        ("cause_event_id", &event.cause_event_id),
        ("changed_by", &event.changed_by),
    ] {
        check_text(field, text, NAME_CHARS_MAX)?;
    }
    check_text("note", &event.note, MESSAGE_CHARS_MAX)
}

pub(super) fn check_delivery(event: &DeliveryChangedEvent) -> Result<(), Violation> {
    for (field, name) in [
        ("delivery_id", &event.delivery_id),
        ("alert_id", &event.alert_id),
        ("owner", &event.owner),
        ("channel_id", &event.channel_id),
        ("channel_kind", &event.channel_kind),
    ] {
        check_name(field, name, NAME_CHARS_MAX)?;
    }
    check_text("suppressed_by", &event.suppressed_by, NAME_CHARS_MAX)?;
    check_text("receipt", &event.receipt, MESSAGE_CHARS_MAX)?;
    check_text("error", &event.error, MESSAGE_CHARS_MAX)
}
