//! Sources that cannot be consumed any further.

use consumer::Source;

use crate::{
    bed::{Bed, Form, SOURCE, open_log},
    life::Life,
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
    let told = bed.told(ENGINE).await;

    let other = open_log(&bed.database.url(), "replaced").await;
    other.append(script.drafts(60)).await.unwrap();
    let life = Life::start(bed.config(ENGINE), Source::in_process(SOURCE, other)).await;
    let ended = life.ended().await.unwrap_err().to_string();
    assert!(ended.contains("consumer ended"), "{ended}");
    assert!(ended.contains("\"collector\" was replaced"), "{ended}");
    assert_eq!(bed.told(ENGINE).await, told);
}
