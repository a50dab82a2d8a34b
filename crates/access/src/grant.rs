//! What an authenticated client may do.

use std::{collections::HashSet, sync::Arc, time::Duration};

use atlas_events::{Draft, Event, EventFilter, WantedEvents, clip};
use tokio::time::sleep;

use crate::{
    Denied, Entry, Kind, Scope, Tokens,
    bounds::{OpenStream, Use},
};

const CUSTOM: &str = "CustomEvent";
const CUSTOM_PREFIX: &str = "custom:";
/// At most this many characters of a name are repeated in a refusal.
const NAME_CHARS_MAX: usize = 100;
/// How often a stream looks whether its token has expired meanwhile.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a client may do. Cheap to clone.
///
/// There is no default. An access that is not limited comes from a [`Gate`](crate::Gate) or an
/// entry only, and code that has lost track of its caller uses [`Access::nothing`].
#[derive(Debug, Clone)]
pub struct Access(Extent);

#[derive(Debug, Clone)]
enum Extent {
    Nothing,
    Entry(Arc<Granted>),
    Everything,
}

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
    /// May do nothing, as a caller who was not asked who it is.
    pub fn nothing() -> Self {
        Self(Extent::Nothing)
    }

    /// May do everything. For an open gate only.
    pub(crate) fn everything() -> Self {
        Self(Extent::Everything)
    }

    /// May do what an entry says, for good.
    pub fn of_entry(entry: Entry) -> Self {
        let used = Use::new(&entry);
        Self::granted(entry, used, None)
    }

    pub(crate) fn granted(entry: Entry, used: Arc<Use>, tokens: Option<Tokens>) -> Self {
        Self(Extent::Entry(Arc::new(Granted {
            entry,
            used,
            tokens,
        })))
    }

    /// `None` if it may do everything.
    fn granted_part(&self) -> Result<Option<&Granted>, Denied> {
        match &self.0 {
            Extent::Nothing => Err(Denied::NoRule),
            Extent::Entry(granted) => Ok(Some(granted)),
            Extent::Everything => Ok(None),
        }
    }

    /// `None` if it may do everything.
    fn entry(&self) -> Result<Option<&Entry>, Denied> {
        Ok(self.granted_part()?.map(|granted| &granted.entry))
    }

    /// Name of the entry; `None` where nobody is asked who they are.
    pub fn name(&self) -> Option<&str> {
        let entry = self.entry().ok().flatten();
        entry.map(|entry| &*entry.name)
    }

    /// Whether it may do something of a kind.
    ///
    /// # Errors
    /// [`Denied::Scope`], or [`Denied::NoRule`] if it may do nothing.
    pub fn require(&self, scope: Scope) -> Result<(), Denied> {
        match self.entry()? {
            Some(entry) if !entry.scopes.contains(&scope) => Err(Denied::Scope(scope)),
            _ => Ok(()),
        }
    }

    /// Whether there is anything in the log that it may not see.
    pub fn is_limited(&self) -> bool {
        match self.entry() {
            Ok(entry) => entry.is_some_and(Entry::is_limited),
            Err(_) => true,
        }
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

    /// That it may know what is derived from events of others, of this type; [`Access::check_derived`]
    /// then decides about series.
    ///
    /// # Errors
    /// [`Denied::Limited`] or [`Denied::Beyond`].
    pub fn require_derived(&self, event_type: &str) -> Result<(), Denied> {
        match self.check_derived(event_type, [], "") {
            Err(Denied::NoSeries { .. }) => Ok(()),
            checked => checked,
        }
    }

    /// Narrows what a reader wants to what it may see. Without a wish it gets all that is its own.
    ///
    /// # Errors
    /// [`Denied::Beyond`] if it wants by name what is not its own, [`Denied::NoFilter`] if what is
    /// left cannot be put into a filter.
    pub fn narrow(&self, wanted: WantedEvents) -> Result<EventFilter, Denied> {
        let Some(entry) = self.entry()? else {
            return Ok(EventFilter::unrestricted(wanted));
        };
        for (index, id) in wanted.series_ids().unwrap_or_default().iter().enumerate() {
            entry.check_series(id, || format!("series_ids[{index}]"))?;
        }
        let wanted = match entry.event_types.as_deref() {
            None => wanted,
            Some(granted) => {
                let event_types = narrow_types(granted, wanted.event_types())?;
                // A filter without types wants all of them.
                if event_types.is_empty() {
                    return Err(Denied::NoFilter);
                }
                let series_ids = wanted.series_ids().unwrap_or_default().to_vec();
                WantedEvents::new(event_types, series_ids).map_err(|_| Denied::NoFilter)?
            }
        };
        let mut narrowed = EventFilter::unrestricted(wanted);
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
        match self.narrow(WantedEvents::default()) {
            Ok(filter) => filter.admits(event),
            Err(_) => false,
        }
    }

    /// Whether it extends to a series, whether or not there is one of this id; `field` is where the
    /// client gave it.
    ///
    /// # Errors
    /// [`Denied::Beyond`], also if it does not extend to the events of a collection, which are of
    /// `event_type` and by `source`.
    pub fn check_collected(
        &self,
        (event_type, source): (&str, &str),
        id: &str,
        field: &str,
    ) -> Result<(), Denied> {
        let Some(entry) = self.entry()? else {
            return Ok(());
        };
        entry.check_series(id, || field.to_owned())?;
        entry.check_type(event_type, String::new)?;
        check(entry.sources.as_deref(), source, Kind::Source, String::new)
    }

    /// Whether it extends to what was derived from events of a type that are about these series;
    /// `field` is where the client gave them.
    ///
    /// # Errors
    /// [`Denied::Beyond`], [`Denied::NoSeries`], and [`Denied::Limited`] for one that is limited to
    /// sources: what was derived from events does not say whose they were.
    pub fn check_derived<'a>(
        &self,
        event_type: &str,
        series: impl IntoIterator<Item = &'a str>,
        field: &str,
    ) -> Result<(), Denied> {
        let Some(entry) = self.entry()? else {
            return Ok(());
        };
        if entry.sources.is_some() {
            return Err(Denied::Limited);
        }
        entry.check_type(event_type, String::new)?;
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
        let Some(granted) = self.granted_part()? else {
            return Ok(());
        };
        for (index, draft) in drafts.iter().enumerate() {
            granted.entry.check_draft(draft, || field(index))?;
        }
        let bytes = drafts.iter().map(|draft| draft.encoded.len()).sum();
        granted.entry.check_bytes(bytes)?;
        granted.used.take_events(drafts.len())
    }

    /// Whether it may publish a batch that arrived in so many bytes, before anything is decoded.
    ///
    /// # Errors
    /// [`Denied::TooLarge`].
    pub fn check_batch_bytes(&self, bytes: usize) -> Result<(), Denied> {
        match self.entry()? {
            Some(entry) => entry.check_bytes(bytes),
            None => Ok(()),
        }
    }

    /// Takes a place among the client's open streams.
    ///
    /// # Errors
    /// [`Denied::TooManyStreams`].
    pub fn open_stream(&self) -> Result<StreamPlace, Denied> {
        let Some(granted) = self.granted_part()? else {
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
        let granted = self.granted_part().ok().flatten();
        granted.is_some_and(|granted| granted.tokens.is_some())
    }

    /// Resolves once the entry has expired, was revoked, or says something else; never for one that
    /// holds for good.
    pub async fn ended(self) {
        let granted = self.granted_part().ok().flatten();
        let Some((granted, tokens)) =
            granted.and_then(|granted| Some((granted, granted.tokens.as_ref()?)))
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

    fn check_bytes(&self, bytes: usize) -> Result<(), Denied> {
        let bytes = bytes as u64;
        match self.batch_bytes_max {
            Some(bytes_max) if bytes > bytes_max => Err(Denied::TooLarge { bytes, bytes_max }),
            _ => Ok(()),
        }
    }

    fn is_limited(&self) -> bool {
        self.sources.is_some() || self.event_types.is_some() || self.series.is_some()
    }

    fn check_type(&self, name: &str, field: impl FnOnce() -> String) -> Result<(), Denied> {
        match self.event_types.as_deref() {
            Some(granted) if !grants_type(granted, name) => Err(Denied::Beyond {
                field: field(),
                kind: Kind::EventType,
                value: clipped(name),
            }),
            _ => Ok(()),
        }
    }

    fn check_draft(&self, draft: &Draft, field: impl Fn() -> String) -> Result<(), Denied> {
        let source = &draft.source_service;
        let at = |name: &str| format!("{}{name}", field());
        check(self.sources.as_deref(), source, Kind::Source, || {
            at(".source_service")
        })?;
        self.check_type(draft.event_type.as_str(), &field)?;
        if self.series.is_some() && draft.series_ids.is_empty() {
            return Err(Denied::NoSeries { field: field() });
        }
        draft
            .series_ids
            .iter()
            .try_for_each(|id| self.check_series(id, &field))
    }
}

/// A name as it is repeated to whoever gave it.
fn clipped(name: &str) -> String {
    clip(name, NAME_CHARS_MAX).into_owned()
}

/// Those of the wanted types that are granted, each once.
fn narrow_types(granted: &[String], wanted: Option<&[String]>) -> Result<Vec<String>, Denied> {
    let all_custom = granted.iter().any(|name| name == CUSTOM);
    let mut seen = HashSet::new();
    let mut narrowed = Vec::new();
    for (index, name) in wanted.unwrap_or(granted).iter().enumerate() {
        // All custom types: of these, those that are granted.
        let own: Vec<&String> = match name == CUSTOM && !all_custom {
            true => granted
                .iter()
                .filter(|name| name.starts_with(CUSTOM_PREFIX))
                .collect(),
            false => Vec::from_iter(grants_type(granted, name).then_some(name)),
        };
        if own.is_empty() {
            return Err(Denied::Beyond {
                field: format!("event_types[{index}]"),
                kind: Kind::EventType,
                value: clipped(name),
            });
        }
        narrowed.extend(own.into_iter().filter(|name| seen.insert(*name)).cloned());
    }
    Ok(narrowed)
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
            value: clipped(value),
        }),
        _ => Ok(()),
    }
}
