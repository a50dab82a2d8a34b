//! The state of an engine as a whole, to be kept and to be restored from.

use std::{num::NonZero, sync::Arc, thread};

use super::{Engine, failing::Failing, refill::Refilling};
use crate::{
    pattern::Pattern,
    pattern::{Emitted, PatternRun},
    regime::{Regime, RegimeRun},
    snapshot::{EmittedImage, Image, SeriesImage},
};
use evaluation::series::{FutureObservations, SeriesStore};

impl Engine {
    /// What cannot be computed from anything else. Cheap: it shares what is large with the engine, which
    /// copies a series the next time that it changes.
    pub(crate) fn image(&self) -> Image {
        // Named one by one, so that whoever adds a part decides here whether it is to be kept.
        let Self {
            store,
            future,
            reached,
            patterns,
            regimes,
            readers: _,
            evaluations: _,
            undo: _,
            failing: _,
            failed: _,
            refilling: _,
        } = self;
        let mut series: Vec<SeriesImage> = store
            .ids()
            .filter_map(|id| {
                Some(SeriesImage {
                    id: Arc::clone(id),
                    observations: store.shared(store.find(id)?),
                    future: Vec::new(),
                })
            })
            .collect();
        for (date, index, vintage) in future.iter() {
            series[index.0].future.push((date, vintage));
        }
        let patterns = patterns.iter().map(|run| EmittedImage {
            id: run.pattern().id.clone(),
            version: run.pattern().version.clone(),
            emitted: run.emitted().shared(),
        });
        let regimes = regimes.iter().map(|run| EmittedImage {
            id: run.model().id.clone(),
            version: run.model().version.clone(),
            emitted: run.emitted().shared(),
        });
        Image {
            reached: *reached,
            series,
            patterns: patterns.collect(),
            regimes: regimes.collect(),
        }
    }

    /// The engine that an image is of, with its definitions in the order of the image.
    pub(crate) fn of_image(
        image: Image,
        patterns: Vec<Arc<Pattern>>,
        regimes: Vec<Arc<Regime>>,
    ) -> Self {
        let mut store = SeriesStore::default();
        let mut future = FutureObservations::default();
        for series in image.series {
            let index = store.keep(&series.id);
            store.set(index, series.observations);
            for (date, vintage) in series.future {
                future.set(date, index, Some(vintage));
            }
        }
        let patterns = patterns.into_iter().zip(image.patterns).collect();
        let patterns = on_all_processors(patterns, |(pattern, image)| {
            // A copy shares all series; they are in it already.
            let mut run = PatternRun::new(pattern, &mut store.clone());
            *run.emitted_mut() = Emitted::of(image.emitted);
            run
        });
        let regimes = regimes.into_iter().zip(image.regimes).collect();
        let regimes = on_all_processors(regimes, |(regime, image)| {
            let mut run = RegimeRun::new(regime, &mut store.clone(), &patterns);
            *run.emitted_mut() = Emitted::of(image.emitted);
            run
        });
        let mut engine = Self {
            store,
            future,
            reached: image.reached,
            patterns,
            regimes,
            readers: Vec::new(),
            evaluations: 0,
            undo: None,
            failing: Failing::default(),
            failed: Vec::new(),
            refilling: Refilling::default(),
        };
        engine.note_readers();
        engine
    }
}

/// Makes one thing of each other, in order.
fn on_all_processors<T: Send, R: Send>(of: Vec<T>, make: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let size = of.len().div_ceil(threads).max(1);
    let mut of = of.into_iter();
    let make = &make;
    thread::scope(|scope| {
        let mut making = Vec::with_capacity(threads);
        loop {
            let share: Vec<T> = of.by_ref().take(size).collect();
            if share.is_empty() {
                break;
            }
            making.push(scope.spawn(move || share.into_iter().map(make).collect::<Vec<R>>()));
        }
        let made = making.into_iter().map(|thread| match thread.join() {
            Ok(made) => made,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        made.flatten().collect()
    })
}
