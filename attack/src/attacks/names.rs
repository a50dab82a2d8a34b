//! Names that clients make up, each of which could become a metric.

use std::time::Duration;

use anyhow::{Result, ensure};
use atlas_events::{SubscriptionRequest, event_stream_client::EventStreamClient};
use futures::{StreamExt, TryStreamExt, stream};
use rand::random;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::{
    clients,
    target::Target,
    trial::Attack,
    wire::{Call, Connection, with_token},
};

const NAMES: usize = 2_000;
/// So many lines more are let be: of other things that happened meanwhile.
const LINES_MORE: usize = 300;
/// Those that have gone are forgotten by then.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "names-of-consumers",
            "2,000 subscriptions with names that are made up",
            |target| Box::pin(consumers(target)),
        )
        .memory_mib(192),
        Attack::new(
            "names-of-routes",
            "2,000 paths, methods and calls that are made up",
            |target| Box::pin(routes(target)),
        )
        .memory_mib(128),
        Attack::new(
            "names-in-audit",
            "500 administrative calls to each program with a token that may not make them",
            |target| Box::pin(audit(target)),
        )
        .memory_mib(128),
    ]
}

async fn consumers(target: &Target) -> Result<String> {
    let before = clients::metrics_lines(&target.collector).await?;
    let token = target.tokens.full.expose();
    let channel = clients::channel(target.collector.grpc).await?;
    let subscribing = stream::iter(0..NAMES).map(|_| {
        let mut client = EventStreamClient::new(channel.clone());
        let request = SubscriptionRequest {
            consumer: format!("made up {:016x}", random::<u64>()),
            ..SubscriptionRequest::default()
        };
        async move { client.subscribe_to_events(with_token(request, token)).await }
    });
    // So many are open at a time.
    let mut open = std::collections::VecDeque::new();
    let mut subscribing = std::pin::pin!(subscribing.buffer_unordered(20));
    let mut most = before;
    while let Some(stream) = subscribing.try_next().await? {
        open.push_back(stream);
        if open.len() > 100 {
            open.pop_front();
        }
        if random::<u8>() == 0 {
            most = most.max(clients::metrics_lines(&target.collector).await?);
        }
    }
    drop(open);
    let began = Instant::now();
    loop {
        let after = clients::metrics_lines(&target.collector).await?;
        most = most.max(after);
        if after <= before + LINES_MORE {
            break;
        }
        let since = began.elapsed();
        ensure!(
            since < FORGOTTEN_WITHIN,
            "/metrics had {before} lines and has {after}"
        );
        sleep(Duration::from_millis(200)).await;
    }
    // While they are there they have their lines, which the bound on open streams bounds.
    let bound = before + NAMES;
    ensure!(
        most <= bound,
        "/metrics had {before} lines and {most} meanwhile"
    );
    Ok(format!("{before} lines before, {most} at the most"))
}

async fn audit(target: &Target) -> Result<String> {
    const CALLS: usize = 500;
    /// What the services keep of one caller in a minute, and half as much again for the next.
    const RECORDED_MAX: usize = 60 * 3 / 2;
    let token = target.tokens.tenant.expose();
    let made_up = || format!("X{:08x}", random::<u32>());
    let (client, rest) = (clients::rest()?, target.collector.rest);
    let asking = stream::iter(0..CALLS).map(|_| {
        let url = format!("http://{rest}/v1/series/{}/pause", made_up());
        let request = client.post(url).bearer_auth(token).json(&());
        async move { anyhow::Ok(request.send().await?.status().as_u16()) }
    });
    let statuses: Vec<u16> = asking.buffer_unordered(20).try_collect().await?;
    ensure!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
    let connection = Connection::open(target.engine.grpc).await?;
    for _ in 0..CALLS {
        let call = Call::new("Checkpoints/ResetCheckpoint", token);
        let answer = connection.call(call, &[]).await?;
        ensure!(answer.code == Code::PermissionDenied, "{answer:?}");
    }
    let mut notes = Vec::new();
    for process in target.processes() {
        let full = target.tokens.full.expose();
        let (status, page) = clients::get(process, "/v1/audit?limit=1000", full).await?;
        ensure!(status == 200, "/v1/audit: {status} {page}");
        let actions = page["actions"].as_array().into_iter().flatten();
        let recorded = actions.filter(|action| action["who"] == "tenant").count();
        let name = process.name;
        ensure!(recorded > 0, "{name} records nothing");
        ensure!(
            recorded <= RECORDED_MAX,
            "{name} records {recorded} of {CALLS}"
        );
        notes.push(format!("{name} records {recorded} of {CALLS}"));
    }
    Ok(notes.join("; "))
}

async fn routes(target: &Target) -> Result<String> {
    let processes = target.processes();
    let mut before = Vec::new();
    for process in processes {
        before.push(clients::metrics_lines(process).await?);
    }
    let client = clients::rest()?;
    let token = target.tokens.full.expose();
    for process in processes {
        let asking = stream::iter(0..NAMES).map(|index| {
            let name = format!("X{:08x}", random::<u32>());
            let path = match index % 3 {
                0 => format!("/{name}"),
                1 => format!("/v1/patterns/{name}"),
                _ => format!("/v1/series/{name}/observations"),
            };
            let method = if index % 2 == 0 { "GET" } else { &name };
            let method = reqwest::Method::from_bytes(method.as_bytes());
            let request =
                method.map(|m| client.request(m, format!("http://{}{path}", process.rest)));
            async move {
                let answer = request?.bearer_auth(token).send().await?;
                anyhow::Ok(answer.status().as_u16())
            }
        });
        let statuses: Vec<u16> = asking.buffer_unordered(20).try_collect().await?;
        let fault = statuses.iter().find(|status| **status >= 500);
        ensure!(fault.is_none(), "{}: {fault:?}", process.name);
        let connection = Connection::open(process.grpc).await?;
        for _ in 0..NAMES / 4 {
            let method = format!("{:08x}/{:08x}", random::<u32>(), random::<u32>());
            let answer = connection.call(Call::new(&method, token), &[]).await?;
            let allowed = [Code::Unimplemented, Code::PermissionDenied];
            ensure!(allowed.contains(&answer.code), "{method}: {answer:?}");
        }
    }
    let mut reported = Vec::new();
    for (process, before) in processes.into_iter().zip(before) {
        let after = clients::metrics_lines(process).await?;
        ensure!(
            after <= before + LINES_MORE,
            "/metrics had {before} lines and has {after}"
        );
        reported.push(format!(
            "{}: {before} lines before, {after} after",
            process.name
        ));
    }
    Ok(reported.join("; "))
}
