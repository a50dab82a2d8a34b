//! What the disk needs to keep a few bytes for good: nothing that is durable is acknowledged faster.

use std::{fs::File, io::Write};

use anyhow::{Context, Result};

use super::Bench;
use crate::{
    load::clock::{Latencies, now_us},
    report::Target,
    systems::System,
};

const NAME: &str = "append 200 bytes and fdatasync";
const WRITES: u32 = 2_000;

pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    let folder = bench.peers.peer_data.clone();
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("atlas-bench-{}-fsync", std::process::id()));
    for _ in 0..bench.sizes.runs {
        let mut file = File::create(&path).with_context(|| format!("{}", path.display()))?;
        let measured = append(&mut file);
        std::fs::remove_file(&path)?;
        let latencies = measured?;
        for (figure, quantile) in [("p50 ms", 0.5), ("p99 ms", 0.99)] {
            let value = latencies.quantile_ms(quantile);
            let report = &mut bench.report;
            report.add_of(System::Database, NAME, figure, Target::None, value);
        }
    }
    Ok(())
}

fn append(file: &mut File) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    for _ in 0..WRITES {
        let started = now_us();
        file.write_all(&[7; 200])?;
        file.sync_data()?;
        latencies.record_since(started)?;
    }
    Ok(latencies)
}
