//! A database server of its own, which is backed up and restored.

use std::process::{Command, Output};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts");
/// What `scripts/backup` ends with there.
const IN_A_CONTAINER: i32 = 3;

pub(crate) struct Instance {
    name: String,
    pub(crate) url: String,
}

impl Instance {
    /// None where instances are containers: the scripts of backups work on files of this machine.
    pub(crate) async fn start(purpose: &str) -> Option<Self> {
        let name = format!("{purpose}_{}", std::process::id());
        let url = run("db", &name, &["up"]).await;
        let instance = Self { name, url };
        let asked = output("backup", &instance.name, &["list".to_owned()]);
        (asked.status.code() != Some(IN_A_CONTAINER)).then_some(instance)
    }

    pub(crate) async fn backup(&self, arguments: &[&str]) -> String {
        run("backup", &self.name, arguments).await
    }

    pub(crate) async fn restore(&self, arguments: &[&str]) {
        run("restore", &self.name, arguments).await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        script("db", &self.name, &["destroy".to_owned()]);
    }
}

async fn run(name: &str, instance: &str, arguments: &[&str]) -> String {
    let (name, instance) = (name.to_owned(), instance.to_owned());
    let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    let run = move || script(&name, &instance, &arguments);
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn output(name: &str, instance: &str, arguments: &[String]) -> Output {
    let mut script = Command::new(format!("{SCRIPTS}/{name}"));
    script.args(arguments).env("ATLAS_DB_INSTANCE", instance);
    script.output().unwrap()
}

fn script(name: &str, instance: &str, arguments: &[String]) -> String {
    let output = output(name, instance, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    let done = output.status.success();
    assert!(done, "scripts/{name} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
