//! CEL text to a syntax tree of our own. The only place that knows the `cel` crate, of which the
//! parser is used and nothing else. Usual mistakes are found before it (`intent`).

mod intent;
mod tokens;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use rust_decimal::Decimal;

use self::intent::check_intent;
use crate::calendar::Span;
use crate::expression::function::method;
use crate::expression::value::parse_decimal;

/// At most this many bytes in one expression.
const SOURCE_BYTES_MAX: usize = 2_000;
/// At most this many operators and calls in one expression: a bound on the depth of the tree, whose
/// sides are walked by recursion.
const SYMBOLS_MAX: usize = 200;
/// At most this many open brackets at any place.
const NESTING_MAX: usize = 24;

/// A node of an expression as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Syntax {
    pub(crate) term: Term,
    /// Where it stands, as a byte of the expression, from 0.
    pub(crate) offset: usize,
}

/// What an expression may consist of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Number(Decimal),
    Text(String),
    Truth(bool),
    Name(String),
    Call {
        /// Of a function or, for an operator, its sign ("+", "&&", "!", "neg").
        function: String,
        /// What stands before the dot.
        target: Option<Box<Syntax>>,
        arguments: Vec<Syntax>,
    },
}

/// Why a text is no expression of ours, and where: a byte of the text, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

fn refuse<T>(offset: usize, reason: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError {
        offset,
        reason: reason.into(),
    })
}

/// The parser descends by recursion, with large frames: enough for the deepest text that is let in.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Reads an expression, whose size and depth are bounded.
pub(crate) fn parse(source: &str) -> Result<Syntax, SyntaxError> {
    check_bounds(source)?;
    check_intent(source)?;
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK_BYTES);
        let parsed = match parser.spawn_scoped(scope, || parse_bounded(source)) {
            Ok(thread) => thread.join(),
            Err(error) => return refuse(0, format!("no thread to read it: {error}")),
        };
        parsed.unwrap_or_else(|_| refuse(0, "the parser failed on it"))
    })
}

fn parse_bounded(source: &str) -> Result<Syntax, SyntaxError> {
    let parser = Parser::new().max_recursion_depth(4 * NESTING_MAX as u16);
    match parser.parse_with_source_info(source) {
        Ok((tree, info)) => translate(&tree, &info),
        Err(errors) => {
            let first = errors.errors.first();
            let (line, column) = first.map_or((1, 0), |error| error.pos);
            // What the parser says is about its grammar.
            refuse(offset_of(source, line, column), "this cannot be read")
        }
    }
}

/// What a character that is not on every keyboard was probably meant to be.
fn not_ascii(other: char) -> String {
    let meant = match other {
        '≥' => ">=",
        '≤' => "<=",
        '≠' => "!=",
        '×' | '·' => "*",
        '÷' => "/",
        '−' | '–' | '—' => "-",
        '“' | '”' | '„' | '‘' | '’' => "\"",
        '∧' => "&&",
        '∨' => "||",
        '¬' => "!",
        '\u{a0}' => {
            return "only ASCII characters may stand in an expression: write a space".into();
        }
        _ => return "only ASCII characters may stand in an expression".into(),
    };
    format!("only ASCII characters may stand in an expression: write {meant} for {other}")
}

/// What to write for a window of business days such as "20bd", if that is what a text is.
pub(super) fn instead_of_business_days(text: &str) -> Option<String> {
    let days: u32 = text.strip_suffix("bd")?.parse().ok()?;
    let weeks = days.div_ceil(5);
    Some(format!(
        "windows do not count business days: write {days} for so many observations, or a span such as \"{weeks}w\""
    ))
}

/// The span that a text such as "3 months" or "3m" was probably meant to be, in quotes.
pub(super) fn meant_span(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count: u32 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_matches(|c: char| !c.is_ascii_alphabetic());
    let (count, unit) = match unit.to_ascii_lowercase().as_str() {
        "d" | "day" | "days" => (count, "d"),
        "w" | "wk" | "week" | "weeks" => (count, "w"),
        "m" | "mo" | "mon" | "mth" | "month" | "months" => (count, "mo"),
        "q" | "quarter" | "quarters" => (count.checked_mul(3)?, "mo"),
        "y" | "yr" | "yrs" | "year" | "years" => (count, "y"),
        _ => return None,
    };
    let span = format!("{count}{unit}");
    Span::parse(&span)?;
    Some(format!("\"{span}\""))
}

