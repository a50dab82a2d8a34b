//! `docs/expressions.md` names every function, and its mistakes are those of the compiler.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::path::Path;

use evaluation::calendar::{BusinessCalendar, Frequency};
use evaluation::expression::{Compiler, Input, InputText, Scope, function_names};

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/expressions.md");
    fs::read_to_string(path).expect("the reference is there")
}

/// The cells of the rows of its tables that begin with code.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn inputs() -> Vec<Input> {
    let declared = InputText {
        series: None,
        unit: "percent".into(),
        frequency: Frequency::Monthly,
        max_age: None,
    };
    let input = |name| declared.input(name, &BusinessCalendar::default());
    vec![
        input("VIX").expect("it is one"),
        input("RATE").expect("it is one"),
    ]
}

#[test]
fn every_function_stands_in_the_reference_with_an_example() {
    let text = reference();
    let rows = rows(&text);
    for name in function_names() {
        let quoted = format!("`{name}`");
        let example = format!("{name}(");
        let stands = rows
            .iter()
            .any(|row| row[0] == quoted && row[1].contains(&example));
        assert!(
            stands,
            "{name} does not stand in docs/expressions.md with an example"
        );
    }
}

#[test]
fn the_mistakes_of_the_reference_are_the_compilers() {
    let text = reference();
    let (_, errors) = text.split_once("\n## Errors\n").expect("it has errors");
    let rows = rows(errors);
    assert!(rows.len() >= 10);
    for row in rows {
        let mut compiler = Compiler::new(Scope::Pattern, inputs());
        let refused = compiler.condition(row[0].trim_matches('`'));
        let error = refused.expect_err(row[0]);
        assert_eq!(error.reason, row[1], "{}", row[0]);
    }
}
