//! Messages that are small on the wire and large in memory, or no messages at all.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    clients,
    target::Target,
    trial::Attack,
    wire::{Call, Connection, field},
};

const PUBLISH: &str = "EventPublisher/Publish";
/// What a message may have.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// A message is refused within this, also by a program that was compiled without optimisation on
/// a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "messages-empty-events",
            "4 MiB of 2,097,120 empty events, also with a token for 64 KB",
            |target| Box::pin(empty_events(target)),
        )
        .quick()
        .memory_mib(192),
        Attack::new(
            "messages-nulls",
            "lists and objects of a million nulls, in one event and in many",
            |target| Box::pin(lists_and_objects(target)),
        )
        .memory_mib(384),
        Attack::new(
            "messages-null-batches",
            "20 batches of 200,000 nulls at once, on two connections",
            |target| Box::pin(null_batches(target)),
        )
        .memory_mib(384),
        Attack::new(
            "messages-json",
            "JSON of a million empty objects, lists and numbers",
            |target| Box::pin(json(target)),
        )
        .memory_mib(192),
        Attack::new(
            "messages-malformed",
            "500 random messages to several calls",
            |target| Box::pin(malformed(target)),
        )
        .quick(),
        Attack::new(
            "messages-compressed",
            "messages that say they are compressed",
            |target| Box::pin(compressed(target)),
        )
        .quick(),
        Attack::new(
            "messages-too-large",
            "messages beyond what a call takes, by what they say and by what they are",
            |target| Box::pin(too_large(target)),
        )
        .memory_mib(128),
    ]
}

async fn empty_events(target: &Target) -> Result<String> {
    let connection = Connection::open(target.collector.grpc).await?;
    let message = [0x0a, 0x00].repeat(2_097_120);
    let mut slowest = Duration::ZERO;
    for token in [&target.tokens.full, &target.tokens.small] {
        let began = Instant::now();
        let asked = (0..4).map(|_| connection.call(Call::new(PUBLISH, token.expose()), &message));
        for answer in futures::future::join_all(asked).await {
            let answer = answer?;
            ensure!(answer.code == Code::ResourceExhausted, "{answer:?}");
        }
        slowest = slowest.max(began.elapsed());
    }
    ensure!(
        slowest < REFUSED_WITHIN,
        "four of them are refused after {slowest:.1?}"
    );
    Ok(format!("each four of them refused within {slowest:.1?}"))
}

/// Fields of a value.
const LIST: u32 = 6;
const OBJECT: u32 = 5;

/// A batch of one custom event whose data has the entry `a`, a value of a kind.
fn batch_of(kind: u32, content: &[u8]) -> Vec<u8> {
    let value = field(kind, content);
    let entry = [field(1, b"a"), field(2, &value)].concat();
    let data = field(1, &entry);
    let custom = [field(1, b"Nulls"), field(2, &data)].concat();
    let event = [field(3, clients::SOURCE.as_bytes()), field(30, &custom)].concat();
    field(1, &event)
}

/// A batch of one event with a list of nulls that has so many bytes.
pub(super) fn nulls(bytes: usize) -> Vec<u8> {
    batch_of(LIST, &field(1, &[]).repeat(bytes / 2))
}

/// Each of them takes many times as much once it is built.
async fn null_batches(target: &Target) -> Result<String> {
    const CALLS: usize = 20;
    let message = nulls(400_000);
    let (one, other) = futures::try_join!(
        Connection::open(target.collector.grpc),
        Connection::open(target.collector.grpc),
    )?;
    let calls = (0..CALLS).map(|index| {
        let call = Call::new(PUBLISH, target.tokens.full.expose());
        [&one, &other][index % 2].call(call, &message)
    });
    let (mut stored, mut refused) = (0, 0);
    for answer in futures::future::join_all(calls).await {
        let answer = answer?;
        match answer.code {
            Code::Ok => stored += 1,
            Code::ResourceExhausted => refused += 1,
            _ => anyhow::bail!("{answer:?}"),
        }
    }
    ensure!(stored > 0, "none was stored");
    Ok(format!("{stored} stored, {refused} refused"))
}

async fn lists_and_objects(target: &Target) -> Result<String> {
    let connection = Connection::open(target.collector.grpc).await?;
    let call = Call::new(PUBLISH, target.tokens.full.expose());
    // Entries of an object whose keys are the same, and lists of empty lists.
    let object = batch_of(OBJECT, &field(1, &[]).repeat(MESSAGE_BYTES / 2 - 100));
    let lists = batch_of(
        LIST,
        &field(1, &field(LIST, &[])).repeat(MESSAGE_BYTES / 4 - 100),
    );
    let messages = [
        ("one event of 4 MiB", nulls(MESSAGE_BYTES - 200)),
        ("one event of 0.9 MiB", nulls(900_000)),
        ("four events of 0.9 MiB", nulls(900_000).repeat(4)),
        ("an object of 4 MiB", object),
        ("lists of lists", lists),
    ];
    let mut notes = Vec::new();
    for (what, message) in messages {
        let began = Instant::now();
        let answer = connection.call(call, &message).await?;
        let allowed = [Code::Ok, Code::InvalidArgument, Code::ResourceExhausted];
        ensure!(allowed.contains(&answer.code), "{what}: {answer:?}");
        notes.push(format!(
            "{what}: {:?} in {:.1?}",
            answer.code,
            began.elapsed()
        ));
    }
    Ok(notes.join("; "))
}

