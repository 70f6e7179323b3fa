//! Tokens as expressions.

use std::sync::Arc;

use crate::{
    Span,
    ast::{
        Argument, ArgumentKind, Body, Clause, Comparison, Def, Expr, ExprKind, Operator, Postfix,
        PostfixKind, Target,
    },
    error::{Error, Result},
    lexer::Token,
    parser::{Parser, check_arguments, target},
};

impl Parser {
    /// One expression, or several with commas between them, which make a tuple.
    pub(crate) fn tuple_or_one(&mut self) -> Result<Expr> {
        let start = self.span();
        let first = self.expression()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat(",") {
            if !self.starts_expression() {
                break;
            }
            items.push(self.expression()?);
        }
        Ok(Expr {
            kind: ExprKind::Tuple(items),
            span: start.to(self.last_span()),
        })
    }

    fn starts_expression(&self) -> bool {
        match self.token() {
            Token::Name(_) | Token::Int(_) | Token::Float(_) | Token::Text(_) => true,
            Token::Sign(sign) => matches!(
                *sign,
                "(" | "[" | "{" | "-" | "+" | "~" | "not" | "lambda" | "None" | "True" | "False"
            ),
            _ => false,
        }
    }

    /// Variables of a loop: `a`, `a, b`, `(a, b), c`.
    pub(crate) fn loop_variables(&mut self) -> Result<Target> {
        let start = self.span();
        // Not a whole expression, because `in` would be part of it.
        let first = self.postfix()?;
        if !self.is(",") {
            return target(first);
        }
        let mut items = vec![target(first)?];
        while self.eat(",") {
            if self.is("in") {
                break;
            }
            let item = self.postfix()?;
            items.push(target(item)?);
        }
        Ok(Target::Several(items, start.to(self.last_span())))
    }

