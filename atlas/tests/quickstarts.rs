//! The pages of `docs/quickstart` that need no other toolchain run as they are printed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use test_support::TestDatabase;
use tokio::process::Command;

/// Runs a page, which ends what it starts and is bounded in time by itself.
async fn run(page: &str) {
    let database = TestDatabase::create().await;
    let script = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scripts/quickstarts"
    ));
    let programs = Path::new(env!("CARGO_BIN_EXE_atlas")).parent().unwrap();
    let output = Command::new(script)
        .arg(page)
        .env("ATLAS_BIN", programs)
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("runs as printed"), "{errors}");
}

#[tokio::test]
async fn publish_and_follow_with_grpcurl_runs_as_printed() {
    run("grpcurl").await;
}

#[tokio::test]
async fn a_consumer_in_python_runs_as_printed() {
    run("python").await;
}

#[tokio::test]
async fn the_engine_beside_the_collector_runs_as_printed() {
    run("engine").await;
}

#[tokio::test]
async fn a_pattern_of_ones_own_runs_as_printed() {
    run("pattern").await;
}
