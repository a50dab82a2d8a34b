//! The bodies of requests are taken in before their handlers, within bounds of size and time.

use std::time::Duration;

use access::{Caller, HeldBytes, Shares};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, header},
};
use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use crate::rest::{
    problem::{Problem, ProblemKind},
    server::Stopping,
};

/// What the JSON of a body takes in memory once it is read, for each of its bytes.
const COST: u64 = 8;

const MEBIBYTE: usize = 1024 * 1024;

/// How bodies are bounded.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    /// How long a client may take to send one.
    pub(crate) timeout: Duration,
    /// What those of all requests may hold until these are answered, of each caller and together.
    pub(crate) shares: Shares,
}

/// A body that is there as a whole.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: Bytes,
    _held: HeldBytes,
}

impl Bodies {
    /// Waits for the body of a request. `Taken` is to be kept until that is answered.
    pub(crate) async fn take_in(
        &self,
        caller: &Caller,
        request: Request,
        bytes_max: usize,
    ) -> Result<(Request, Taken), Problem> {
        let (parts, body) = request.into_parts();
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large(bytes_max));
        }
        let held = self.shares.of(caller.share()).hold(0)?;
        let stopping = parts.extensions.get::<Stopping>().cloned();
        let stopping = stopping.unwrap_or_default();
        let collecting = collect(body, declared_size(&parts.headers), bytes_max, &held);
        let bytes = tokio::select! {
            collected = timeout(self.timeout, collecting) => {
                collected.map_err(|_| late(self.timeout))??
            }
            () = stopping.grace_over() => return Err(shutting_down()),
        };
        let request = Request::from_parts(parts, Body::from(bytes.clone()));
        let taken = Taken { bytes, _held: held };
        Ok((request, taken))
    }
}

async fn collect(
    body: Body,
    declared_size: usize,
    bytes_max: usize,
    held: &HeldBytes,
) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream().map_err(|_| incomplete()).boxed();
    let mut collected = Vec::new();
    while let Some(chunk) = chunks.try_next().await? {
        if collected.len() + chunk.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        held.add(COST * chunk.len() as u64)?;
        if collected.is_empty() {
            collected.reserve(declared_size.min(bytes_max));
        }
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.into())
}

fn declared_size(headers: &HeaderMap) -> usize {
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|declared| declared.to_str().ok()?.parse().ok());
    declared.unwrap_or_default()
}

fn too_large(bytes_max: usize) -> Problem {
    let most = match bytes_max / MEBIBYTE {
        0 => format!("{} KiB", bytes_max / 1024),
        mebibytes => format!("{mebibytes} MiB"),
    };
    let detail = format!("the body has more than {most}");
    Problem::new(ProblemKind::TooLarge, detail).with("body_bytes_max", bytes_max)
}

fn incomplete() -> Problem {
    let detail = "the body ended before it was complete";
    Problem::new(ProblemKind::InvalidRequest, detail)
}

fn late(timeout: Duration) -> Problem {
    let seconds = timeout.as_secs_f64();
    let detail = format!("the body was not complete within {seconds} s; nothing was stored");
    Problem::new(ProblemKind::BodyTimedOut, detail)
}

fn shutting_down() -> Problem {
    let detail = "the service is ending and the body is not complete; nothing was stored";
    Problem::new(ProblemKind::ShuttingDown, detail)
}
