//! Expressions that would cost too much are refused at load.

use super::inputs;
use crate::expression::{Compiler, Scope};

fn compiled(sources: &[&str]) -> Result<(), String> {
    let mut compiler = Compiler::new(Scope::Pattern, inputs());
    sources.iter().try_for_each(|source| {
        let compiled = compiler.condition(source);
        compiled.map(|_| ()).map_err(|error| error.reason)
    })
}

#[test]
fn long_windows_are_taken_where_they_are_cheap() {
    compiled(&[r#"D.percentile("10y") > 90"#, "I.mean(10000) > 1"]).unwrap();
    compiled(&[r#"D.lowest("40y").highest("40y") > 1"#]).unwrap();
    compiled(&[r#"M.percentile("90y") > 90 && Q.zscore("90y") > 1"#]).unwrap();
}

/// Of 10,001 entries each looks at 10,000 values; the input is one entry, and so is the number, and the
/// comparison is looked at where its left side is.
#[test]
fn a_costly_window_is_refused_with_its_cost_and_its_name() {
    let reason = compiled(&["I.zscore(10000) > 1"]).unwrap_err();
    assert_eq!(
        reason,
        "one changed observation can take 100020003 steps of work, and 50000000 are allowed: \
         shorten .zscore(10000), or use fewer windows"
    );
    let reason = compiled(&[r#"D.percentile("30y") > 1"#]).unwrap_err();
    assert!(
        reason.contains(r#"shorten .percentile("360mo")"#),
        "{reason}"
    );
}

#[test]
fn many_windows_and_windows_inside_one_another_add_up() {
    let sources: Vec<String> = (0..10)
        .map(|n| format!("D.stddev({}) > 1", 3_000 + n))
        .collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    compiled(&sources[..5]).unwrap();
    compiled(&sources).unwrap_err();
    compiled(&["I.zscore(6000) > 1"]).unwrap();
    let reason = compiled(&["I.mean(6000).zscore(6000) > 1"]).unwrap_err();
    assert!(reason.contains("shorten .zscore(6000)"), "{reason}");
}
