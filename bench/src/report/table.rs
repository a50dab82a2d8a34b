//! Tables, for terminals and for Markdown. The first row is the header.

use std::fmt::Write as _;

/// With aligned columns; all but the first two are numbers, and to the right.
pub(crate) fn plain(cells: &[Vec<String>]) -> String {
    let columns = cells.first().map_or(0, Vec::len);
    let width = |column: usize| cells.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::from("\n");
    for row in cells {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 | 1 => write!(text, "{cell:<width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Columns of numbers are to the right.
pub(crate) fn markdown(cells: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in cells.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if index == 0 {
            let column = |column| if column < 2 { "---|" } else { "---:|" };
            let _ = writeln!(text, "|{}", (0..row.len()).map(column).collect::<String>());
        }
    }
    text
}

/// Large numbers whole with separators, small ones with two decimals.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 1_000.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, expected) in [
            (0.125, "0.12"),
            (999.0, "999.00"),
            (1_000.4, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn columns_line_up() {
        let cells = [["a", "b", "c"], ["long", "x", "10"]];
        let cells = cells.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(plain(&cells), "\na     b   c\nlong  x  10\n");
        assert_eq!(
            markdown(&cells),
            "| a | b | c |\n|---|---|---:|\n| long | x | 10 |\n"
        );
    }
}