async fn json(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let array = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let events = |items: String| format!("{{\"events\":{items}}}");
    let data = |items: String| {
        let custom = format!("{{\"type\":\"Json\",\"data\":{{\"a\":{items}}}}}");
        format!("{{\"sourceService\":\"Attack\",\"custom\":{custom}}}")
    };
    let bodies = [
        ("2 million empty objects", events(array("{}", 2_000_000))),
        ("1.39 million empty objects", events(array("{}", 1_390_000))),
        ("2 million numbers as events", events(array("1", 2_000_000))),
        ("data of 1.39 million lists", data(array("[]", 1_390_000))),
        ("data of 2 million zeros", data(array("0", 2_000_000))),
    ];
    let mut notes = Vec::new();
    for (what, body) in bodies {
        let began = Instant::now();
        let (status, problem) = clients::post(&target.collector, "/v1/events", token, body).await?;
        let allowed = [400, 413, 422];
        let is_right = allowed.contains(&status);
        ensure!(
            is_right,
            "{what}: {status} {}",
            clients::clipped(&problem.to_string())
        );
        notes.push(format!("{what}: {status} in {:.1?}", began.elapsed()));
    }
    let body = format!("{{\"definition\":{}}}", array("{}", 1_390_000));
    let (status, problem) = clients::post(&target.engine, "/v1/evaluate", token, body).await?;
    ensure!([400, 413, 422].contains(&status), "{status} {problem}");
    Ok(notes.join("; "))
}

async fn malformed(target: &Target) -> Result<String> {
    const MESSAGES: usize = 500;
    let connection = Connection::open(target.collector.grpc).await?;
    let mut random = StdRng::seed_from_u64(13);
    // Each refuses an empty request, so that whatever is skipped in one is refused as well.
    let methods = [
        PUBLISH,
        "EventStream/GetEventsBetween",
        "EventLog/FindEvent",
    ];
    let sound = batch_of(3, b"text");
    for index in 0..MESSAGES {
        let mut message = vec![0; random.random_range(0..2_000)];
        random.fill_bytes(&mut message);
        if index % 2 == 0 {
            // One that is almost right: cut short, so that what holds it is longer than it.
            let end = random.random_range(3..sound.len());
            message = sound[..end].to_vec();
            message[random.random_range(0..2)] ^= 0x80;
        }
        let method = methods[index % methods.len()];
        let call = Call::new(method, target.tokens.full.expose());
        let answer = connection.call(call, &message).await?;
        let code = answer.code;
        ensure!(
            code == Code::InvalidArgument,
            "{method}: {answer:?} to {message:02x?}"
        );
    }
    Ok(format!("{MESSAGES} are INVALID_ARGUMENT"))
}

async fn compressed(target: &Target) -> Result<String> {
    let connection = Connection::open(target.collector.grpc).await?;
    // Ten bytes of gzip's head, and then a promise of much.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0; 1000]].concat();
    for encoding in ["gzip", "deflate", "zstd"] {
        for method in [PUBLISH, "EventStream/GetEventsBetween"] {
            let call = Call {
                header: Some(("grpc-encoding", encoding)),
                compressed: true,
                ..Call::new(method, target.tokens.full.expose())
            };
            let answer = connection.call(call, &bomb).await?;
            ensure!(answer.code == Code::Unimplemented, "{encoding}: {answer:?}");
        }
    }
    let call = Call {
        compressed: true,
        ..Call::new(PUBLISH, target.tokens.full.expose())
    };
    let answer = connection.call(call, &bomb).await?;
    // So the protocol has it.
    ensure!(answer.code == Code::Internal, "no encoding: {answer:?}");
    Ok("all are UNIMPLEMENTED, or INTERNAL without a name of the encoding".to_owned())
}

async fn too_large(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let connection = Connection::open(target.collector.grpc).await?;
    let admin = Connection::open(target.engine.grpc).await?;
    let message = vec![0; 8 << 20];
    let calls = [
        (&connection, PUBLISH),
        (&connection, "EventStream/GetEventsSince"),
        (&connection, "EventStream/SubscribeToEvents"),
        (&connection, "EventLog/FindEvent"),
        (&admin, "ParkedEvents/ListParkedEvents"),
        (&admin, "Checkpoints/ResetCheckpoint"),
    ];
    for (connection, method) in calls {
        let answer = connection.call(Call::new(method, token), &message).await?;
        let code = answer.code;
        ensure!(code == Code::ResourceExhausted, "{method}: {answer:?}");
    }
    let (status, _) = clients::post(
        &target.collector,
        "/v1/events",
        token,
        format!("{{\"events\":\"{}\"}}", "x".repeat(8 << 20)),
    )
    .await?;
    ensure!(status == 413, "REST: {status}");
    Ok("all are RESOURCE_EXHAUSTED, or 413".to_owned())
}