    pub(crate) fn expression(&mut self) -> Result<Expr> {
        self.deeper(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Expr> {
        let start = self.span();
        if self.is("lambda") {
            return self.lambda();
        }
        let value = self.or()?;
        if !self.eat("if") {
            return Ok(value);
        }
        let condition = self.or()?;
        self.expect("else")?;
        let otherwise = self.expression()?;
        Ok(Expr {
            kind: ExprKind::If(Box::new((condition, value, otherwise))),
            span: start.to(self.last_span()),
        })
    }

    fn lambda(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let parameters = self.parameters(":")?;
        self.expect(":")?;
        let body = self.expression()?;
        let def = Def {
            name: "lambda".into(),
            parameters,
            body: Body::Expression(body),
            locals: 0,
            captured: false,
        };
        Ok(Expr {
            kind: ExprKind::Lambda(Arc::new(def)),
            span: start.to(self.last_span()),
        })
    }

    fn or(&mut self) -> Result<Expr> {
        self.joined("or", Self::and, ExprKind::Or)
    }

    fn and(&mut self) -> Result<Expr> {
        self.joined("and", Self::not, ExprKind::And)
    }

    fn joined(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expr>,
        make: fn(Vec<Expr>) -> ExprKind,
    ) -> Result<Expr> {
        let start = self.span();
        let first = part(self)?;
        if !self.is(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(word) {
            parts.push(part(self)?);
        }
        Ok(Expr {
            kind: make(parts),
            span: start.to(self.last_span()),
        })
    }

    fn not(&mut self) -> Result<Expr> {
        let start = self.span();
        if !self.eat("not") {
            return self.comparison();
        }
        let value = self.deeper(Self::not)?;
        Ok(Expr {
            kind: ExprKind::Not(Box::new(value)),
            span: start.to(self.last_span()),
        })
    }

    fn comparison(&mut self) -> Result<Expr> {
        let start = self.span();
        let left = self.chain(0)?;
        let Some(comparison) = self.comparison_sign() else {
            return Ok(left);
        };
        let right = self.chain(0)?;
        let again = self.span();
        if self.comparison_sign().is_some() {
            return Err(Error::syntax(again, "comparisons cannot be chained").help("write `a < b and b < c`"));
        }
        Ok(Expr {
            kind: ExprKind::Compare(comparison, Box::new((left, right))),
            span: start.to(self.last_span()),
        })
    }

    fn comparison_sign(&mut self) -> Option<Comparison> {
        let Token::Sign(sign) = self.token() else {
            return None;
        };
        let comparison = match *sign {
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "in" => Comparison::In,
            "not" => {
                self.advance();
                if !self.is("in") {
                    return None;
                }
                Comparison::NotIn
            }
            _ => return None,
        };
        self.advance();
        Some(comparison)
    }

    /// Operators of a level, and everything that binds tighter.
    fn chain(&mut self, level: usize) -> Result<Expr> {
        let Some(operators) = Operator::LEVELS.get(level) else {
            return self.unary();
        };
        let start = self.span();
        let first = self.chain(level + 1)?;
        let mut rest = Vec::new();
        while let Some((sign, operator)) = operators.iter().find(|(sign, _)| self.is(sign)) {
            self.eat(sign);
            rest.push((*operator, self.chain(level + 1)?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr {
            kind: ExprKind::Chain(Box::new(first), rest),
            span: start.to(self.last_span()),
        })
    }

    fn unary(&mut self) -> Result<Expr> {
        let start = self.span();
        let make = match self.token() {
            Token::Sign("-") => ExprKind::Negative,
            Token::Sign("+") => ExprKind::Positive,
            Token::Sign("~") => ExprKind::Invert,
            _ => return self.postfix(),
        };
        self.advance();
        let value = self.deeper(Self::unary)?;
        Ok(Expr {
            kind: make(Box::new(value)),
            span: start.to(self.last_span()),
        })
    }

    pub(crate) fn postfix(&mut self) -> Result<Expr> {
        let start = self.span();
        let base = self.atom()?;
        let mut chain = Vec::new();
        loop {
            let kind = if self.eat(".") {
                let name = self.name("a name")?;
                PostfixKind::Dot(name.name, name.span)
            } else if self.eat("(") {
                self.deeper(Self::arguments)?
            } else if self.eat("[") {
                self.deeper(Self::index)?
            } else {
                break;
            };
            chain.push(Postfix {
                kind,
                span: start.to(self.last_span()),
            });
        }
        if chain.is_empty() {
            return Ok(base);
        }
        Ok(Expr {
            kind: ExprKind::Postfix(Box::new(base), chain),
            span: start.to(self.last_span()),
        })
    }

    fn arguments(&mut self) -> Result<PostfixKind> {
        let mut arguments = Vec::new();
        while !self.is(")") {
            let kind = if self.eat("**") {
                ArgumentKind::RestNamed
            } else if self.eat("*") {
                ArgumentKind::Rest
            } else {
                self.argument_name().unwrap_or(ArgumentKind::Positional)
            };
            let value = self.expression()?;
            if self.is("for") && arguments.is_empty() {
                return Err(Error::syntax(self.span(), "there are no generators in Starlark")
                    .help("put brackets around it: `[x for x in …]`"));
            }
            arguments.push(Argument { kind, value });
            if !self.eat(",") {
                break;
            }
        }
        self.expect_closing(")")?;
        check_arguments(&arguments)?;
        Ok(PostfixKind::Call(arguments))
    }

    /// `name =` before an argument.
    fn argument_name(&mut self) -> Option<ArgumentKind> {
        let (Token::Name(name), Some((Token::Sign("="), _))) = (self.token(), self.ahead()) else {
            return None;
        };
        let kind = ArgumentKind::Named(Arc::clone(name), self.span());
        self.advance();
        self.advance();
        Some(kind)
    }

    fn index(&mut self) -> Result<PostfixKind> {
        let mut parts = [None, None, None];
        let mut at = 0;
        if !self.is(":") {
            let index = self.tuple_or_one()?;
            if self.eat("]") {
                return Ok(PostfixKind::Index(index));
            }
            parts[0] = Some(index);
        }
        while at < 2 && self.eat(":") {
            at += 1;
            if !self.is(":") && !self.is("]") {
                parts[at] = Some(self.expression()?);
            }
        }
        self.expect_closing("]")?;
        Ok(PostfixKind::Slice(Box::new(parts)))
    }

    fn atom(&mut self) -> Result<Expr> {
        let span = self.span();
        let kind = match self.token() {
            Token::Int(number) => ExprKind::Int(*number),
            Token::Float(number) => ExprKind::Float(*number),
            Token::Text(text) => ExprKind::Text(Arc::clone(text)),
            Token::Name(_) => ExprKind::Name(self.name("a name")?),
            Token::Sign("None") => ExprKind::None,
            Token::Sign("True") => ExprKind::Bool(true),
            Token::Sign("False") => ExprKind::Bool(false),
            Token::Sign("(") => return self.deeper(Self::parenthesis),
            Token::Sign("[") => return self.deeper(Self::list),
            Token::Sign("{") => return self.deeper(Self::dict),
            Token::Sign("load") => {
                return Err(Error::syntax(
                    span,
                    "`load` must stand by itself, at the top of the file",
                ));
            }
            _ => return Err(self.unexpected("a value")),
        };
        let is_text = matches!(kind, ExprKind::Text(_));
        if !matches!(kind, ExprKind::Name(_)) {
            self.advance();
        }
        if is_text && matches!(self.token(), Token::Text(_)) {
            return Err(Error::syntax(self.span(), "two texts stand side by side")
                .help("put a comma or a `+` between them"));
        }
        Ok(Expr { kind, span })
    }

    fn parenthesis(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        if self.eat(")") {
            return Ok(Expr {
                kind: ExprKind::Tuple(Vec::new()),
                span: start.to(self.last_span()),
            });
        }
        let mut inner = self.tuple_or_one()?;
        if self.is("for") {
            return Err(Error::syntax(self.span(), "there are no generators in Starlark")
                .help("use brackets: `[x for x in …]`"));
        }
        self.expect_closing(")")?;
        if matches!(inner.kind, ExprKind::Tuple(_)) {
            inner.span = start.to(self.last_span());
        }
        Ok(inner)
    }

    fn list(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let mut items = Vec::new();
        while !self.is("]") {
            let item = self.expression()?;
            if items.is_empty() && self.is("for") {
                let clauses = self.clauses()?;
                self.expect_closing("]")?;
                return Ok(Expr {
                    kind: ExprKind::ListComprehension(Box::new(item), clauses),
                    span: start.to(self.last_span()),
                });
            }
            items.push(item);
            if !self.eat(",") {
                break;
            }
        }
        self.expect_closing("]")?;
        Ok(Expr {
            kind: ExprKind::List(items),
            span: start.to(self.last_span()),
        })
    }

    fn dict(&mut self) -> Result<Expr> {
        let start = self.span();
        self.advance();
        let mut entries = Vec::new();
        while !self.is("}") {
            let key = self.expression()?;
            if !self.eat(":") {
                let error = self.unexpected("`:`");
                return Err(if self.is("=") {
                    error.help("a dict is written `{\"name\": value}`")
                } else {
                    error
                });
            }
            let value = self.expression()?;
            if entries.is_empty() && self.is("for") {
                let clauses = self.clauses()?;
                self.expect_closing("}")?;
                return Ok(Expr {
                    kind: ExprKind::DictComprehension(Box::new((key, value)), clauses),
                    span: start.to(self.last_span()),
                });
            }
            entries.push((key, value));
            if !self.eat(",") {
                break;
            }
        }
        self.expect_closing("}")?;
        Ok(Expr {
            kind: ExprKind::Dict(entries),
            span: start.to(self.last_span()),
        })
    }

    fn clauses(&mut self) -> Result<Vec<Clause>> {
        let mut clauses = Vec::new();
        loop {
            if self.eat("for") {
                let variables = self.loop_variables()?;
                self.expect("in")?;
                clauses.push(Clause::For(variables, self.or()?));
            } else if self.eat("if") {
                clauses.push(Clause::If(self.or()?));
            } else {
                return Ok(clauses);
            }
        }
    }

    fn expect_closing(&mut self, sign: &str) -> Result<()> {
        if self.eat(sign) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`,` or `{sign}`")))
    }

    fn ahead(&self) -> Option<&(Token, Span)> {
        self.peek_at(1)
    }
}
