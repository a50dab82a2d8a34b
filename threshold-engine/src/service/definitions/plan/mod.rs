//! What follows from the files, the switches, and what is running: what is to be deployed and what taken away.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use atlas_events::DefinitionChange;
use sqlx::PgConnection;

use super::files::{Files, Key, Wanted};
use crate::store::{self, Kind, Last, Suspension, Switch};

/// What the database says.
pub(super) struct Known {
    pub(super) last: Vec<Last>,
    pub(super) switches: HashMap<String, Switch>,
    pub(super) suspensions: Vec<Suspension>,
}

/// What this process has seen of its own files. Several engines may share a database: each acts where its own files
/// have changed, so that two whose files differ do not undo each other for ever.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// The versions that were taken up when the files were read before; `None` at the start, when the files decide.
    taken_up: Option<BTreeMap<Key, String>>,
    /// What the own files held once and do not hold any more, since when.
    gone: BTreeMap<Key, Instant>,
}

/// What is to be done.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) put: Vec<(&'a Key, &'a Wanted)>,
    pub(super) ended: Vec<Ended>,
    /// Those of the files that are switched off.
    pub(super) off: Vec<&'a Key>,
    /// Definitions that another engine decides about.
    pub(super) conflicts: Vec<Conflict>,
    /// Something is gone, but not for long enough.
    pub(super) is_waiting: bool,
}

/// A definition that is to be taken away.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) key: Key,
    pub(super) change: DefinitionChange,
    pub(super) reason: String,
}

/// Another engine of the same database has other files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// In the files of this engine; absent if they do not hold it.
    pub(crate) own_version: Option<String>,
    /// At work; absent if it was taken away.
    pub(crate) running_version: Option<String>,
}

impl Known {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Ok(Self {
            last: store::last_changes(&mut *connection).await?,
            switches: store::last_switches(connection).await?,
            suspensions: store::suspensions(&mut *connection).await?,
        })
    }

    fn switch(&self, (kind, id): &Key) -> Option<&Switch> {
        let switch = self.switches.get(id);
        switch.filter(|_| *kind == Kind::Pattern)
    }

    fn last(&self, (kind, id): &Key) -> Option<&Last> {
        let mut all = self.last.iter();
        all.find(|last| last.kind == *kind && last.id == *id)
    }

    fn has_failed(&self, (kind, id): &Key, version: &str) -> bool {
        let failed = |s: &Suspension| s.kind == *kind && s.id == *id && s.version == version;
        self.suspensions.iter().any(failed)
    }
}

impl Own {
    /// What follows from the files. What is gone from them is taken away if it has been gone for `grace`.
    pub(super) fn plan<'a>(
        &mut self,
        files: &'a Files,
        known: &Known,
        now: Instant,
        grace: Duration,
    ) -> Plan<'a> {
        let mut plan = Plan::default();
        for (key, wanted) in &files.wanted {
            self.gone.remove(key);
            self.plan_wanted(key, wanted, known, &mut plan);
        }
        for last in &known.last {
            let key = (last.kind, last.id.clone());
            if !files.wanted.contains_key(&key) && (last.put.is_some() || last.is_suspended) {
                self.plan_missing(key, last, files, known, (now, grace), &mut plan);
            }
        }
        plan
    }

    fn plan_wanted<'a>(
        &self,
        key: &'a Key,
        wanted: &'a Wanted,
        known: &Known,
        plan: &mut Plan<'a>,
    ) {
        let last = known.last(key);
        let running = last.and_then(|last| last.put.as_ref());
        let switch = known.switch(key);
        if !switch.map_or(wanted.enabled, |switch| switch.enabled) {
            if running.is_some() {
                let reason = switch.map_or("its file says enabled = false", |s| &s.reason);
                plan.ended.push(suspended(key.clone(), reason));
            }
            plan.off.push(key);
            return;
        }
        let version = &wanted.put.version;
        let runs = running.is_some_and(|running| running.version == *version);
        if runs || known.has_failed(key, version) {
            return;
        }
        // Another engine has changed what this one had taken up, whose own file is the same since.
        let taken_up = self.taken_up.as_ref().and_then(|all| all.get(key));
        let is_foreign = last.is_some_and(|last| !last.is_suspended);
        if taken_up == Some(version) && is_foreign {
            plan.conflicts.push(Conflict {
                kind: key.0,
                id: key.1.clone(),
                own_version: Some(version.clone()),
                running_version: running.map(|running| running.version.clone()),
            });
            return;
        }
        plan.put.push((key, wanted));
    }

    fn plan_missing(
        &mut self,
        key: Key,
        last: &Last,
        files: &Files,
        known: &Known,
        (now, grace): (Instant, Duration),
        plan: &mut Plan<'_>,
    ) {
        let off = known.switch(&key).filter(|switch| !switch.enabled);
        let is_hidden = |put: &crate::store::Put| files.may_hide(&put.file);
        if let Some(put) = &last.put
            && is_hidden(put)
        {
            if let Some(switch) = off {
                plan.ended.push(suspended(key, &switch.reason));
            }
            return;
        }
        let was_own = self
            .taken_up
            .as_ref()
            .is_none_or(|all| all.contains_key(&key));
        if was_own {
            self.gone.entry(key.clone()).or_insert(now);
        }
        match self.gone.get(&key) {
            Some(since) if now.duration_since(*since) >= grace => plan.ended.push(Ended {
                key,
                change: DefinitionChange::Removed,
                reason: String::new(),
            }),
            Some(_) => plan.is_waiting = true,
            None => plan.conflicts.push(Conflict {
                kind: key.0,
                id: key.1,
                own_version: None,
                running_version: last.put.as_ref().map(|put| put.version.clone()),
            }),
        }
    }

    /// What was planned is done.
    pub(super) fn done(&mut self, files: &Files, off: &[Key]) {
        // Those that are off are taken up when they are switched on.
        let versions = files.wanted.iter().filter(|(key, _)| !off.contains(key));
        let versions = versions.map(|(key, wanted)| (key.clone(), wanted.put.version.clone()));
        let versions: BTreeMap<_, _> = versions.collect();
        // What a mistake hides for the time being is as it was, and what is gone may come back.
        let before = self.taken_up.take().unwrap_or_default();
        self.taken_up = Some(before.into_iter().chain(versions).collect());
    }

    /// A definition is not there any more.
    pub(super) fn forget(&mut self, key: &Key) {
        self.gone.remove(key);
        if let Some(taken_up) = &mut self.taken_up {
            taken_up.remove(key);
        }
    }
}

fn suspended(key: Key, reason: &str) -> Ended {
    Ended {
        key,
        change: DefinitionChange::Suspended,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
