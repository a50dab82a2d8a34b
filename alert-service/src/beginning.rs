//! What a service begins with in which nobody has made anything: a channel of kind log that gets every pattern.

use serde_json::json;
use sqlx::PgPool;

use crate::{
    channel::{Channel, Secret},
    context::Context,
    rest::ANONYMOUS,
    rule::Rule,
    store::{self, ChannelDraft, NewChange},
};

const NOTE: &str = "made at the first start";

/// Makes the channel and the rule, unless somebody has ever made anything.
pub(crate) async fn begin_with_log(pool: &PgPool, context: &Context) -> Result<(), sqlx::Error> {
    let unreadable = |error: serde_json::Error| sqlx::Error::Decode(error.into());
    let now = context.now();
    let mut transaction = pool.begin().await?;
    // Instances that start at the same time do it one after the other.
    store::lock_series_head(&mut transaction).await?;
    if !store::is_untouched(&mut transaction).await? {
        return Ok(());
    }
    let ids = [context.id(now).to_string(), context.id(now).to_string()];
    let channel = Channel::Log {};
    let destination = channel.destination(&Secret::default());
    let configuration = json!(channel);
    let draft = ChannelDraft {
        id: &ids[0],
        tenant: ANONYMOUS,
        name: "Log",
        kind: channel.kind(),
        configuration: &configuration,
        sealed_secret: None,
        destination: destination.as_str(),
        enabled: true,
        now,
    };
    store::insert_channel(&mut transaction, &draft).await?;
    let rule = json!({"name": "Every pattern", "condition": {"kind": "pattern"}, "channels": [ids[0]], "note": NOTE});
    let rule: Rule = serde_json::from_value(rule).map_err(unreadable)?;
    store::insert_rule(&mut transaction, (&ids[1], ANONYMOUS), &rule, now).await?;
    for (object, object_id) in [("channel", &ids[0]), ("rule", &ids[1])] {
        let change = NewChange {
            tenant: ANONYMOUS,
            object,
            object_id,
            change: "created",
            by: None,
            note: NOTE,
            at: now,
        };
        store::insert_change(&mut transaction, &change).await?;
    }
    transaction.commit().await
}
