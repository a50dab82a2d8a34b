//! What a subscriber knows that folds the engine's own log, and nothing else.

use std::collections::BTreeMap;

use atlas_events::{
    DefinitionChange, DefinitionChangedEvent, DefinitionKind, Event, event::Payload,
};

use crate::process::life::Life;

/// Whether each pattern that is evaluated is active, and the state of each regime model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) patterns: BTreeMap<String, bool>,
    pub(crate) regimes: BTreeMap<String, String>,
}

impl Folded {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mut folded = Self::default();
        events.iter().for_each(|event| folded.take(event));
        folded
    }

    fn take(&mut self, event: &Event) {
        match event.payload.as_ref().unwrap() {
            Payload::ThresholdCrossed(crossed) => {
                let known = self.patterns.get_mut(&crossed.pattern_id);
                *known.unwrap() = crossed.active.unwrap();
            }
            Payload::RegimeTransition(transition) => {
                let known = self.regimes.get_mut(&transition.model_id);
                let known = known.unwrap();
                if !transition.definition_event_id.is_empty() {
                    assert_eq!(*known, transition.from_regime, "{event:?}");
                    assert_ne!(*known, transition.to_regime, "{event:?}");
                    assert_eq!(transition.cause_event_id, "");
                }
                known.clone_from(&transition.current_regime);
            }
            Payload::DefinitionChanged(changed) => self.definition(changed),
            other => panic!("{other:?}"),
        }
    }

    fn definition(&mut self, changed: &DefinitionChangedEvent) {
        let id = &changed.definition_id;
        if changed.change() == DefinitionChange::Stated {
            self.stated(changed);
            return;
        }
        let is_deployed = match changed.kind() {
            DefinitionKind::Pattern => {
                let before = changed.before.as_ref().map(|before| before.active.unwrap());
                assert_eq!(before, self.patterns.get(id).copied(), "{changed:?}");
                let after = changed.after.as_ref().map(|after| after.active.unwrap());
                set(&mut self.patterns, id, after)
            }
            DefinitionKind::Regime => {
                let before = changed.before.as_ref().map(|before| before.state.clone());
                assert_eq!(before, self.regimes.get(id).cloned(), "{changed:?}");
                let after = changed.after.as_ref().map(|after| after.state.clone());
                // One that is replaced is emitted about by a transition of its own, as readers of these expect.
                match (before, after) {
                    (Some(before), Some(_)) => set(&mut self.regimes, id, Some(before)),
                    (_, after) => set(&mut self.regimes, id, after),
                }
            }
            DefinitionKind::Unspecified => panic!("{changed:?}"),
        };
        let change = changed.change();
        assert_eq!(
            is_deployed,
            matches!(
                change,
                DefinitionChange::Deployed | DefinitionChange::Replaced
            ),
            "{changed:?}"
        );
        let was_deployed = changed.before.is_some();
        match change {
            DefinitionChange::Deployed => assert!(!was_deployed, "{changed:?}"),
            DefinitionChange::Replaced => assert!(was_deployed, "{changed:?}"),
            DefinitionChange::Suspended => assert!(was_deployed, "{changed:?}"),
            // Also what was suspended before.
            DefinitionChange::Removed => {}
            DefinitionChange::Unspecified | DefinitionChange::Stated => panic!("{changed:?}"),
        }
    }

    /// Of what came before nothing is known.
    fn stated(&mut self, changed: &DefinitionChangedEvent) {
        let (id, after) = (&changed.definition_id, changed.after.as_ref().unwrap());
        match after.active {
            Some(active) => *self.patterns.get_mut(id).unwrap() = active,
            None => self.regimes.get_mut(id).unwrap().clone_from(&after.state),
        }
    }

    /// What REST says of the same.
    pub(crate) async fn of_rest(life: &Life) -> Self {
        let patterns = life.get("/v1/patterns").await;
        let patterns = patterns["patterns"].as_array().unwrap().iter();
        let evaluated = patterns.filter(|pattern| pattern["enabled"] == true);
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let patterns = evaluated
            .map(|pattern| (text(&pattern["id"]), pattern["active"].as_bool().unwrap()))
            .collect();
        let regimes = life.get("/v1/regimes").await;
        let regimes = regimes["regimes"].as_array().unwrap().iter();
        let regimes = regimes
            // Before the first evaluation it is the initial one.
            .map(|regime| {
                let state = regime["state"].as_str().unwrap_or("calm").to_owned();
                (text(&regime["id"]), state)
            })
            .collect();
        Self { patterns, regimes }
    }
}

fn set<T>(all: &mut BTreeMap<String, T>, id: &str, value: Option<T>) -> bool {
    let is_there = value.is_some();
    match value {
        Some(value) => drop(all.insert(id.to_owned(), value)),
        None => drop(all.remove(id)),
    }
    is_there
}
