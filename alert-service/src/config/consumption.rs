use service::config::{Reader, read_credentials, read_sources};

use super::ConsumptionConfig;

const SOURCE_NAME: &str = "threshold-engine";
const SOURCE_URL: &str = "http://127.0.0.1:5101";

pub(super) fn read(reader: &mut Reader) -> ConsumptionConfig {
    reader.section::<ConsumptionConfig>("consumer");
    let sources = read_sources(reader, (SOURCE_NAME, SOURCE_URL));
    let events = reader.number("consumer.batch_events_max", 500, 1..=100_000);
    ConsumptionConfig {
        sources,
        credentials: read_credentials(reader),
        batch_events_max: usize::try_from(events).unwrap_or(usize::MAX),
        stopped_grace: reader.seconds("consumer.stopped_grace_seconds", 20, 0..=3_600),
    }
}
