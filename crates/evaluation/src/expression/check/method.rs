//! The functions of a series.

use super::{CompileError, Compiler, Type, Typed, refuse};
use crate::calendar::{Span, Window};
use crate::expression::function::{Method, method, method_suggestion};
use crate::expression::node::{NodeIndex, Op, Relation, Statistic};
use crate::expression::parse::Syntax;
use crate::expression::terms::{excluding, window_of};

impl Compiler {
    pub(super) fn method(
        &mut self,
        at: &Syntax,
        name: &str,
        target: &Syntax,
        arguments: &[Syntax],
    ) -> Result<Typed, CompileError> {
        let Some(method) = method(name) else {
            let hint = method_suggestion(name);
            return refuse(at, format!("there is no function .{name}(…){hint}"));
        };
        let over = self.compile(target)?;
        let needed = match method {
            Method::Rolling(Statistic::Sustained) => Type::Condition,
            _ => Type::Series,
        };
        if over.of != needed {
            return refuse(
                target,
                format!(".{name}(…) of {}, not of {needed}", over.of),
            );
        }
        match (method, arguments) {
            (Method::Rolling(statistic), [window, rest @ ..]) => {
                let window = window_of(window, name)?;
                let excluding_current = excluding(rest, name, statistic)?;
                self.windowed(at, over, |over| Op::Rolling {
                    over,
                    window,
                    excluding_current,
                    statistic,
                })
            }
            (Method::Past(relation), [ago]) => {
                let ago = window_of(ago, name)?;
                self.past(at, over, ago, relation)
            }
            (Method::Previous, [count]) => match window_of(count, name)? {
                ago @ Window::Count(_) => self.past(at, over, ago, Relation::Value),
                Window::Span(_) => refuse(count, ".previous(n) takes a number of observations"),
            },
            (Method::PercentChangeOn { months }, []) => {
                let ago = Window::Span(Span::Months(months));
                self.past(at, over, ago, Relation::PercentChange)
            }
            (Method::DaysSince, []) => self.add(at, Op::DaysSince(over.node), Type::Series),
            (Method::Abs, []) => self.add(at, Op::Abs(over.node), Type::Series),
            (Method::Latest, []) => Ok(over),
            (Method::Rolling(_) | Method::Past(_), _) => refuse(
                at,
                format!(".{name}(…) takes a window such as \"3mo\" or 5"),
            ),
            (Method::Previous, _) => refuse(at, ".previous(n) takes a number of observations"),
            _ => refuse(at, format!(".{name}() takes no arguments")),
        }
    }

    fn past(
        &mut self,
        at: &Syntax,
        over: Typed,
        ago: Window,
        relation: Relation,
    ) -> Result<Typed, CompileError> {
        self.windowed(at, over, |over| Op::Past {
            over,
            ago,
            relation,
        })
    }

    fn windowed(
        &mut self,
        at: &Syntax,
        over: Typed,
        op: impl FnOnce(NodeIndex) -> Op,
    ) -> Result<Typed, CompileError> {
        let under = &self.program.nodes[over.node.position()];
        if under.inputs == 0 {
            return refuse(at, "a window over what is no series");
        }
        if !self.program.patterns_of(over.node).is_empty() {
            return refuse(at, "a window over pattern(…)");
        }
        let input_itself = matches!(under.op, Op::Input(_));
        self.program.nodes[over.node.position()].kept |= !input_itself;
        self.add(at, op(over.node), over.of)
    }
}
