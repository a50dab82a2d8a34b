//! Changes of definitions in one transaction: recorded, made in memory, and emitted.

use std::collections::BTreeMap;

use atlas_events::{DefinitionChange, Event};
use sqlx::PgConnection;
use tracing::{error, info};

use super::files::{Key, Wanted};
use crate::{
    CurrentState, Engine, Failed,
    lifecycle::{Origin, Turned},
    service::memory::{Definition, Memory},
    store::{self, Change, Kind},
};

/// Changes of definitions that hold for the points after the last one.
pub(crate) struct Edits<'a> {
    connection: &'a mut PgConnection,
    memory: &'a mut Memory,
    log_id: String,
    after_sequence: i64,
    /// The regimes as they were emitted last, or before all changes.
    emitted: BTreeMap<String, CurrentState>,
    /// The regimes after the last change.
    now: BTreeMap<String, CurrentState>,
    /// By which change each of them was another last.
    shifted: BTreeMap<String, Origin>,
    events: Vec<Event>,
}

fn regimes(engine: &Engine) -> BTreeMap<String, CurrentState> {
    let runs = engine.regimes().iter();
    runs.map(|run| (run.model().id.clone(), run.current_state()))
        .collect()
}

impl<'a> Edits<'a> {
    pub(crate) fn begin(
        connection: &'a mut PgConnection,
        memory: &'a mut Memory,
        log_id: String,
        after_sequence: i64,
    ) -> Self {
        let before = regimes(&memory.engine);
        Self {
            connection,
            memory,
            log_id,
            after_sequence,
            emitted: before.clone(),
            now: before,
            shifted: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Deploys a definition, or another version of it. False if it cannot be evaluated: what was running goes on.
    pub(super) async fn put(
        &mut self,
        (kind, id): &Key,
        wanted: &Wanted,
    ) -> Result<bool, sqlx::Error> {
        let before = self.memory.engine.current_state(*kind, id);
        let previous_version = version_of(&self.memory.engine, *kind, id);
        let failed = self.memory.put(self.connection, &wanted.definition).await?;
        let (own, others): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|failed| failed.before.is_none());
        if let Some(failed) = own.first() {
            error!(%kind, id, reason = failed.reason, "a definition cannot be evaluated");
            store::insert_suspension(self.connection, failed).await?;
            return Ok(false);
        }
        let action = match before {
            Some(_) => DefinitionChange::Replaced,
            None => DefinitionChange::Deployed,
        };
        let change = Change {
            kind: *kind,
            id: id.clone(),
            put: Some(wanted.put.clone()),
            after_sequence: self.after_sequence,
        };
        let turned = Turned {
            kind: *kind,
            id: id.clone(),
            name: wanted.definition.name().to_owned(),
            change: action,
            version: wanted.put.version.clone(),
            previous_version,
            series: wanted.definition.series_ids(),
            before,
            after: self.memory.engine.current_state(*kind, id),
            reason: String::new(),
        };
        store::delete_suspension(self.connection, *kind, id).await?;
        self.record(&change, &turned).await?;
        info!(%kind, id, version = wanted.put.version, "a definition is running");
        self.suspend_all(others).await?;
        Ok(true)
    }

    /// Takes a definition away.
    pub(super) async fn take_away(
        &mut self,
        (kind, id): &Key,
        change: DefinitionChange,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        let mut turned = self.known(*kind, id).await?;
        turned.change = change;
        reason.clone_into(&mut turned.reason);
        let others = self.memory.remove(*kind, id);
        if change == DefinitionChange::Removed {
            store::delete_suspension(self.connection, *kind, id).await?;
        }
        self.record(&ended(&turned, self.after_sequence), &turned)
            .await?;
        info!(%kind, id, "a definition was removed");
        self.suspend_all(others).await
    }

    /// Suspends a definition that was recorded as running, and is not.
    pub(super) async fn suspend_lost(
        &mut self,
        (kind, id): &Key,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        let turned = self.known(*kind, id).await?;
        let failed = Failed {
            kind: *kind,
            id: id.clone(),
            name: turned.name,
            version: turned.version,
            series: turned.series,
            reason: reason.to_owned(),
            before: None,
            cause: None,
            shifts: Vec::new(),
        };
        self.suspend_all(vec![failed]).await
    }

    /// Records that definitions failed, and what fails without them.
    pub(crate) async fn suspend_all(
        &mut self,
        mut waiting: Vec<Failed>,
    ) -> Result<(), sqlx::Error> {
        while let Some(mut failed) = waiting.pop() {
            let now = self.memory.engine.current_state(failed.kind, &failed.id);
            failed.before = failed.before.or(now);
            error!(kind = %failed.kind, id = failed.id, reason = failed.reason, "a definition is suspended");
            store::insert_suspension(self.connection, &failed).await?;
            waiting.extend(self.memory.remove(failed.kind, &failed.id));
            let turned = Turned::from(&failed);
            self.record(&ended(&turned, self.after_sequence), &turned)
                .await?;
        }
        Ok(())
    }

    /// What is known of a definition that is about to end.
    async fn known(&mut self, kind: Kind, id: &str) -> Result<Turned, sqlx::Error> {
        let put = store::last_put(self.connection, kind, id).await?;
        let definition = put.as_ref().and_then(|put| Definition::read(kind, put));
        let name = definition.as_ref().map_or(id, Definition::name);
        Ok(Turned {
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
            change: DefinitionChange::Unspecified,
            version: put.map_or_else(String::new, |put| put.version),
            previous_version: None,
            series: definition.map_or_else(Vec::new, |definition| definition.series_ids()),
            before: self.memory.engine.current_state(kind, id),
            after: None,
            reason: String::new(),
        })
    }

    async fn record(&mut self, change: &Change, turned: &Turned) -> Result<(), sqlx::Error> {
        let recorded =
            store::insert_change(self.connection, change, turned.change, &turned.reason).await?;
        let origin = Origin::of_change(&self.log_id, recorded.change, recorded.changed_at);
        self.events.push(origin.turned(turned));
        if let (Kind::Regime, Some(after)) = (turned.kind, &turned.after) {
            // Another version of a model may be in another regime.
            self.shift(&turned.id, &origin);
            self.emitted.insert(turned.id.clone(), after.clone());
        }
        let now = regimes(&self.memory.engine);
        for (id, current_state) in &now {
            let before = self.now.get(id);
            if before.is_some_and(|before| before.state != current_state.state) {
                self.shifted.insert(id.clone(), origin.clone());
            }
        }
        self.now = now;
        Ok(())
    }

    /// Emits a regime that differs from the one that was emitted last.
    fn shift(&mut self, id: &str, origin: &Origin) {
        let run = self.memory.engine.regime(id);
        let shift = run.zip(self.emitted.get(id)).and_then(|(run, emitted)| {
            let world = self.memory.engine.world();
            run.shift_from(emitted, world)
        });
        self.events
            .extend(shift.map(|shift| origin.shifted(&shift)));
    }

    /// What is to be emitted: what happened to the definitions, in order, and then the regimes that are others than before
    /// all of it. What one change takes back of another is not emitted.
    pub(crate) fn events(mut self) -> Vec<Event> {
        for (id, origin) in std::mem::take(&mut self.shifted) {
            self.shift(&id, &origin);
        }
        self.events
    }
}

fn ended(turned: &Turned, after_sequence: i64) -> Change {
    Change {
        kind: turned.kind,
        id: turned.id.clone(),
        put: None,
        after_sequence,
    }
}

fn version_of(engine: &Engine, kind: Kind, id: &str) -> Option<String> {
    match kind {
        Kind::Pattern => engine.pattern(id).map(|run| run.pattern().version.clone()),
        Kind::Regime => engine.regime(id).map(|run| run.model().version.clone()),
    }
}
