//! The quick part of the attacker's suite, against the programs that were compiled with this test.

use std::{env, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

/// A run takes half a minute; longer only on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn no_quick_attack_succeeds() {
    let server = env::var("ATLAS_TEST_DATABASE_URL").expect("ATLAS_TEST_DATABASE_URL: `make test`");
    let attacking = Command::new(env!("CARGO_BIN_EXE_atlas-attack"))
        .arg("--quick")
        .env("DATABASE_URL", server)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let attacked = timeout(DEADLINE, attacking)
        .await
        .expect("it ends")
        .unwrap();
    let report = String::from_utf8_lossy(&attacked.stdout);
    let errors = String::from_utf8_lossy(&attacked.stderr);
    assert!(attacked.status.success(), "{report}\n{errors}");
    // That it held is worth something only if something was tried.
    assert!(report.matches(" held ").count() >= 5, "{report}");
}
