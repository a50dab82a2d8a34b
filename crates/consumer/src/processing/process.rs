//! What happens to a batch until it is committed, whatever fails.

use std::{collections::VecDeque, ops::ControlFlow, time::Instant};

use tracing::{Instrument, error, warn};

use crate::{
    ConsumerError, Handler, SourcedEvent,
    checkpoint::{self, Checkpoint},
    processing::{
        attempt::{self, Failure},
        batch::Batch,
        claim::SourceContext,
        stopping::halt,
        trace,
        worker::{Halt, Worker},
    },
};

impl<H: Handler> Worker<H> {
    /// Processes a batch of a source: returns once its effects are committed, or the checkpoint was
    /// found moved and the source has been started from there.
    pub(crate) async fn process(&mut self, index: usize, batch: Batch) -> Result<(), Halt> {
        let mut batches = VecDeque::from([batch]);
        while let Some(mut batch) = batches.pop_front() {
            if self.shutdown.is_cancelled() {
                return Err(Halt::Shutdown);
            }
            batch.attempts += 1;
            if batch.attempts == 1 {
                self.set_aside(index, &mut batch);
            }
            self.brake(index, &batch)?;
            let context = SourceContext {
                service: &self.config.service,
                source: self.sources[index].name(),
                checkpoint: self.sources[index].checkpoint.as_ref(),
            };
            let began = Instant::now();
            let span = trace::process(context, &batch, &self.pace);
            let attempted = attempt::attempt(&mut self.session, &mut self.guarded, context, &batch)
                .instrument(span.clone())
                .await;
            let failure = match attempted {
                Ok(committed) => {
                    self.note_taken(index, &batch, began);
                    self.note_committed(index, &batch, committed.checkpoint, committed.skipped);
                    if committed.handled {
                        self.guarded.handler.committed();
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            trace_context::failed(&span, &failure);
            let in_hand = batches
                .back()
                .map_or(batch.advance.to, |last| last.advance.to);
            let recovering = self.recover(index, failure, batch, in_hand);
            let recovering = recovering.instrument(span);
            match recovering.await? {
                ControlFlow::Continue(again) => {
                    again.into_iter().rev().for_each(|b| batches.push_front(b));
                }
                ControlFlow::Break(()) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes out of a batch, at once, what its handler can never process.
    fn set_aside(&self, index: usize, batch: &mut Batch) {
        let refused = self.guarded.unprocessable(&batch.events);
        for (place, reason) in &refused {
            let (source, position) = (self.sources[index].name(), batch.events[*place].position());
            error!(source, position, %reason, "an event cannot be processed; parking it");
        }
        if !refused.is_empty() {
            batch.park_all(&self.config.service, refused);
        }
    }

    /// Ends a source of which nothing can be processed any more, before all of it is parked.
    fn brake(&self, index: usize, batch: &Batch) -> Result<(), Halt> {
        let source = &self.sources[index];
        let count = source.parked_in_a_row + batch.parking.len() as u64;
        let Some(last) = batch.parking.last() else {
            return Ok(());
        };
        if !batch.events.is_empty() || count < self.config.parked_in_a_row_max {
            return Ok(());
        }
        let error = ConsumerError::NothingProcessable {
            name: source.name().to_owned(),
            count,
            position: last.event.position(),
            reason: last.reason.clone(),
        };
        Err(halt(&source.state, error))
    }

    /// What to do instead of a batch that failed; `Break` if nothing with what is in hand, which
    /// reaches up to a position, because the checkpoint was followed to elsewhere.
    async fn recover(
        &mut self,
        index: usize,
        failure: Failure,
        mut batch: Batch,
        in_hand: u64,
    ) -> Result<ControlFlow<(), VecDeque<Batch>>, Halt> {
        let source = self.sources[index].name().to_owned();
        match failure {
            Failure::Moved => {
                let found = self.load_checkpoint(index).await?;
                self.follow(index, found, in_hand);
                return Ok(ControlFlow::Break(()));
            }
            Failure::Unknown(reason) => {
                warn!(%source, %reason, "the outcome of a commit is unknown");
                return self.find_out(index, batch, in_hand).await;
            }
            Failure::Transient(reason) => {
                warn!(%source, %reason, attempts = batch.attempts, "a batch failed; trying it again");
                self.sources[index].state.retries.increment(1);
                self.pause(batch.attempts).await?;
            }
            Failure::Permanent {
                position,
                handler,
                reason,
            } => match culprit(&batch.events, position) {
                Some(culprit) => {
                    let handler = handler.unwrap_or_else(|| self.config.service.clone());
                    let position = batch.events[culprit].position();
                    error!(%source, position, %handler, %reason, "an event cannot be processed; parking it");
                    batch.park(culprit, handler, reason);
                }
                None => {
                    warn!(%source, %reason, "a batch cannot be processed; trying its events one by one");
                    return Ok(ControlFlow::Continue(batch.into_singles()));
                }
            },
        }
        Ok(ControlFlow::Continue(VecDeque::from([batch])))
    }

    /// Learns from the database whether a batch was committed.
    async fn find_out(
        &mut self,
        index: usize,
        batch: Batch,
        in_hand: u64,
    ) -> Result<ControlFlow<(), VecDeque<Batch>>, Halt> {
        let found = self.load_checkpoint(index).await?;
        let has_advanced = |checkpoint: &Checkpoint| {
            checkpoint.log_id == Some(batch.advance.log_id)
                && checkpoint.position == Some(batch.advance.to)
        };
        if let Some(checkpoint) = found.clone().filter(has_advanced) {
            // Another instance may have made the same move. So the handler is not notified: it would take
            // for its own what may be that one's.
            self.note_committed(index, &batch, checkpoint, 0);
            return Ok(ControlFlow::Continue(VecDeque::new()));
        }
        if checkpoint::agree(found.as_ref(), self.sources[index].checkpoint.as_ref()) {
            // Should the commit still be under way, the next attempt waits for it to end.
            return Ok(ControlFlow::Continue(VecDeque::from([batch])));
        }
        self.follow(index, found, in_hand);
        Ok(ControlFlow::Break(()))
    }

    fn note_taken(&self, index: usize, batch: &Batch, began: Instant) {
        let first = batch.events.first().and_then(SourcedEvent::recorded_at);
        let events = batch.events.len() + batch.parking.len();
        let now = self.config.clock.now();
        let state = &self.sources[index].state;
        state.took(events, began.elapsed(), first, now);
    }

    fn note_committed(
        &mut self,
        index: usize,
        batch: &Batch,
        checkpoint: Checkpoint,
        skipped: usize,
    ) {
        let source = &mut self.sources[index];
        source.parked_in_a_row = match batch.events.is_empty() {
            true => source.parked_in_a_row + batch.parking.len() as u64,
            false => 0,
        };
        let events = batch.events.len() + batch.parking.len() - skipped;
        source.state.processed.increment(events as u64);
        source.state.skipped.increment(skipped as u64);
        source.state.parked.increment(batch.parking.len() as u64);
        let last = batch
            .events
            .last()
            .or(batch.parking.last().map(|p| &p.event));
        let recorded_at = last.and_then(SourcedEvent::recorded_at);
        source.state.processed_up_to(batch.advance.to, recorded_at);
        source.checkpoint = Some(checkpoint);
    }
}

/// Index of the event at fault: a batch of one has no other.
fn culprit(events: &[SourcedEvent], position: Option<u64>) -> Option<usize> {
    match events {
        [_] => Some(0),
        _ => events
            .iter()
            .position(|event| Some(event.position()) == position),
    }
}