/// What is endless or deep is refused before the parser sees it.
fn check_bounds(source: &str) -> Result<(), SyntaxError> {
    if source.len() > SOURCE_BYTES_MAX {
        return refuse(0, format!("longer than {SOURCE_BYTES_MAX} bytes"));
    }
    if let Some((offset, other)) = source
        .char_indices()
        .find(|(_, c)| !c.is_ascii() || *c == '\0')
    {
        return refuse(offset, not_ascii(other));
    }
    let (mut symbols, mut nesting) = (0, 0_usize);
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => nesting += 1,
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if byte.is_ascii_punctuation() && !matches!(byte, b'_' | b')' | b'"' | b'\'' | b',') {
            symbols += 1;
        }
        if nesting > NESTING_MAX {
            return refuse(offset, format!("more than {NESTING_MAX} nested brackets"));
        }
        if symbols > SYMBOLS_MAX {
            return refuse(
                offset,
                format!("more than {SYMBOLS_MAX} operators and calls"),
            );
        }
    }
    Ok(())
}

fn offset_of(source: &str, line: isize, column: isize) -> usize {
    let before: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    (before + usize::try_from(column).unwrap_or(0)).min(source.len())
}

/// For a call the parser gives the place of its bracket; its name is what is looked for.
fn name_before(source: &str, offset: usize) -> usize {
    let before = source.get(..offset).unwrap_or_default().trim_end();
    let is_bracket = source.as_bytes().get(offset) == Some(&b'(');
    let in_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    match before.bytes().rev().take_while(in_name).count() {
        0 => offset,
        name if is_bracket => before.len() - name,
        _ => offset,
    }
}

fn translate(tree: &IdedExpr, info: &SourceInfo) -> Result<Syntax, SyntaxError> {
    let (start, end) = info.offset_for(tree.id).unwrap_or((0, 0));
    let offset = name_before(&info.source, start as usize);
    let term = match &tree.expr {
        Expr::Literal(literal) => {
            let written = info.source.get(offset..=end as usize).unwrap_or_default();
            literal_term(literal, written, offset)?
        }
        Expr::Ident(name) => Term::Name(name.clone()),
        Expr::Call(call) => call_term(call, offset, info)?,
        Expr::Select(select) => {
            let field = &select.field;
            let meant = match &select.operand.expr {
                _ if method(field).is_some() => format!(".{field}(…)"),
                Expr::Ident(name) => format!("series(\"{name}.{field}\") for a name with a dot"),
                _ => format!(".{field}(…)"),
            };
            return refuse(
                offset,
                format!("\".{field}\" is no function call: write {meant}"),
            );
        }
        Expr::Comprehension(_) => {
            return refuse(offset, "macros such as map and all are not known");
        }
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
            return refuse(offset, "lists, maps and messages have no meaning here");
        }
    };
    Ok(Syntax { term, offset })
}

/// Numbers are taken from the text, not from the parser's floating point.
fn literal_term(literal: &LiteralValue, written: &str, offset: usize) -> Result<Term, SyntaxError> {
    let negative = match literal {
        LiteralValue::Double(number) => number.inner().is_sign_negative(),
        LiteralValue::Int(number) => *number.inner() < 0,
        LiteralValue::String(text) => return Ok(Term::Text(text.inner().to_owned())),
        LiteralValue::Boolean(truth) => return Ok(Term::Truth(*truth.inner())),
        _ => return refuse(offset, format!("{written} has no meaning here")),
    };
    let digits = written.trim_start_matches('-').trim();
    match parse_decimal(digits) {
        Some(number) if negative => Ok(Term::Number(-number)),
        Some(number) => Ok(Term::Number(number)),
        None => refuse(offset, no_decimal(written)),
    }
}

fn no_decimal(written: &str) -> String {
    format!("{written} is no plain decimal of at most 28 digits such as 0.5")
}

