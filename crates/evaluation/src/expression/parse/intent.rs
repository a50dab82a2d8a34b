//! Mistakes that a parser would answer in its own words: the first one of an expression from the left, and
//! what was probably meant.

use super::tokens::{Kind, Token, tokens};
use super::{SyntaxError, refuse};
use crate::expression::value::parse_decimal;

type Checked = Result<(), SyntaxError>;

/// Refuses what cannot be an expression. What is let in may still be refused by the parser or the
/// checker.
pub(super) fn check_intent(source: &str) -> Checked {
    let mut reader = Reader {
        tokens: tokens(source)?,
        at: 0,
        wants_operand: true,
        open: Vec::new(),
    };
    while reader.at < reader.tokens.len() {
        reader.step()?;
        reader.at += 1;
    }
    reader.end()
}

/// An open bracket.
#[derive(Clone, Copy)]
struct Open {
    offset: usize,
    is_call: bool,
}

/// Goes from left to right; operands and operators take turns.
struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    wants_operand: bool,
    open: Vec<Open>,
}

impl<'a> Reader<'a> {
    fn token(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    fn before(&self) -> Option<Token<'a>> {
        self.at.checked_sub(1).map(|before| self.tokens[before])
    }

    fn after(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).copied()
    }

    /// Whether the next token can begin an operand.
    fn operand_follows(&self) -> bool {
        self.after().is_some_and(|next| match next.kind {
            Kind::Sign => matches!(next.text, "(" | "-" | "!"),
            Kind::Word | Kind::Number | Kind::Text => true,
        })
    }

    fn step(&mut self) -> Checked {
        match self.token().kind {
            Kind::Word => self.word(),
            Kind::Number => self.number(),
            Kind::Text => self.operand(),
            Kind::Sign => self.sign(),
        }
    }

    fn word(&mut self) -> Checked {
        let token = self.token();
        let lower = token.text.to_ascii_lowercase();
        if !self.wants_operand && !self.follows_dot() {
            return self.word_for_operator(&lower);
        }
        if self.wants_operand && lower == "not" && self.operand_follows() {
            return refuse(token.offset, "write ! for not, as in !(A > 1)");
        }
        self.wants_operand = false;
        Ok(())
    }

    fn follows_dot(&self) -> bool {
        self.before().is_some_and(|before| before.is("."))
    }

    /// A word where an operator is needed.
    fn word_for_operator(&self, lower: &str) -> Checked {
        let token = self.token();
        let sign = match lower {
            "and" => "&&",
            "or" => "||",
            "is" | "equals" | "equal" | "eq" => "==",
            "above" | "over" | "exceeds" | "greater" | "gt" => ">",
            "below" | "under" | "less" | "lt" => "<",
            "ge" | "gte" => ">=",
            "le" | "lte" => "<=",
            "ne" => "!=",
            "plus" => "+",
            "minus" => "-",
            "times" => "*",
            "percent" | "pct" => return self.percent(token.offset),
            "in" => return refuse(token.offset, "\"in\" is not known: compare with == and ||"),
            _ => return self.missing_operator(),
        };
        refuse(token.offset, format!("write {sign} for {}", token.text))
    }

    fn missing_operator(&self) -> Checked {
        let token = self.token();
        let before = self.before().map_or("", |before| before.text);
        let reason = format!(
            "an operator such as > or && is missing between {before} and {}",
            token.text
        );
        refuse(token.offset, reason)
    }

    fn operand(&mut self) -> Checked {
        if !self.wants_operand {
            return self.missing_operator();
        }
        self.wants_operand = false;
        Ok(())
    }

    fn number(&mut self) -> Checked {
        let token = self.token();
        self.operand()?;
        let is_digit = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
        let digits = token.text.trim_end_matches(|c: char| !is_digit(c));
        let unit = &token.text[digits.len()..];
        let many = match unit {
            "" => {
                self.large_integer()?;
                return self.separators();
            }
            "bd" => match super::instead_of_business_days(token.text) {
                Some(instead) => return refuse(token.offset, instead),
                None => return Ok(()),
            },
            "d" | "w" | "mo" | "y" => {
                let reason = format!("a span stands in quotes: \"{}\"", token.text);
                return refuse(token.offset, reason);
            }
            "k" | "K" => "thousands",
            "m" | "M" | "mn" | "mm" => "millions",
            "b" | "B" | "bn" | "G" => "billions",
            "t" | "T" | "tn" => "trillions",
            "pct" | "percent" => return self.percent(token.offset),
            _ => return Ok(()),
        };
        if let Some(span) = super::meant_span(token.text)
            && self.open.last().is_some_and(|open| open.is_call)
        {
            return refuse(token.offset, format!("a span stands in quotes: {span}"));
        }
        let reason = format!("{many} are not known: write the number out, in the series' unit");
        refuse(token.offset, reason)
    }

    /// The parser reads numbers without a point as integers of 64 bits.
    fn large_integer(&self) -> Checked {
        let token = self.token();
        let is_integer = token.text.bytes().all(|b| b.is_ascii_digit());
        if !is_integer || token.text.parse::<i64>().is_ok() {
            return Ok(());
        }
        let with_point = format!("{}.0", token.text);
        let reason = match parse_decimal(&with_point) {
            Some(_) => format!("an integer is at most {}: write {with_point}", i64::MAX),
            None => super::no_decimal(token.text),
        };
        refuse(token.offset, reason)
    }

    /// "1,000", "0,5", "1_000".
    fn separators(&self) -> Checked {
        let token = self.token();
        if token.text.contains('_') {
            let plain = token.text.replace('_', "");
            return refuse(token.offset, format!("write {plain}, without separators"));
        }
        let in_call = self.open.last().is_some_and(|open| open.is_call);
        let (comma, rest) = (self.after(), self.tokens.get(self.at + 2));
        if let (Some(comma), Some(rest)) = (comma, rest)
            && !in_call
            && comma.is(",")
            && rest.kind == Kind::Number
            && comma.offset == token.end()
            && rest.offset == comma.end()
        {
            let (whole, part) = (token.text, rest.text);
            let reason = match part.split('.').next().map_or(0, str::len) {
                3 => format!("write {whole}{part}, without separators"),
                _ => format!("write {whole}.{part}, with a decimal point"),
            };
            return refuse(token.offset, reason);
        }
        Ok(())
    }

    fn percent(&self, offset: usize) -> Checked {
        let number = match self.token().kind {
            Kind::Number => Some(self.token()),
            _ => self.before().filter(|before| before.kind == Kind::Number),
        };
        let digits = number.map_or("6", |number| {
            number
                .text
                .trim_end_matches(|c: char| c.is_ascii_alphabetic())
        });
        refuse(
            offset,
            format!("write {digits}: yoy, pct_change and series in percent are in percent already"),
        )
    }

    fn sign(&mut self) -> Checked {
        let token = self.token();
        match token.text {
            "(" => self.opening(),
            ")" => self.closing(),
            "," => self.comma(),
            "." if self.wants_operand => {
                refuse(token.offset, "something is missing before the dot")
            }
            "." => match self.after() {
                Some(next) if next.kind == Kind::Word => Ok(()),
                _ => refuse(token.offset, "a function is missing after the dot"),
            },
            "[" | "]" if self.wants_operand => refuse(token.offset, "lists have no meaning here"),
            "[" | "]" => refuse(
                token.offset,
                "\"[…]\" is not known: use .previous(n) or .value_at(…)",
            ),
            "{" | "}" => refuse(token.offset, "curly brackets have no meaning here"),
            "?" | ":" => refuse(token.offset, "\"?:\" is not known: use && and ||"),
            "-" | "!" if self.wants_operand => Ok(()),
            _ => self.operator(),
        }
    }

    fn opening(&mut self) -> Checked {
        let token = self.token();
        let is_call = !self.wants_operand;
        let named = self
            .before()
            .is_some_and(|before| before.kind == Kind::Word);
        if is_call && !named {
            return self.missing_operator();
        }
        self.open.push(Open {
            offset: token.offset,
            is_call,
        });
        self.wants_operand = true;
        Ok(())
    }

    fn closing(&mut self) -> Checked {
        let token = self.token();
        let Some(open) = self.open.pop() else {
            return refuse(token.offset, "this bracket was never opened");
        };
        let is_empty = self.before().is_some_and(|before| before.is("("));
        match (self.wants_operand, is_empty) {
            (true, true) if !open.is_call => {
                refuse(token.offset, "nothing stands in these brackets")
            }
            (true, false) => self.missing_operand(),
            _ => {
                self.wants_operand = false;
                Ok(())
            }
        }
    }

    fn comma(&mut self) -> Checked {
        let token = self.token();
        if self.wants_operand {
            return self.missing_operand();
        }
        if !self.open.last().is_some_and(|open| open.is_call) {
            return refuse(
                token.offset,
                "a comma stands only between the arguments of a function",
            );
        }
        self.wants_operand = true;
        Ok(())
    }

    fn operator(&mut self) -> Checked {
        let token = self.token();
        let meant = match token.text {
            "&" => Some("&&"),
            "|" => Some("||"),
            "=" | "===" | ":=" => Some("=="),
            "=>" => Some(">="),
            "=<" => Some("<="),
            "<>" | "!==" | "~" => Some("!="),
            ">>" => Some(">"),
            "<<" => Some("<"),
            _ => None,
        };
        if let Some(meant) = meant {
            return refuse(token.offset, format!("write {meant} for {}", token.text));
        }
        match token.text {
            "%" if !self.operand_follows() => return self.percent(token.offset),
            "%" => return refuse(token.offset, "\"%\" is not known"),
            "^" | "**" => {
                let reason = format!("{} is not known: write A * A for a square", token.text);
                return refuse(token.offset, reason);
            }
            ";" => return refuse(token.offset, "an expression ends without ;"),
            "!" => return refuse(token.offset, "! stands before a condition, as in !(A > 1)"),
            "+" | "-" | "*" | "/" | "<" | "<=" | ">" | ">=" | "==" | "!=" | "&&" | "||" => {}
            other => return refuse(token.offset, format!("{other} has no meaning here")),
        }
        if self.wants_operand {
            return self.missing_operand();
        }
        self.wants_operand = true;
        Ok(())
    }

    /// At a token, or the end, in front of which something has to stand.
    fn missing_operand(&self) -> Checked {
        let offset = |token: &Token<'_>| token.offset;
        let here = self.tokens.get(self.at).map_or(0, offset);
        match self.before() {
            Some(before) if before.is("(") => refuse(here, "something is missing here"),
            Some(before) if before.is(",") => {
                refuse(before.offset, "an argument is missing after ,")
            }
            Some(before) => {
                let reason = format!("something is missing after {}", before.text);
                refuse(before.offset, reason)
            }
            None => {
                let sign = self.tokens.first().map_or("", |token| token.text);
                refuse(here, format!("something is missing before {sign}"))
            }
        }
    }

    fn end(&self) -> Checked {
        if self.tokens.is_empty() {
            return refuse(0, "there is no expression");
        }
        if let Some(open) = self.open.last() {
            return refuse(open.offset, "this bracket is never closed");
        }
        if self.wants_operand {
            return self.missing_operand();
        }
        Ok(())
    }
}
