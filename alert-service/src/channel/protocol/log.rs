use crate::channel::{Message, Outcome, render::heading};

/// Writes a message to the log of the service.
pub(in crate::channel) fn write(message: &Message) -> Outcome {
    tracing::info!(
        delivery.id = %message.delivery_id,
        alert.id = %message.alert_id,
        alert.sequence = message.sequence,
        alert.severity = ?message.severity,
        alert.labels = ?message.labels,
        "{}",
        heading(message),
    );
    Outcome::Accepted { receipt: None }
}
