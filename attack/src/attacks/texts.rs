//! Characters that no text may hold, in every text that a client sends.

use anyhow::{Result, ensure};
use prost::Message;
use tonic::Code;

use super::fields::{administration, over_rest, publishes, reads};
use crate::{
    clients,
    target::Target,
    trial::Attack,
    wire::{Call, Connection},
};

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
            let answer = connection.call(Call::new(method, token), &message).await;
            if let Some(problem) = problem(kind, answer.map(|answer| (answer.code, answer.message)))
            {
                wrong.push(format!("{method} with {kind} in {field}: {problem}"));
            }
        }
    }
    let texts: Vec<_> = bad_texts().into_iter().map(|(_, text)| text).collect();
    for (process, path, body) in over_rest(target, &texts) {
        tried += 1;
        let (status, _) = match body {
            Some(body) => clients::post(process, &path, token, body).await?,
            None => clients::get(process, &path, token).await?,
        };
        if status >= 500 {
            wrong.push(format!("{}: {status}", clients::clipped(&path)));
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
