//! Tokens as statements.

use std::sync::Arc;

use crate::{
    Span,
    ast::{
        Argument, ArgumentKind, Body, Def, Expr, LoadedName, Module, Name, Operator, Parameter,
        ParameterKind, Statement, StatementKind, Target,
    },
    ast::{Binding, ExprKind, PostfixKind},
    error::{Error, ErrorKind, Result},
    lexer::{self, Token},
};

/// How deep blocks and expressions may be nested, together.
pub(crate) const NESTING_MAX: u32 = 100;

pub(crate) struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: u32,
    /// In a function; in a loop of it.
    in_def: bool,
    in_loop: bool,
}

/// Reads a file. Names are not resolved yet.
pub(crate) fn parse(text: &str, base: u32) -> Result<Module> {
    let mut parser = Parser {
        tokens: lexer::tokens(text, base)?,
        at: 0,
        depth: 0,
        in_def: false,
        in_loop: false,
    };
    let mut body = Vec::new();
    while *parser.token() != Token::End {
        parser.statement(&mut body, true)?;
    }
    Ok(Module {
        body,
        globals: Vec::new(),
        exported: Vec::new(),
        locals: 0,
        captured: false,
    })
}

impl Parser {
    pub(crate) fn token(&self) -> &Token {
        &self.tokens[self.at].0
    }

