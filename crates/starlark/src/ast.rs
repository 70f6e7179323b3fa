//! What a text says. Chains of operators and calls are lists here, so that a long one is not a deep one: how deep
//! a tree can be is bounded by the parser.

use std::sync::Arc;

use crate::Span;

/// A file.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) body: Vec<Statement>,
    /// Names of its globals, by slot.
    pub(crate) globals: Vec<Arc<str>>,
    /// Slots of globals that other files may load.
    pub(crate) exported: Vec<bool>,
    /// Slots that the top of the file itself needs, for comprehensions.
    pub(crate) locals: u32,
    /// Whether functions inside refer to these.
    pub(crate) captured: bool,
}

/// What a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    Unresolved,
    Local(u32),
    Outer {
        level: u32,
        slot: u32,
    },
    Global(u32),
    /// Index into the names that the machine knows.
    Builtin(u32),
}

#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "a name is what it is")]
pub(crate) struct Name {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) binding: Binding,
}

#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum StatementKind {
    Expression(Expr),
    Assign(Target, Expr),
    Augment(Target, Operator, Expr),
    /// Conditions with their blocks, and what is done where none holds.
    If(Vec<(Expr, Vec<Statement>)>, Vec<Statement>),
    For(Target, Expr, Vec<Statement>),
    Def(Name, Arc<Def>),
    Return(Option<Expr>),
    Load {
        path: Arc<str>,
        path_span: Span,
        names: Vec<LoadedName>,
    },
    Break,
    Continue,
    Pass,
}

#[derive(Debug)]
pub(crate) struct LoadedName {
    /// What it is called here.
    pub(crate) local: Name,
    /// What it is called there.
    pub(crate) theirs: Arc<str>,
    pub(crate) theirs_span: Span,
}

#[derive(Debug)]
pub(crate) enum Target {
    Name(Name),
    Index(Box<(Expr, Expr)>, Span),
    Several(Vec<Target>, Span),
}

/// A function.
#[derive(Debug)]
pub(crate) struct Def {
    pub(crate) name: Arc<str>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Body,
    pub(crate) locals: u32,
    /// Whether functions inside refer to its variables.
    pub(crate) captured: bool,
}

#[derive(Debug)]
pub(crate) enum Body {
    Block(Vec<Statement>),
    Expression(Expr),
}

#[derive(Debug)]
pub(crate) struct Parameter {
    /// Parameters take the first slots of the function, in order.
    pub(crate) name: Arc<str>,
    pub(crate) kind: ParameterKind,
}

#[derive(Debug)]
pub(crate) enum ParameterKind {
    Normal(Option<Expr>),
    /// Behind a star: by name only.
    Named(Option<Expr>),
    /// `*args`.
    Rest,
    /// `**kwargs`.
    RestNamed,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Name(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    ListComprehension(Box<Expr>, Vec<Clause>),
    DictComprehension(Box<(Expr, Expr)>, Vec<Clause>),
    Lambda(Arc<Def>),
    /// Condition, then, else.
    If(Box<(Expr, Expr, Expr)>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Invert(Box<Expr>),
    Compare(Comparison, Box<(Expr, Expr)>),
    Chain(Box<Expr>, Vec<(Operator, Expr)>),
    Postfix(Box<Expr>, Vec<Postfix>),
}

#[derive(Debug)]
pub(crate) enum Clause {
    For(Target, Expr),
    If(Expr),
}

/// What follows a value: `.name`, `[index]`, `[from:to]`, `(arguments)`.
#[derive(Debug)]
pub(crate) struct Postfix {
    pub(crate) kind: PostfixKind,
    /// From the start of the whole to the end of this.
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum PostfixKind {
    Dot(Arc<str>, Span),
    Index(Expr),
    Slice(Box<[Option<Expr>; 3]>),
    Call(Vec<Argument>),
}

#[derive(Debug)]
pub(crate) struct Argument {
    pub(crate) kind: ArgumentKind,
    pub(crate) value: Expr,
}

#[derive(Debug)]
pub(crate) enum ArgumentKind {
    Positional,
    Named(Arc<str>, Span),
    Rest,
    RestNamed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}

impl Operator {
    /// The operators, from the loosest level of binding to the tightest.
    pub(crate) const LEVELS: [&'static [(&'static str, Operator)]; 6] = [
        &[("|", Operator::BitOr)],
        &[("^", Operator::BitXor)],
        &[("&", Operator::BitAnd)],
        &[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)],
        &[("+", Operator::Add), ("-", Operator::Subtract)],
        &[
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::FloorDivide),
            ("%", Operator::Remainder),
        ],
    ];

    pub(crate) fn sign(self) -> &'static str {
        Self::LEVELS
            .iter()
            .flat_map(|level| level.iter())
            .find(|(_, operator)| *operator == self)
            .map_or("?", |(sign, _)| sign)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}
