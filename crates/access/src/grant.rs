//! What an authenticated client may do.

use std::{sync::Arc, time::Duration};

use atlas_events::{Draft, Event, EventFilter};
use tokio::time::sleep;

use crate::{
    Denied, Entry, Kind, Scope, Tokens,
    limits::{OpenStream, Use},
};

const CUSTOM: &str = "CustomEvent";
const CUSTOM_PREFIX: &str = "custom:";
/// How often a stream looks whether its token has expired meanwhile.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a client may do. Cheap to clone; the default may do everything, as where nobody is asked
/// who they are.
#[derive(Debug, Clone, Default)]
pub struct Access(Option<Arc<Granted>>);

#[derive(Debug)]
struct Granted {
    entry: Entry,
    used: Arc<Use>,
    /// Where the entry is from, and may be revoked; `None` if it holds for good.
    tokens: Option<Tokens>,
}

/// A place among the open streams of a client, given back when dropped.
#[derive(Debug, Default)]
pub struct StreamPlace(#[expect(dead_code, reason = "held for its drop")] Option<OpenStream>);

impl Access {
    /// May do everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// May do what an entry says, for good.
    pub fn of_entry(entry: Entry) -> Self {
        let used = Use::new(&entry);
        Self::granted(entry, used, None)
    }

    pub(crate) fn granted(entry: Entry, used: Arc<Use>, tokens: Option<Tokens>) -> Self {
        Self(Some(Arc::new(Granted {
            entry,
            used,
            tokens,
        })))
    }

    fn entry(&self) -> Option<&Entry> {
        self.0.as_deref().map(|granted| &granted.entry)
    }

    /// Name of the entry; `None` where nobody is asked who they are.
    pub fn name(&self) -> Option<&str> {
        self.entry().map(|entry| &*entry.name)
    }

    /// Whether it may do something of a kind.
    ///
    /// # Errors
    /// [`Denied::Scope`].
    pub fn require(&self, scope: Scope) -> Result<(), Denied> {
        match self.entry() {
            Some(entry) if !entry.scopes.contains(&scope) => Err(Denied::Scope(scope)),
            _ => Ok(()),
        }
    }

    /// Whether there is anything in the log that it may not see.
    pub fn is_limited(&self) -> bool {
        self.entry().is_some_and(|entry| {
            entry.sources.is_some() || entry.event_types.is_some() || entry.series.is_some()
        })
    }

    /// That it is limited to nothing.
    ///
    /// # Errors
    /// [`Denied::Limited`].
    pub fn require_unlimited(&self) -> Result<(), Denied> {
        if self.is_limited() {
            return Err(Denied::Limited);
        }
        Ok(())
    }

    /// Narrows what a reader wants to what it may see. Without a wish it gets all that is its own.
    ///
    /// # Errors
    /// [`Denied::Beyond`] if it wants by name what is not its own.
    pub fn narrow(&self, wanted: EventFilter) -> Result<EventFilter, Denied> {
        let Some(entry) = self.entry().filter(|_| self.is_limited()) else {
            return Ok(wanted);
        };
        for (index, id) in wanted.series_ids().unwrap_or_default().iter().enumerate() {
            entry.check_series(id, || format!("series_ids[{index}]"))?;
        }
        let event_types = entry.narrow_types(wanted.event_types())?;
        let series_ids = wanted.series_ids().unwrap_or_default().to_vec();
        // Every part was checked when it was read.
        let mut narrowed = EventFilter::new(event_types, series_ids).unwrap_or(wanted);
        if let Some(sources) = &entry.sources {
            narrowed = narrowed.published_by(Arc::clone(sources));
        }
        if let Some(series) = &entry.series {
            narrowed = narrowed.about_only(Arc::clone(series));
        }
        Ok(narrowed)
    }

    /// Whether it may see an event.
    pub fn sees(&self, event: &Event) -> bool {
        match self.narrow(EventFilter::default()) {
            Ok(filter) => filter.admits(event),
            Err(_) => false,
        }
    }

    /// Whether it extends to a series, whether or not there is one of this id; `field` is where the
    /// client gave it.
    ///
    /// # Errors
    /// [`Denied::Beyond`].
    pub fn check_series(&self, id: &str, field: &str) -> Result<(), Denied> {
        match self.entry() {
            Some(entry) => entry.check_series(id, || field.to_owned()),
            None => Ok(()),
        }
    }

    /// Whether it extends to a series.
    pub fn has_series(&self, id: &str) -> bool {
        self.check_series(id, "").is_ok()
    }

    /// Whether it extends to what was made of events of a type that are about these series;
    /// `field` is where the client gave them.
    ///
    /// # Errors
    /// [`Denied::Beyond`], [`Denied::NoSeries`], and [`Denied::Limited`] for one that is limited to
    /// sources: what was made of events does not tell whose they were.
    pub fn check_derived<'a>(
        &self,
        event_type: &str,
        series: impl IntoIterator<Item = &'a str>,
        field: &str,
    ) -> Result<(), Denied> {
        let Some(entry) = self.entry().filter(|_| self.is_limited()) else {
            return Ok(());
        };
        if entry.sources.is_some() {
            return Err(Denied::Limited);
        }
        let granted = entry.event_types.as_deref();
        if granted.is_some_and(|granted| !grants_type(granted, event_type)) {
            return Err(Denied::Beyond {
                field: String::new(),
                kind: Kind::EventType,
                value: event_type.to_owned(),
            });
        }
        let mut is_about_none = true;
        for id in series {
            is_about_none = false;
            entry.check_series(id, || field.to_owned())?;
        }
        if is_about_none && entry.series.is_some() {
            let field = field.to_owned();
            return Err(Denied::NoSeries { field });
        }
        Ok(())
    }

    /// Whether it may publish a batch; counts it, if so. `field` gives the path of an event.
    ///
    /// # Errors
    /// [`Denied::Beyond`], [`Denied::NoSeries`], [`Denied::TooLarge`], [`Denied::TooFast`] or
    /// [`Denied::TooMany`].
    pub fn publish(&self, drafts: &[Draft], field: impl Fn(usize) -> String) -> Result<(), Denied> {
        let Some(granted) = self.0.as_deref() else {
            return Ok(());
        };
        for (index, draft) in drafts.iter().enumerate() {
            granted.entry.check_draft(draft, || field(index))?;
        }
        let bytes: u64 = drafts.iter().map(|draft| draft.encoded.len() as u64).sum();
        match granted.entry.batch_bytes_max {
            Some(bytes_max) if bytes > bytes_max => Err(Denied::TooLarge { bytes, bytes_max }),
            _ => granted.used.take_events(drafts.len()),
        }
    }

    /// Takes a place among the client's open streams.
    ///
    /// # Errors
    /// [`Denied::TooManyStreams`].
    pub fn open_stream(&self) -> Result<StreamPlace, Denied> {
        let Some(granted) = self.0.as_deref() else {
            return Ok(StreamPlace::default());
        };
        let place = granted
            .entry
            .streams_max
            .map(|max| granted.used.open_stream(max));
        Ok(StreamPlace(place.transpose()?))
    }

    /// Whether it can end before its call does.
    pub fn may_end(&self) -> bool {
        self.0
            .as_deref()
            .is_some_and(|granted| granted.tokens.is_some())
    }

    /// Resolves once the entry has expired, was revoked, or says something else; never for one that
    /// holds for good.
    pub async fn ended(self) {
        let Some((granted, tokens)) = self
            .0
            .as_deref()
            .and_then(|granted| Some((granted, granted.tokens.as_ref()?)))
        else {
            return std::future::pending().await;
        };
        let mut changes = tokens.changes();
        while tokens.still_holds(&granted.entry) {
            tokio::select! {
                changed = changes.changed() => {
                    // The file is watched for as long as the process runs.
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
                () = sleep(EXPIRY_INTERVAL), if granted.entry.expires.is_some() => {}
            }
        }
    }
}

impl Entry {
    fn check_series(&self, id: &str, field: impl FnOnce() -> String) -> Result<(), Denied> {
        check(self.series.as_deref(), id, Kind::Series, field)
    }

    fn narrow_types(&self, wanted: Option<&[String]>) -> Result<Vec<String>, Denied> {
        let Some(granted) = self.event_types.as_deref() else {
            return Ok(wanted.unwrap_or_default().to_vec());
        };
        let Some(wanted) = wanted else {
            return Ok(granted.to_vec());
        };
        let mut narrowed = Vec::with_capacity(wanted.len());
        for (index, name) in wanted.iter().enumerate() {
            if grants_type(granted, name) {
                narrowed.push(name.clone());
                continue;
            }
            // All custom ones: of these, those that are granted.
            let custom = granted
                .iter()
                .filter(|granted| granted.starts_with(CUSTOM_PREFIX));
            let before = narrowed.len();
            if name == CUSTOM {
                narrowed.extend(custom.cloned());
            }
            if narrowed.len() == before {
                return Err(Denied::Beyond {
                    field: format!("event_types[{index}]"),
                    kind: Kind::EventType,
                    value: name.clone(),
                });
            }
        }
        Ok(narrowed)
    }

    fn check_draft(&self, draft: &Draft, field: impl Fn() -> String) -> Result<(), Denied> {
        let source = &draft.source_service;
        let at = |name: &str| format!("{}{name}", field());
        check(self.sources.as_deref(), source, Kind::Source, || {
            at(".source_service")
        })?;
        if let Some(granted) = self.event_types.as_deref()
            && !grants_type(granted, draft.event_type.as_str())
        {
            return Err(Denied::Beyond {
                field: field(),
                kind: Kind::EventType,
                value: draft.event_type.as_str().to_owned(),
            });
        }
        if self.series.is_some() && draft.series_ids.is_empty() {
            return Err(Denied::NoSeries { field: field() });
        }
        draft
            .series_ids
            .iter()
            .try_for_each(|id| self.check_series(id, &field))
    }
}

fn grants_type(granted: &[String], name: &str) -> bool {
    granted
        .iter()
        .any(|entry| entry == name || (entry == CUSTOM && name.starts_with(CUSTOM_PREFIX)))
}

fn check(
    granted: Option<&[String]>,
    value: &str,
    kind: Kind,
    field: impl FnOnce() -> String,
) -> Result<(), Denied> {
    match granted {
        Some(granted) if !granted.iter().any(|entry| entry == value) => Err(Denied::Beyond {
            field: field(),
            kind,
            value: value.to_owned(),
        }),
        _ => Ok(()),
    }
}