fn call_term(call: &CallExpr, offset: usize, info: &SourceInfo) -> Result<Term, SyntaxError> {
    let function = match call.func_name.as_str() {
        operators::LOGICAL_AND => "&&",
        operators::LOGICAL_OR => "||",
        operators::LOGICAL_NOT => "!",
        operators::SUBSTRACT => "-",
        operators::ADD => "+",
        operators::MULTIPLY => "*",
        operators::DIVIDE => "/",
        operators::GREATER_EQUALS => ">=",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::LESS => "<",
        operators::NEGATE => "neg",
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::CONDITIONAL => return refuse(offset, "\"?:\" is not known: use && and ||"),
        operators::MODULO => return refuse(offset, "\"%\" is not known"),
        operators::IN => return refuse(offset, "\"in\" is not known"),
        operators::INDEX | operators::OPT_INDEX => {
            return refuse(
                offset,
                "\"[…]\" is not known: use .previous(n) or .value_at(…)",
            );
        }
        named if named.starts_with(|c: char| c.is_ascii_alphabetic()) => named,
        other => return refuse(offset, format!("{other} is not known")),
    };
    let target = match &call.target {
        Some(target) => Some(Box::new(translate(target, info)?)),
        None => None,
    };
    let arguments = call.args.iter().map(|argument| translate(argument, info));
    Ok(Term::Call {
        function: function.to_owned(),
        target,
        arguments: arguments.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(source: &str, reason: &str) -> usize {
        let error = parse(source).expect_err(source);
        assert!(error.reason.contains(reason), "{source}: {}", error.reason);
        error.offset
    }

    #[test]
    fn numbers_are_exact() {
        for (source, exact) in [
            ("4.6900000000", "4.6900000000"),
            ("-0.10", "-0.10"),
            (
                "0.1234567890123456789012345678",
                "0.1234567890123456789012345678",
            ),
            ("12", "12"),
            ("-7", "-7"),
        ] {
            let exact: Decimal = exact.parse().unwrap();
            assert_eq!(parse(source).unwrap().term, Term::Number(exact), "{source}");
        }
        refused("1e3", "plain decimal");
        refused("1u", "no meaning");
        refused("0x10", "plain decimal");
    }

    #[test]
    fn an_integer_beyond_64_bits_wants_a_point() {
        let largest = "9223372036854775807";
        let exact = Decimal::from(i64::MAX);
        assert_eq!(parse(largest).unwrap().term, Term::Number(exact));
        let error = "an integer is at most 9223372036854775807: write 9223372036854775808.0";
        assert_eq!(refused("A > 9223372036854775808", error), 4);
        let digits_27 = "123456789012345678901234567";
        refused(digits_27, &format!("write {digits_27}.0"));
        let pointed = parse(&format!("{digits_27}.0")).unwrap().term;
        assert_eq!(pointed, Term::Number(digits_27.parse().unwrap()));
        refused(&"9".repeat(29), "plain decimal of at most 28 digits");
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(refused("A >\n 1 +", "missing after +"), 7);
        assert_eq!(refused("A > B.x", "no function call"), 5);
        refused("A ? B : C", "\"?:\"");
        refused("A.map(x, x > 1)", "macros");
        refused("[1, 2]", "lists");
        refused("A[1]", "[");
        refused("A % 2 > 1", "%");
        refused("null", "no meaning");
        refused("", "");
        refused("A > \u{a0}1", "ASCII");
        refused("\"unclosed", "never closed");
    }

    #[test]
    fn endless_and_deep_expressions_are_refused_at_once() {
        refused(&"1+".repeat(2_000), "longer");
        refused(&format!("{}1", "1+".repeat(900)), "operators");
        refused(&format!("{}A", "-".repeat(1_000)), "operators");
        refused(&format!("{}A", "!".repeat(1_000)), "operators");
        refused(&format!("A{}", ".abs()".repeat(300)), "operators");
        refused(&"(".repeat(100), "nested");
        refused(&"A.mean(".repeat(100), "nested");
        refused(&"[".repeat(100), "nested");
        parse(&format!("{}A", "1+".repeat(199))).unwrap();
        parse(&format!("{}A{}", "(".repeat(24), ")".repeat(24))).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(source in "[A-Z0-9.()+*/<>=!&|\" -]{0,60}") {
            let _ = parse(&source);
        }
    }
}
