//! Evaluating the points of a batch within its transaction, however long it takes.

use std::time::{Duration, Instant};

use metrics::histogram;
use sqlx::PgConnection;
use trace_context::count as count_of;
use tracing::{Span, field::Empty};

use crate::{
    Emission, Engine,
    series::{Point, steps},
    store,
};

/// The server ends a session that says nothing for some seconds within a transaction, as a process
/// does that was frozen; one that computes says something in between.
const SLICE: Duration = Duration::from_secs(1);

/// What points bring about, and how often a pattern looked at its condition for that.
pub(crate) struct Evaluated {
    pub(crate) emissions: Vec<Emission>,
    pub(crate) evaluations: u64,
}

/// Points on their way through an engine.
pub(crate) struct Evaluation<'a> {
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
            rest: points,
            slice: SLICE,
            evaluated: Evaluated {
                emissions: Vec::new(),
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
            engine.apply(step, &mut self.evaluated.emissions);
            self.rest = &self.rest[step.len()..];
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
