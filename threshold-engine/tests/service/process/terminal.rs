//! What others wrote into definitions does not control the terminal of who looks at them.

use std::process::Command;

use test_support::Folder;

use crate::scenario::HIGH;

/// What a command prints on both of its outputs.
fn printed(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_threshold-engine"));
    let output = command.args(arguments).output().unwrap();
    let bytes = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(bytes).unwrap())
}

#[test]
fn definitions_do_not_control_a_terminal() {
    let folder = Folder::create();
    let test = "[[tests]]\nname = \"fails\\u001b[31m\\u009b\"\nexpect = [\"2020-01-01 entered\"]\n\
                series.ALPHA = { from = \"2020-01-01\", every = \"1mo\", values = \"1\" }\n";
    folder.write("high.toml", &format!("{HIGH}\n{test}"));
    folder.write(
        "bad.toml",
        "id = \"a\\u001b]0;title\\u0007\"\nnope\u{202e} = 1",
    );
    folder.write("b\u{1b}[2Jad.toml", "id = 1");
    let folder = folder.file("");
    let backtest = ["backtest", "--csv", &folder, "--patterns", &folder];
    for arguments in [&["check", &folder][..], &backtest] {
        let (code, text) = printed(arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("b [2Jad.toml"), "{text}");
        let controls = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(controls), "{text:?}");
    }
    let (_, text) = printed(&["check", &folder]);
    assert!(
        text.contains("1 failed") || text.contains("files with mistakes"),
        "{text}"
    );
}
