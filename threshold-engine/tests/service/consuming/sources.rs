//! Sources that cannot be consumed any further.

use consumer::Source;
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Form, SOURCE, open_log, position},
    process::life::Life,
    scenario::{Folder, Script},
};

const ENGINE: &str = "threshold_engine";

/// The position of a checkpoint means nothing in another log.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_replaced_stops_the_engine_with_a_message() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(1);
    bed.log.append(script.drafts(30)).await.unwrap();
    let life = Life::start(bed.config(ENGINE), bed.source(Form::Grpc)).await;
    let pool = bed.pool(ENGINE).await;
    bed.caught_up(&pool).await;
    life.stop().await;
    let emissions = bed.emissions(ENGINE).await;

    let other = open_log(&bed.database.url(), "replaced").await;
    other.append(script.drafts(60)).await.unwrap();
    // Whoever starts it again hears the same, and can ask it why for a while.
    for _ in 0..2 {
        let source = Source::in_process(SOURCE, other.clone());
        let life = Life::start(bed.config(ENGINE), source).await;
        let ready = format!("{}/readyz", life.rest);
        eventually(DEADLINE, async || {
            let answer = reqwest::get(&ready).await.unwrap();
            let status = answer.status();
            status == 503
                && answer
                    .text()
                    .await
                    .unwrap()
                    .contains("\"collector\\\" was replaced")
        })
        .await;
        let emissions = life.get("/v1/checkpoints").await.to_string();
        assert!(emissions.contains("was replaced"), "{emissions}");
        let ended = life.ended().await.unwrap_err().to_string();
        assert!(ended.contains("consumer ended"), "{ended}");
        assert!(ended.contains("\"collector\" was replaced"), "{ended}");
    }
    assert_eq!(bed.emissions(ENGINE).await, emissions);

    let command = |arguments: &[&str]| {
        let settings = bed.settings(ENGINE);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_threshold-engine"))
            .arg("checkpoint")
            .args(arguments)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(command(&["list"]).contains("STOPPED"));
    let log_id = other.log_id().to_string();
    let reset = [
        "reset",
        SOURCE,
        "--common-position",
        "0",
        "--log-id",
        &log_id,
    ];
    let listed = command(&reset);
    assert!(listed.contains("after position 0 of the log"), "{listed}");
    let life = Life::start(bed.config(ENGINE), Source::in_process(SOURCE, other)).await;
    eventually(DEADLINE, async || position(&pool).await == Some(60)).await;
    life.stop().await;
}
