//! A database server of its own, which may be restarted without disturbing other tests.

use std::process::Command;

/// The script that starts and stops servers.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/db");

pub(crate) struct DatabaseServer {
    instance: String,
    url: String,
}

impl DatabaseServer {
    pub(crate) async fn start() -> Self {
        let instance = format!("faults_{}", std::process::id());
        let url = run(instance.clone(), vec!["up".to_owned()]).await;
        Self { instance, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs the script on this server.
    pub(crate) async fn run(&self, arguments: &[&str]) {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        run(self.instance.clone(), arguments).await;
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        script(&self.instance, &["destroy".to_owned()]);
    }
}

async fn run(instance: String, arguments: Vec<String>) -> String {
    tokio::task::spawn_blocking(move || script(&instance, &arguments))
        .await
        .unwrap()
}

fn script(instance: &str, arguments: &[String]) -> String {
    let output = Command::new(SCRIPT)
        .args(arguments)
        .env("ATLAS_DB_INSTANCE", instance)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "scripts/db {arguments:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
