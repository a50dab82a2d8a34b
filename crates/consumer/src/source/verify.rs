//! The proof that a log still holds what was taken of it.

use tracing::warn;

use super::{Found, LogState, Source, SourceFault};
use crate::LastEvent;

impl Source {
    /// How the log contradicts that an event was taken of it; `None` if it does not. What retention
    /// has removed, or what this client may not see, contradicts nothing.
    pub(crate) async fn contradiction(
        &self,
        log: &LogState,
        last: &LastEvent,
    ) -> Result<Option<String>, SourceFault> {
        let LastEvent { event_id, position } = last;
        if *position < log.first_position {
            return Ok(None);
        }
        match self.origin.find(event_id).await? {
            Found::At(at) if at == *position => Ok(None),
            Found::At(at) => Ok(Some(format!(
                "the event {event_id} was processed at position {position} and is at {at} now"
            ))),
            Found::Nowhere if log.limited => {
                warn!(
                    source = %self.name, event_id, position,
                    "the last processed event is not visible: either the limits of the token \
                     changed, or the log lost it"
                );
                Ok(None)
            }
            Found::Nowhere => {
                // Retention may have removed it since the bounds were read.
                let now = self.origin.state().await?;
                let is_gone = now.log_id == log.log_id && *position >= now.first_position;
                Ok(is_gone.then(|| {
                    let last = now.last_position;
                    format!(
                        "the event {event_id} was processed at position {position} and is not in \
                         the log, which ends at position {last} now"
                    )
                }))
            }
            Found::Unknown(reason) => {
                warn!(
                    source = %self.name, event_id, position, reason,
                    "cannot verify whether the log holds the last processed event"
                );
                Ok(None)
            }
        }
    }
}
