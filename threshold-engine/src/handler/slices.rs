//! Evaluating the points of a batch within its transaction, however long it takes.

use std::time::{Duration, Instant};

use metrics::histogram;
use sqlx::PgConnection;
use trace_context::count as count_of;
use tracing::{Span, field::Empty};

use crate::{Emission, Engine, Failed, store};
use evaluation::series::{Point, steps};

/// The server ends a session that says nothing for some seconds within a transaction, as a process
/// does that was frozen; one that computes says something in between.
const SLICE: Duration = Duration::from_secs(1);

/// What points bring about, and how often a pattern looked at its condition for that.
pub(crate) struct Evaluated {
    pub(crate) emissions: Vec<Emission>,
    /// In order.
    pub(crate) failed: Vec<FailedAt>,
    pub(crate) evaluations: u64,
}

/// A definition that failed, and where.
pub(crate) struct FailedAt {
    pub(crate) failed: Failed,
    /// It failed behind so many of the points,
    pub(crate) points: usize,
    /// and so many of the emissions.
    pub(crate) emissions: usize,
}

/// Points on their way through an engine.
pub(crate) struct Evaluation<'a> {
    count: usize,
    rest: &'a [Point],
    slice: Duration,
    evaluated: Evaluated,
    took: Duration,
    span: Span,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(points: &'a [Point]) -> Self {
        let span = trace_context::child!(
            "evaluate",
            atlas.points = count_of(points.len()),
            atlas.emissions = Empty,
        );
        Self {
            count: points.len(),
            rest: points,
            slice: SLICE,
            evaluated: Evaluated {
                emissions: Vec::new(),
                failed: Vec::new(),
                evaluations: 0,
            },
            took: Duration::ZERO,
            span,
        }
    }

    /// Evaluates until all is done, or a slice of time is over. Whether all is done.
    pub(crate) fn advance(&mut self, engine: &mut Engine) -> bool {
        let started = Instant::now();
        let before = engine.evaluations();
        let _entered = self.span.enter();
        while let Some(step) = steps(self.rest).next()
            && started.elapsed() < self.slice
        {
            let failed_before = engine.failed().len();
            engine.apply(step, &mut self.evaluated.emissions);
            self.rest = &self.rest[step.len()..];
            for failed in engine.take_failed(failed_before) {
                self.evaluated.failed.push(FailedAt {
                    failed,
                    points: self.count - self.rest.len(),
                    emissions: self.evaluated.emissions.len(),
                });
            }
        }
        self.evaluated.evaluations += engine.evaluations() - before;
        self.took += started.elapsed();
        self.rest.is_empty()
    }

    /// Evaluates what is left, and keeps the session of the transaction alive meanwhile.
    pub(crate) async fn finish(
        mut self,
        engine: &mut Engine,
        connection: &mut PgConnection,
    ) -> Result<Evaluated, sqlx::Error> {
        while !self.advance(engine) {
            store::keep_alive(connection).await?;
        }
        let count = count_of(self.evaluated.emissions.len());
        self.span.record("atlas.emissions", count);
        histogram!("thresholdengine_evaluation_seconds").record(self.took);
        Ok(self.evaluated)
    }
}
