//! Flags before and after the command.

use std::process::{Command, Output};

use test_support::Folder;

/// No server answers there.
const NOBODY: &str = "rest.address=127.0.0.1:1";
const DATABASE: &str = "database.url=postgres://atlas@localhost/atlas";

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_threshold-engine"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[track_caller]
fn check(arguments: &[&str], environment: &[(&str, &str)], code: i32, words: &str) {
    let output = run(arguments, environment);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{said:?}");
    assert!(said.concat().contains(words), "{said:?}");
}

#[test]
fn flags_stand_before_or_after_the_command() {
    let set = ["--set", DATABASE, "--set", NOBODY];
    let asked = "127.0.0.1:1 does not answer";
    check(&[&set[..], &["health"]].concat(), &[], 1, asked);
    check(&[&["health"], &set[..]].concat(), &[], 1, asked);
    let later = ["health", "--set", "rest.address=127.0.0.1:2"];
    check(
        &[&set[..], &later].concat(),
        &[],
        1,
        "127.0.0.1:2 does not answer",
    );
    let both = [
        "--patterns",
        "/one",
        "serve",
        "--patterns",
        "/two",
        "--print-config",
    ];
    check(&[&set[..2], &both].concat(), &[], 0, "folder = \"/two\"");
    let none = ["checkpoint", "list"];
    check(
        &[&["--set", "x"], &none[..]].concat(),
        &[],
        2,
        "is to be KEY=VALUE",
    );
}

#[test]
fn the_file_is_the_one_of_the_flag_before_that_of_the_variable() {
    let folder = Folder::create();
    let file = |name: &str, schema: &str| {
        let text = format!(
            "[database]\nurl = \"postgres://atlas@localhost/atlas\"\nschema = \"{schema}\"\n"
        );
        folder.write(name, &text)
    };
    let (one, two) = (file("one.toml", "one"), file("two.toml", "two"));
    let variable = [("THRESHOLD_ENGINE_CONFIG", &*one)];
    check(&["--print-config"], &variable, 0, "schema = \"one\"");
    let before = ["--config", &two, "serve", "--print-config"];
    check(&before, &variable, 0, "schema = \"two\"");
    let after = ["serve", "--print-config", "--config", &two];
    check(&after, &variable, 0, "schema = \"two\"");
}

#[test]
fn a_command_that_runs_no_service_refuses_its_flags() {
    check(
        &["--set", NOBODY, "check", "."],
        &[],
        2,
        "flags before this command",
    );
}
