//! The walk over an expression: the type of each part, what it looks at, and what
//! of it can never work.

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo};

use super::operators::Refusal;
use super::{Known, LOOK_DEPTH, Look, Reading, SHOWN_DEPTH, Type, calls, of_path, operators, place};
use crate::expression::Mistake;

pub(super) fn read(expression: &IdedExpr, info: &SourceInfo, text: &str, known: &Known<'_>) -> Reading {
    let mut walk = Walk { info, text, known, bound: Vec::new(), looks: Vec::new(), doubts: Vec::new() };
    let kind = walk.of(expression);
    Reading { kind, looks: walk.looks, doubts: walk.doubts }
}

struct Walk<'a> {
    info: &'a SourceInfo,
    text: &'a str,
    known: &'a Known<'a>,
    /// Names that the expression binds itself.
    bound: Vec<(String, Type)>,
    looks: Vec<Look>,
    doubts: Vec<Mistake>,
}

impl Walk<'_> {
    fn of(&mut self, expr: &IdedExpr) -> Type {
        if let Some((root, path, has)) = self.path(expr) {
            return self.look(expr, root, path, has);
        }
        match &expr.expr {
            Expr::Literal(literal) => of_literal(literal),
            Expr::Ident(name) => self.bound.iter().rev().find(|(bound, _)| bound == name).map_or(Type::Any, |it| it.1),
            Expr::Select(select) => {
                let operand = self.of(&select.operand);
                match operand {
                    Type::Any | Type::Map if select.test => Type::Bool,
                    Type::Any | Type::Map => Type::Any,
                    other => {
                        let why = format!("{} has no field `{}`", other.name(), select.field);
                        self.doubt(expr, (why, None))
                    }
                }
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                for element in &list.elements {
                    self.of(element);
                }
                Type::List
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            let key = self.of(&entry.key);
                            if !matches!(key, Type::Any | Type::Bool | Type::Int | Type::Uint | Type::Text) {
                                self.doubt(&entry.key, (format!("the key of a map is text, not {}", key.name()), None));
                            }
                            self.of(&entry.value);
                        }
                        EntryExpr::StructField(field) => {
                            self.of(&field.value);
                        }
                    }
                }
                Type::Map
            }
            Expr::Comprehension(written_out) => self.loop_over(written_out),
            Expr::Struct(_) | Expr::Unspecified => Type::Any,
        }
    }

    /// The name and fields that an expression is, where it is nothing else and the
    /// name is from outside.
    fn path<'e>(&self, expr: &'e IdedExpr) -> Option<(&'e IdedExpr, Vec<String>, bool)> {
        let mut path = Vec::new();
        let mut has = false;
        let mut at = expr;
        loop {
            match &at.expr {
                Expr::Ident(name) if self.bound.iter().all(|(bound, _)| bound != name) => {
                    path.push(name.clone());
                    path.reverse();
                    return Some((at, path, has));
                }
                Expr::Select(SelectExpr { operand, field, test }) => {
                    if *test && !path.is_empty() {
                        return None;
                    }
                    has |= *test;
                    path.push(field.clone());
                    at = operand;
                }
                Expr::Call(CallExpr { func_name, target: None, args }) if func_name == op::INDEX => {
                    let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice()
                    else {
                        return None;
                    };
                    path.push(name.inner().to_owned());
                    at = operand;
                }
                _ => return None,
            }
        }
    }

    fn look(&mut self, expr: &IdedExpr, root: &IdedExpr, path: Vec<String>, has: bool) -> Type {
        let (kind, wrong) = of_path(&path, self.known);
        if let Some(why) = wrong {
            self.doubt(expr, (why, None));
        }
        let path: Vec<String> = path.into_iter().take(LOOK_DEPTH).collect();
        let at = place::of_look(self.text, self.info, root, path.len().min(SHOWN_DEPTH));
        self.looks.push(Look { path, at, has });
        if has { Type::Bool } else { kind }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Type {
        let given: Vec<Type> = call.target.iter().map(|it| &**it).chain(&call.args).map(|part| self.of(part)).collect();
        let name = call.func_name.as_str();
        let result = match (name, given.as_slice()) {
            (op::CONDITIONAL, [condition, yes, no]) => match condition.can_be(Type::Bool) {
                true => Ok(yes.or(*no)),
                false => Err((format!("what stands before `?` is a boolean, not {}", condition.name()), None)),
            },
            // The parser's own, in loops.
            (op::NOT_STRICTLY_FALSE, _) => Ok(Type::Bool),
            (_, [left, right]) if is_operator(name) => operators::binary(name, *left, *right),
            (_, [side]) if is_operator(name) => operators::unary(name, *side),
            (_, given) => calls::call(name, call.target.is_some(), given),
        };
        if let ("matches", Ok(_), Some(pattern)) = (name, &result, call.args.last()) {
            self.pattern(pattern);
        }
        match result {
            Ok(kind) => kind,
            Err(refusal) => self.doubt(expr, refusal),
        }
    }

    /// A pattern that is written out is one.
    fn pattern(&mut self, pattern: &IdedExpr) {
        if let Expr::Literal(LiteralValue::String(text)) = &pattern.expr
            && let Err(why) = crate::expression::pattern(text.inner())
        {
            self.doubt(pattern, (why, None));
        }
    }

    /// A loop as the parser writes it out: what it gathers is of the type that it
    /// begins with.
    fn loop_over(&mut self, written_out: &ComprehensionExpr) -> Type {
        let range = self.of(&written_out.iter_range);
        if !matches!(range, Type::Any | Type::List | Type::Map) {
            let why = format!("a loop goes over a list or a map, not over {}", range.name());
            self.doubt(&written_out.iter_range, (why, None));
        }
        let gathered = self.of(&written_out.accu_init);
        let before = self.bound.len();
        let names = [Some(&written_out.iter_var), written_out.iter_var2.as_ref()];
        self.bound.extend(names.into_iter().flatten().map(|name| (name.clone(), Type::Any)));
        self.bound.push((written_out.accu_var.clone(), gathered));
        self.of(&written_out.loop_cond);
        self.of(&written_out.loop_step);
        let result = self.of(&written_out.result);
        self.bound.truncate(before);
        result
    }

    fn doubt(&mut self, expr: &IdedExpr, (message, hint): Refusal) -> Type {
        let at = place::of(self.text, self.info, expr);
        let mistake = Mistake { message, hint: hint.map(str::to_owned), at };
        if !self.doubts.contains(&mistake) {
            self.doubts.push(mistake);
        }
        Type::Any
    }
}

fn is_operator(name: &str) -> bool {
    name.starts_with('_') || name.ends_with('_') || name == op::IN
}

fn of_literal(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::UInt(_) => Type::Uint,
    }
}
