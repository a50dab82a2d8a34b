//! `atlas get`, `atlas range` and `atlas info`: single looks into a log.

use atlas_events::{
    FindEventRequest, GetLogInfoRequest, GetLogInfoResponse, TimeRangeRequest, Timestamp,
    event_log_client::EventLogClient, event_stream_client::EventStreamClient,
};
use futures::FutureExt;

use crate::{
    arguments::{Format, GetOptions, InfoOptions, Printing, RangeOptions},
    client::{
        connection::{Server, connect},
        failure::Failure,
    },
    commands::tail::nothing_matched,
    print::{
        output::Output,
        text::{Renderer, time},
    },
};

pub(crate) async fn get(
    server: &Server,
    options: &GetOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let request = FindEventRequest {
        event_id: options.event_id.clone(),
    };
    let mut client = EventLogClient::new(connect(server).await?);
    let found = client.find_event(request).await?.into_inner();
    let event = found.event.unwrap_or_default();
    match options.format {
        Format::Json => output.json(&event)?,
        Format::Text => {
            let printing = Printing {
                format: Format::Text,
                ids: true,
            };
            output.line(Renderer::new(printing).line(&event))?;
        }
    }
    Ok(())
}

pub(crate) async fn range(
    server: &Server,
    options: &RangeOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let request = TimeRangeRequest {
        start_from: options.since,
        end_at: options.before,
        event_types: options.wanted.event_types(),
        series_ids: options.wanted.series_ids.clone(),
    };
    let mut client = EventStreamClient::new(connect(server).await?);
    let answer = match options.before {
        Some(_) => client.get_events_between(request).await?,
        None => client.get_events_since(request).await?,
    };
    let mut stream = answer.into_inner();
    let mut renderer = Renderer::new(options.printing);
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        let next = match stream.message().now_or_never() {
            Some(next) => next,
            None => {
                output.flush()?;
                stream.message().await
            }
        };
        let Some(event) = next? else {
            if printed == 0 && !options.wanted.is_everything() {
                nothing_matched(&options.wanted);
            }
            break;
        };
        if !options.wanted.admits(&event) {
            continue;
        }
        match options.printing.format {
            Format::Json => output.json(&event)?,
            Format::Text => output.line(renderer.line(&event))?,
        }
        printed += 1;
    }
    Ok(())
}

pub(crate) async fn info(
    server: &Server,
    options: &InfoOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut client = EventLogClient::new(connect(server).await?);
    let info = client
        .get_log_info(GetLogInfoRequest {})
        .await?
        .into_inner();
    match options.format {
        Format::Json => output.json(&info)?,
        Format::Text => print_info(&info, output)?,
    }
    Ok(())
}

fn print_info(info: &GetLogInfoResponse, output: &mut Output) -> Result<(), Failure> {
    let known = |at: Option<Timestamp>| at.map_or_else(|| "none".into(), |at| time(Some(at)));
    let kept = (info.last_position + 1).saturating_sub(info.first_position);
    for (name, value) in [
        ("log", info.log_id.clone()),
        ("first position", info.first_position.to_string()),
        ("last position", info.last_position.to_string()),
        ("events kept", kept.to_string()),
        ("latest occurred", known(info.latest_occurred_at)),
        ("latest recorded", known(info.latest_recorded_at)),
        ("accepts since", known(info.earliest_accepted)),
        ("edition", info.edition.clone()),
        ("event types", info.event_types.join(" ")),
    ] {
        output.line(format_args!("{name:<16} {value}"))?;
    }
    Ok(())
}
