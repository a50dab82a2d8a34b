//! Mistakes in expressions, as `threshold-engine check` prints them: the place, what was probably meant, and
//! nothing of the parser.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests, whose input is their own"
)]

use std::fs;
use std::process::Command;

/// An expression, the reason, and the character from 0 below which the caret stands.
const MISTAKES: &[(&str, &str, usize)] = &[
    ("VIX > 1 and RATE > 2", "write && for and", 8),
    ("VIX > 1 AND RATE > 2", "write && for AND", 8),
    ("VIX > 1 or RATE > 2", "write || for or", 8),
    ("not VIX > 1", "write ! for not, as in !(A > 1)", 0),
    ("VIX > 1 & RATE > 2", "write && for &", 8),
    ("VIX > 1 | RATE > 2", "write || for |", 8),
    ("VIX = 30", "write == for =", 4),
    ("VIX === 30", "write == for ===", 4),
    ("VIX => 30", "write >= for =>", 4),
    ("VIX =< 30", "write <= for =<", 4),
    ("VIX <> 30", "write != for <>", 4),
    (
        "RATE.yoy() > 6%",
        "write 6: yoy, pct_change and series in percent are in percent already",
        14,
    ),
    (
        "RATE.yoy() > 6 percent",
        "write 6: yoy, pct_change and series in percent are in percent already",
        15,
    ),
    (
        "VIX > 5k",
        "thousands are not known: write the number out, in the series' unit",
        6,
    ),
    ("VIX > 1,000", "write 1000, without separators", 6),
    ("VIX > 0,5", "write 0.5, with a decimal point", 6),
    ("VIX > 1_000", "write 1000, without separators", 6),
    ("VIX > 30;", "an expression ends without ;", 8),
    (
        "VIX ^ 2 > 900",
        "^ is not known: write A * A for a square",
        4,
    ),
    (
        "VIX ≥ 30",
        "only ASCII characters may stand in an expression: write >= for ≥",
        4,
    ),
    (
        "VIX > “30”",
        r#"only ASCII characters may stand in an expression: write " for “"#,
        6,
    ),
    (
        "RATE.mean(3mo) > 5",
        r#"a span stands in quotes: "3mo""#,
        10,
    ),
    (
        r#"RATE.mean("3m") > 5"#,
        r#""3m" is no window: write "3mo""#,
        10,
    ),
    (
        r#"RATE.mean("3 months") > 5"#,
        r#""3 months" is no window: write "3mo""#,
        10,
    ),
    (
        r#"RATE.change("7bd") > 5"#,
        "windows do not count business days: write 7 for so many observations, or a span such as \"2w\"",
        12,
    ),
    (
        "RATE.mean(20bd) > 5",
        "windows do not count business days: write 20 for so many observations, or a span such as \"4w\"",
        10,
    ),
    (
        "RATE.mean() > 5",
        r#".mean(…) takes a window such as "3mo" or 5"#,
        5,
    ),
    (
        r#"RATE.maen("3mo") > 5"#,
        "there is no function .maen(…), did you mean mean?",
        5,
    ),
    (
        r#"RATE.Mean("3mo") > 5"#,
        "there is no function .Mean(…), did you mean mean?",
        5,
    ),
    (
        r#"RATE.average("3mo") > 5"#,
        "there is no function .average(…), did you mean mean?",
        5,
    ),
    (
        "RATE.mean > 5",
        r#"".mean" is no function call: write .mean(…)"#,
        4,
    ),
    (
        "mean(RATE, 3) > 5",
        "there is no function mean, write series.mean(…)",
        0,
    ),
    (
        "VXI > 30",
        "VXI is not among the inputs, did you mean VIX?",
        0,
    ),
    (
        "vix > 30",
        "vix is not among the inputs, did you mean VIX?",
        0,
    ),
    (
        "UNRATES > 5",
        "UNRATES is not among the inputs, did you mean UNRATE?",
        0,
    ),
    ("series(VIX) > 30", "series(…) takes the id in quotes", 7),
    (
        r#"sries("VIX") > 30"#,
        "there is no function sries, did you mean series?",
        0,
    ),
    ("VIX above 30", "write > for above", 4),
    (
        "VIX 30",
        "an operator such as > or && is missing between VIX and 30",
        4,
    ),
    ("VIX >", "something is missing after >", 4),
    ("VIX > > 30", "something is missing after >", 4),
    ("> 30", "something is missing before >", 0),
    ("VIX > 30 &&", "something is missing after &&", 9),
    ("(VIX > 30", "this bracket is never closed", 0),
    ("VIX > 30)", "this bracket was never opened", 8),
    (r#"RATE.mean("3mo > 5"#, "this quote is never closed", 10),
    ("min(VIX) > 30", "min(…) takes two arguments", 0),
    ("min(VIX, ) > 30", "an argument is missing after ,", 7),
    ("() > 30", "nothing stands in these brackets", 1),
    (
        "20 < VIX < 30",
        "comparisons are not strung together: write 1 < A && A < 5",
        3,
    ),
    (
        "VIX",
        "this is a series, not a condition: compare it, as in A > 1",
        0,
    ),
    (
        "VIX + 1",
        "this is a series, not a condition: compare it, as in A > 1",
        4,
    ),
    (
        "VIX > 30 && RATE",
        "a series where a condition is needed",
        12,
    ),
    (
        "VIX[1] > 30",
        r#""[…]" is not known: use .previous(n) or .value_at(…)"#,
        3,
    ),
    (
        "VIX > 30 ? true : false",
        r#""?:" is not known: use && and ||"#,
        9,
    ),
    (
        "VIX in [1, 2]",
        r#""in" is not known: compare with == and ||"#,
        4,
    ),
    ("VIX % 2 > 1", r#""%" is not known"#, 4),
    (
        "TRUE && VIX > 30",
        "TRUE is not among the inputs, did you mean true?",
        0,
    ),
    (
        r#"pattern("sahm-rule")"#,
        "pattern(…) is for regimes only",
        0,
    ),
    (
        "VIX.T > 30",
        r#"".T" is no function call: write series("VIX.T") for a name with a dot"#,
        3,
    ),
    (
        r#""VIX" > 30"#,
        r#""VIX" has no meaning here: write the name without quotes"#,
        0,
    ),
    (
        "VIX > 1e3",
        "1e3 is no plain decimal of at most 28 digits such as 0.5",
        6,
    ),
    (
        r#"RATE.min("3mo") > 5"#,
        "there is no function .min(…), did you mean lowest?",
        5,
    ),
    ("VIX > .30.5", "this cannot be read", 10),
    (
        "VIX > 30 && && RATE > 5",
        "something is missing after &&",
        9,
    ),
    ("VIX > (30", "this bracket is never closed", 6),
    (
        r#"VIX.mean("3mo" , including) > 5"#,
        ".mean(…) takes a window and nothing but excluding_current after it",
        17,
    ),
    ("", "there is no expression", 0),
];

fn definition(expression: &str) -> String {
    format!(
        "id = \"bad\"\nname = \"Bad\"\ndescription = \"d\"\nseverity = \"info\"\nwhen = '{expression}'\n\
         [inputs.VIX]\nunit = \"index\"\nfrequency = \"daily\"\n\
         [inputs.RATE]\nseries = \"UNRATE\"\nunit = \"percent\"\nfrequency = \"monthly\"\n"
    )
}

fn printed(name: &str, files: &[String]) -> String {
    let folder = std::env::temp_dir().join(format!("atlas-mistakes-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    for (number, text) in files.iter().enumerate() {
        let path = folder.join(format!("{number:02}.toml"));
        fs::write(path, text).expect("it can be written");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_threshold-engine"));
    let output = command.arg("check").arg(&folder).output();
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    let output = output.expect("it runs");
    assert!(!output.status.success());
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn mistakes_in_expressions_are_printed_with_their_place_and_what_was_meant() {
    let files: Vec<String> = MISTAKES.iter().map(|(e, ..)| definition(e)).collect();
    let mut expected = String::new();
    for (number, (expression, reason, character)) in MISTAKES.iter().enumerate() {
        let line = format!("when = '{expression}'");
        let line: String = line.chars().take(58 + character).collect();
        let caret = " ".repeat(8 + character);
        expected += &format!("{number:02}.toml:5: {reason}\n    {line}\n    {caret}^\n");
    }
    let printed = printed("table", &files);
    let summary = format!(
        "0 patterns, 0 regimes, 0 tests, 0 failed, {} files with mistakes\n",
        files.len()
    );
    assert_eq!(printed, expected + &summary);
}

/// In basic strings and over several lines the caret stands below the written character.
#[test]
fn the_caret_knows_escapes_and_lines() {
    let good = definition("VIX > 30");
    let escaped = r#""VIX.mean(\"3mo\") \u003E 30 and RATE > 5""#;
    let escaped = good.replace("'VIX > 30'", escaped);
    let lines = good.replace("'VIX > 30'", "'''\nVIX > 30\n  && RATES > 5\n'''");
    let printed = printed("lines", &[escaped, lines]);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines[0], "00.toml:5: write && for and");
    let column = |line: &str, text: &str| line.find(text).expect("it stands there");
    assert_eq!(column(lines[1], "and"), column(lines[2], "^"));
    assert_eq!(
        lines[3],
        "01.toml:7: RATES is not among the inputs, did you mean RATE?"
    );
    assert_eq!(lines[4], "      && RATES > 5");
    assert_eq!(column(lines[4], "RATES"), column(lines[5], "^"));
}
