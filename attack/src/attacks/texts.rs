//! Characters that no text may hold, in every text that a client sends.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use prost::Message;
use tokio::time::timeout;
use tonic::Code;

use super::fields::{SUBSCRIBE, administration, over_rest, publishes, reads};
use crate::{
    clients,
    target::Target,
    trial::Attack,
    wire::{Call, Connection},
};

/// A subscription that says nothing for so long was accepted.
const STREAM_SILENCE: Duration = Duration::from_secs(8);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "texts",
            "NUL, control characters and 200 KB in every text of every request",
            |target| Box::pin(texts(target)),
        )
        .memory_mib(128),
    ]
}

/// What is put into each field.
fn bad_texts() -> Vec<(&'static str, String)> {
    vec![
        ("NUL", "a\0b".to_owned()),
        ("control", "a\u{1b}[31m\r\nb".to_owned()),
        ("direction", "a\u{202e}b".to_owned()),
        ("long", "x".repeat(200_000)),
    ]
}

async fn texts(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let collector = Connection::open(target.collector.grpc).await?;
    let engine = Connection::open(target.engine.grpc).await?;
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (kind, text) in bad_texts() {
        let publishes = publishes(&text).into_iter();
        let publishes =
            publishes.map(|(f, request)| (f, "EventPublisher/Publish", request.encode_to_vec()));
        let to_collector = publishes
            .chain(reads(&text))
            .map(|request| (&collector, request));
        let to_engine = administration(&text)
            .into_iter()
            .map(|request| (&engine, request));
        for (connection, (field, method, message)) in to_collector.chain(to_engine) {
            tried += 1;
            let calling = connection.call(Call::new(method, token), &message);
            let answer = match timeout(STREAM_SILENCE, calling).await {
                Ok(answer) => answer.map(|answer| (answer.code, answer.message)),
                // A subscription to what never comes.
                Err(_) if method == SUBSCRIBE => Ok((Code::Ok, String::new())),
                Err(_) => bail!("{method} has no answer"),
            };
            if let Some(problem) = problem(kind, answer) {
                wrong.push(format!("{method} with {kind} in {field}: {problem}"));
            }
        }
    }
    let texts: Vec<_> = bad_texts().into_iter().map(|(_, text)| text).collect();
    for (process, path, body) in over_rest(target, &texts) {
        tried += 1;
        let (status, reply) = match body {
            Some(body) => clients::post(process, &path, token, body).await?,
            None => clients::get(process, &path, token).await?,
        };
        // Without a key for its source a collector takes no series.
        let is_collecting = reply["title"] != "Not collecting";
        if status >= 500 && is_collecting {
            wrong.push(format!("{}: {status} {reply}", clients::clipped(&path)));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {tried}: {}",
        wrong.len(),
        wrong.join("; ")
    );
    Ok(format!(
        "{tried} requests, none of them INTERNAL or 500, no NUL accepted"
    ))
}

/// Nothing is the fault of the service, and no NUL is let in.
fn problem(kind: &str, answer: Result<(Code, String)>) -> Option<String> {
    match answer {
        Err(error) => Some(format!("{error:#}")),
        Ok((Code::Ok, _)) if kind == "NUL" => Some("accepted".to_owned()),
        Ok((code, message)) => {
            let faults = [
                Code::Internal,
                Code::Unknown,
                Code::Unavailable,
                Code::DataLoss,
            ];
            faults
                .contains(&code)
                .then(|| format!("{code:?} {message}"))
        }
    }
}
