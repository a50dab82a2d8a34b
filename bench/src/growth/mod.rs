//! How cost grows.

use anyhow::Result;

use crate::arguments::GrowthOptions;

pub(crate) async fn run(_: &GrowthOptions) -> Result<()> {
    Ok(())
}
