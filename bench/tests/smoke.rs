//! The benchmark works, and ATLAS completes it: all acknowledged, received once and in order.

use std::process::Command;

#[test]
fn every_workload_completes() {
    let database_url = std::env::var("ATLAS_TEST_DATABASE_URL");
    let output = Command::new(env!("CARGO_BIN_EXE_atlas-bench"))
        .arg("smoke")
        .env("DATABASE_URL", database_url.unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
