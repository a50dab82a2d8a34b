//! The quick part of the attacker's suite, against the programs that were compiled with this test.

use std::{
    env,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A run takes half a minute; longer only on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(300);

#[test]
fn no_quick_attack_succeeds() {
    let server = env::var("ATLAS_TEST_DATABASE_URL").expect("ATLAS_TEST_DATABASE_URL: `make test`");
    let mut attack = Command::new(env!("CARGO_BIN_EXE_atlas-attack"))
        .arg("--quick")
        .env("DATABASE_URL", server)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = attack.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut told = String::new();
        output.read_to_string(&mut told).map(|_| told)
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = attack.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > DEADLINE {
            attack.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(50));
    };
    let told = reading.join().unwrap().unwrap();
    assert!(status.success(), "{status}\n{told}");
    // That it held is worth something only if something was tried.
    let tried = told.matches(" held ").count();
    assert!(tried >= 5, "{told}");
}