    pub(crate) fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    /// End of the token before.
    pub(crate) fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].1
    }

    pub(crate) fn peek_at(&self, ahead: usize) -> Option<&(Token, Span)> {
        self.tokens.get(self.at + ahead)
    }

    pub(crate) fn advance(&mut self) {
        // The last token, the end, stays.
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    pub(crate) fn is(&self, sign: &str) -> bool {
        matches!(self.token(), Token::Sign(found) if *found == sign)
    }

    pub(crate) fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.advance();
        }
        found
    }

    pub(crate) fn expect(&mut self, sign: &str) -> Result<()> {
        if self.eat(sign) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{sign}`")))
        }
    }

    /// The error that something else was expected here.
    pub(crate) fn unexpected(&self, wanted: &str) -> Box<Error> {
        let found = match self.token() {
            Token::Name(name) => format!("`{name}`"),
            Token::Int(_) | Token::Float(_) => "a number".to_owned(),
            Token::Text(_) => "a text".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::Newline => "the end of the line".to_owned(),
            Token::Indent => "a deeper block".to_owned(),
            Token::Dedent => "the end of the block".to_owned(),
            Token::End => "the end of the file".to_owned(),
        };
        Error::syntax(self.span(), format!("expected {wanted}, found {found}"))
    }

    /// Goes a level deeper; every recursion of the parser passes here.
    pub(crate) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= NESTING_MAX {
            let message = format!("this is nested more than {NESTING_MAX} levels deep");
            return Err(Error::new(ErrorKind::Depth, message)
                .at(self.span())
                .help("move a part of it into a function or a variable"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub(crate) fn name(&mut self, wanted: &str) -> Result<Name> {
        let Token::Name(name) = self.token() else {
            return Err(self.unexpected(wanted));
        };
        let name = Name {
            name: Arc::clone(name),
            span: self.span(),
            binding: Binding::Unresolved,
        };
        self.advance();
        Ok(name)
    }

    fn text(&mut self, wanted: &str) -> Result<(Arc<str>, Span)> {
        let Token::Text(text) = self.token() else {
            return Err(self.unexpected(wanted));
        };
        let found = (Arc::clone(text), self.span());
        self.advance();
        Ok(found)
    }

    fn statement(&mut self, body: &mut Vec<Statement>, top: bool) -> Result<()> {
        let start = self.span();
        match self.token() {
            Token::Sign("def") => {
                let kind = self.def()?;
                self.push(body, kind, start);
            }
            Token::Sign("if") => {
                let kind = self.if_statement()?;
                self.push(body, kind, start);
            }
            Token::Sign("for") => {
                let kind = self.for_statement()?;
                self.push(body, kind, start);
            }
            Token::Indent => {
                return Err(Error::syntax(
                    self.span(),
                    "this line is indented, but no block starts here",
                ));
            }
            _ => loop {
                let start = self.span();
                let kind = self.simple(top)?;
                self.push(body, kind, start);
                let more = self.eat(";");
                if *self.token() == Token::Newline {
                    self.advance();
                    break;
                }
                if !more {
                    return Err(self.unexpected("the end of the line"));
                }
            },
        }
        Ok(())
    }

    fn push(&self, body: &mut Vec<Statement>, kind: StatementKind, start: Span) {
        body.push(Statement {
            kind,
            span: start.to(self.last_span()),
        });
    }

    fn simple(&mut self, top: bool) -> Result<StatementKind> {
        let start = self.span();
        if self.eat("pass") {
            return Ok(StatementKind::Pass);
        }
        for (word, kind) in [
            ("break", StatementKind::Break),
            ("continue", StatementKind::Continue),
        ] {
            if self.eat(word) {
                return if self.in_loop {
                    Ok(kind)
                } else {
                    Err(Error::syntax(start, format!("`{word}` stands outside a loop")))
                };
            }
        }
        if self.eat("return") {
            if !self.in_def {
                return Err(Error::syntax(start, "`return` stands outside a function"));
            }
            let ends = matches!(self.token(), Token::Newline | Token::Sign(";"));
            let value = if ends { None } else { Some(self.tuple_or_one()?) };
            return Ok(StatementKind::Return(value));
        }
        if self.eat("load") {
            if !top {
                return Err(Error::syntax(start, "`load` must stand at the top of the file")
                    .help("a file is loaded once, whatever happens inside functions"));
            }
            return self.load();
        }
        let left = self.tuple_or_one()?;
        if self.eat("=") {
            let target = target(left)?;
            let value = self.tuple_or_one()?;
            if self.is("=") {
                return Err(Error::syntax(self.span(), "one assignment at a time"));
            }
            return Ok(StatementKind::Assign(target, value));
        }
        for (sign, operator) in Operator::LEVELS.iter().flat_map(|level| level.iter()) {
            if self.eat(&format!("{sign}=")) {
                let target = target(left)?;
                if let Target::Several(_, span) = target {
                    return Err(Error::syntax(span, format!("`{sign}=` takes one variable")));
                }
                return Ok(StatementKind::Augment(target, *operator, self.tuple_or_one()?));
            }
        }
        Ok(StatementKind::Expression(left))
    }

    /// The block behind a colon.
    fn block(&mut self) -> Result<Vec<Statement>> {
        self.expect(":")?;
        let mut body = Vec::new();
        self.deeper(|parser| {
            if *parser.token() != Token::Newline {
                return parser.statement(&mut body, false);
            }
            parser.advance();
            if *parser.token() != Token::Indent {
                return Err(parser.unexpected("an indented block"));
            }
            parser.advance();
            while *parser.token() != Token::Dedent {
                parser.statement(&mut body, false)?;
            }
            parser.advance();
            Ok(())
        })?;
        Ok(body)
    }

    fn if_statement(&mut self) -> Result<StatementKind> {
        let mut branches = Vec::new();
        self.advance();
        loop {
            let condition = self.expression()?;
            branches.push((condition, self.block()?));
            if self.eat("elif") {
                continue;
            }
            let otherwise = if self.eat("else") {
                self.block()?
            } else {
                Vec::new()
            };
            return Ok(StatementKind::If(branches, otherwise));
        }
    }

    fn for_statement(&mut self) -> Result<StatementKind> {
        self.advance();
        let variables = self.loop_variables()?;
        self.expect("in")?;
        let over = self.tuple_or_one()?;
        let outer = std::mem::replace(&mut self.in_loop, true);
        let body = self.block();
        self.in_loop = outer;
        Ok(StatementKind::For(variables, over, body?))
    }

    fn def(&mut self) -> Result<StatementKind> {
        self.advance();
        let name = self.name("the name of the function")?;
        self.expect("(")?;
        let parameters = self.parameters(")")?;
        self.expect(")")?;
        if self.is("->") {
            return Err(Error::syntax(self.span(), "there are no types in Starlark"));
        }
        let outer = (
            std::mem::replace(&mut self.in_def, true),
            std::mem::replace(&mut self.in_loop, false),
        );
        let body = self.block();
        (self.in_def, self.in_loop) = outer;
        let def = Def {
            name: Arc::clone(&name.name),
            parameters,
            body: Body::Block(body?),
            locals: 0,
            captured: false,
        };
        Ok(StatementKind::Def(name, Arc::new(def)))
    }

    /// Parameters up to `end`, which is not taken.
    pub(crate) fn parameters(&mut self, end: &str) -> Result<Vec<Parameter>> {
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut star = false;
        let mut bare_star = None;
        while !self.is(end) {
            let start = self.span();
            if let Some(last) = parameters.last()
                && matches!(last.kind, ParameterKind::RestNamed)
            {
                return Err(Error::syntax(start, "nothing may follow the parameter with `**`"));
            }
            let kind = if self.eat("**") {
                ParameterKind::RestNamed
            } else if self.eat("*") {
                if std::mem::replace(&mut star, true) {
                    return Err(Error::syntax(start, "there can be one `*` only"));
                }
                if self.is(",") {
                    bare_star = Some(start);
                    self.advance();
                    continue;
                }
                ParameterKind::Rest
            } else {
                ParameterKind::Normal(None)
            };
            let name = self.name("the name of a parameter")?;
            if self.is(":") && end == ")" {
                return Err(Error::syntax(self.span(), "there are no types in Starlark"));
            }
            let kind = match kind {
                ParameterKind::Normal(_) => {
                    let default = if self.eat("=") {
                        Some(self.expression()?)
                    } else {
                        None
                    };
                    let before = parameters
                        .iter()
                        .any(|parameter| matches!(parameter.kind, ParameterKind::Normal(Some(_))));
                    if default.is_none() && !star && before {
                        return Err(Error::syntax(
                            name.span,
                            format!(
                                "`{}` needs a default, because a parameter before it has one",
                                name.name
                            ),
                        ));
                    }
                    if star {
                        ParameterKind::Named(default)
                    } else {
                        ParameterKind::Normal(default)
                    }
                }
                other => other,
            };
            if parameters.iter().any(|parameter| parameter.name == name.name) {
                return Err(Error::syntax(
                    name.span,
                    format!("there are two parameters `{}`", name.name),
                ));
            }
            parameters.push(Parameter {
                name: name.name,
                kind,
            });
            if !self.eat(",") {
                break;
            }
        }
        if let Some(span) = bare_star
            && !parameters
                .iter()
                .any(|parameter| matches!(parameter.kind, ParameterKind::Named(_)))
        {
            return Err(Error::syntax(span, "a parameter must follow the `*`"));
        }
        Ok(parameters)
    }

    fn load(&mut self) -> Result<StatementKind> {
        self.expect("(")?;
        let (path, path_span) = self.text("the name of a file")?;
        let mut names = Vec::new();
        while self.eat(",") {
            if self.is(")") {
                break;
            }
            if let Token::Name(_) = self.token() {
                let local = self.name("a name")?;
                self.expect("=")?;
                let (theirs, theirs_span) = self.text("the name there, as a text")?;
                names.push(LoadedName {
                    local,
                    theirs,
                    theirs_span,
                });
            } else {
                let (theirs, span) = self.text("the name of something in that file, as a text")?;
                if !is_name(&theirs) {
                    return Err(Error::syntax(span, format!("`{theirs}` is not a name")));
                }
                names.push(LoadedName {
                    local: Name {
                        name: Arc::clone(&theirs),
                        span,
                        binding: Binding::Unresolved,
                    },
                    theirs,
                    theirs_span: span,
                });
            }
        }
        let end = self.span();
        self.expect(")")?;
        if names.is_empty() {
            return Err(
                Error::syntax(path_span.to(end), "this `load` names nothing to load")
                    .help("write `load(\"file.star\", \"name\")`"),
            );
        }
        Ok(StatementKind::Load {
            path,
            path_span,
            names,
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// An expression as what is assigned to.
pub(crate) fn target(expr: Expr) -> Result<Target> {
    let span = expr.span;
    match expr.kind {
        ExprKind::Name(name) => Ok(Target::Name(name)),
        ExprKind::Tuple(items) | ExprKind::List(items) => Ok(Target::Several(
            items.into_iter().map(target).collect::<Result<_>>()?,
            span,
        )),
        ExprKind::Postfix(base, mut chain) => match chain.pop().map(|last| last.kind) {
            Some(PostfixKind::Index(index)) => {
                let base = if let Some(last) = chain.last() {
                    let span = last.span;
                    Expr {
                        kind: ExprKind::Postfix(base, chain),
                        span,
                    }
                } else {
                    *base
                };
                Ok(Target::Index(Box::new((base, index)), span))
            }
            Some(PostfixKind::Dot(..)) => {
                Err(Error::syntax(span, "what a value holds cannot be assigned to")
                    .help("make a new `struct`, or use a dict"))
            }
            _ => Err(Error::syntax(span, "a call cannot be assigned to")),
        },
        _ => Err(Error::syntax(span, "this cannot be assigned to")),
    }
}

/// Whether arguments are in an order that a call may have.
pub(crate) fn check_arguments(arguments: &[Argument]) -> Result<()> {
    let mut named: Vec<&str> = Vec::new();
    let mut rest = false;
    let mut rest_named = false;
    for argument in arguments {
        let span = argument.value.span;
        match &argument.kind {
            _ if rest_named => return Err(Error::syntax(span, "nothing may follow an argument with `**`")),
            ArgumentKind::Positional if rest || !named.is_empty() => {
                return Err(Error::syntax(
                    span,
                    "an argument without a name cannot follow one with a name",
                ));
            }
            ArgumentKind::Positional => {}
            ArgumentKind::Named(name, span) => {
                if named.contains(&&**name) {
                    return Err(Error::syntax(*span, format!("`{name}` is given twice")));
                }
                named.push(name);
            }
            ArgumentKind::Rest if rest => return Err(Error::syntax(span, "there can be one `*` only")),
            ArgumentKind::Rest => rest = true,
            ArgumentKind::RestNamed => rest_named = true,
        }
    }
    Ok(())
}
