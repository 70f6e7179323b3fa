//! Finds out what each name means, before anything runs: so a misspelt name is found also where the file never
//! goes, and all of them at once.

use std::{collections::HashMap, sync::Arc};

use crate::{
    ast::{
        Argument, Binding, Body, Clause, Def, Expr, ExprKind, Module, Name, ParameterKind, PostfixKind,
        Statement, StatementKind, Target,
    },
    error::{Error, ErrorKind, similar},
};

/// Mistakes that are told at once.
const ERRORS_MAX: usize = 50;

/// Names of a function, or of the top of the file, whose own names are the globals.
#[derive(Default)]
struct Scope {
    names: HashMap<Arc<str>, u32>,
    /// Variables of the comprehensions around the place, innermost last.
    blocks: Vec<(Arc<str>, u32)>,
    slots: u32,
    captured: bool,
}

struct Resolver<'b> {
    builtins: &'b [Arc<str>],
    globals: HashMap<Arc<str>, u32>,
    /// The top of the file, then functions, innermost last.
    scopes: Vec<Scope>,
    errors: Vec<Error>,
}

/// Resolves all names of a file; gives what is wrong with them.
pub(crate) fn resolve(module: &mut Module, builtins: &[Arc<str>]) -> Vec<Error> {
    let mut resolver = Resolver {
        builtins,
        globals: HashMap::new(),
        scopes: vec![Scope::default()],
        errors: Vec::new(),
    };
    let mut names = Vec::new();
    assigned(&module.body, &mut names);
    for (name, loaded) in names {
        let exported = !loaded && !name.starts_with('_');
        resolver.globals.entry(name).or_insert_with_key(|name| {
            module.exported.push(exported);
            module.globals.push(Arc::clone(name));
            module.globals.len() as u32 - 1
        });
    }
    resolver.block(&mut module.body);
    if let Some(scope) = resolver.scopes.pop() {
        module.locals = scope.slots;
        module.captured = scope.captured;
    }
    resolver.errors
}

/// The names that statements give a value, and whether by loading it.
fn assigned(body: &[Statement], names: &mut Vec<(Arc<str>, bool)>) {
    for statement in body {
        match &statement.kind {
            StatementKind::Assign(target, _) | StatementKind::Augment(target, ..) => in_target(target, names),
            StatementKind::If(branches, otherwise) => {
                for (_, block) in branches {
                    assigned(block, names);
                }
                assigned(otherwise, names);
            }
            StatementKind::For(target, _, block) => {
                in_target(target, names);
                assigned(block, names);
            }
            StatementKind::Def(name, _) => names.push((Arc::clone(&name.name), false)),
            StatementKind::Load { names: loaded, .. } => {
                names.extend(loaded.iter().map(|name| (Arc::clone(&name.local.name), true)));
            }
            StatementKind::Expression(_)
            | StatementKind::Return(_)
            | StatementKind::Break
            | StatementKind::Continue
            | StatementKind::Pass => {}
        }
    }
}

fn in_target(target: &Target, names: &mut Vec<(Arc<str>, bool)>) {
    match target {
        Target::Name(name) => names.push((Arc::clone(&name.name), false)),
        Target::Index(..) => {}
        Target::Several(targets, _) => targets.iter().for_each(|target| in_target(target, names)),
    }
}

impl Resolver<'_> {
    fn scope(&mut self) -> &mut Scope {
        // There is always the top of the file.
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn block(&mut self, body: &mut [Statement]) {
        for statement in body {
            match &mut statement.kind {
                StatementKind::Expression(value) => self.expr(value),
                StatementKind::Assign(target, value) | StatementKind::Augment(target, _, value) => {
                    self.expr(value);
                    self.target(target);
                }
                StatementKind::If(branches, otherwise) => {
                    for (condition, block) in branches {
                        self.expr(condition);
                        self.block(block);
                    }
                    self.block(otherwise);
                }
                StatementKind::For(target, over, block) => {
                    self.expr(over);
                    self.target(target);
                    self.block(block);
                }
                StatementKind::Def(name, def) => {
                    self.def(def);
                    self.name(name);
                }
                StatementKind::Return(value) => value.iter_mut().for_each(|value| self.expr(value)),
                StatementKind::Load { names, .. } => {
                    for name in names {
                        self.name(&mut name.local);
                    }
                }
                StatementKind::Break | StatementKind::Continue | StatementKind::Pass => {}
            }
        }
    }

    fn target(&mut self, target: &mut Target) {
        match target {
            Target::Name(name) => self.name(name),
            Target::Index(parts, _) => {
                self.expr(&mut parts.0);
                self.expr(&mut parts.1);
            }
            Target::Several(targets, _) => targets.iter_mut().for_each(|target| self.target(target)),
        }
    }

    fn def(&mut self, def: &mut Arc<Def>) {
        // Nobody else has it yet: it was made by the parser.
        let Some(def) = Arc::get_mut(def) else { return };
        for parameter in &mut def.parameters {
            if let ParameterKind::Normal(Some(default)) | ParameterKind::Named(Some(default)) =
                &mut parameter.kind
            {
                self.expr(default);
            }
        }
        let mut scope = Scope::default();
        let mut names: Vec<_> = def
            .parameters
            .iter()
            .map(|parameter| (Arc::clone(&parameter.name), false))
            .collect();
        if let Body::Block(body) = &def.body {
            assigned(body, &mut names);
        }
        for (name, _) in names {
            let next = scope.slots;
            let slot = *scope.names.entry(name).or_insert(next);
            scope.slots = scope.slots.max(slot + 1);
        }
        self.scopes.push(scope);
        match &mut def.body {
            Body::Block(body) => self.block(body),
            Body::Expression(value) => self.expr(value),
        }
        if let Some(scope) = self.scopes.pop() {
            def.locals = scope.slots;
            def.captured = scope.captured;
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::None
            | ExprKind::Bool(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Text(_) => {}
            ExprKind::Name(name) => self.name(name),
            ExprKind::List(items) | ExprKind::Tuple(items) | ExprKind::And(items) | ExprKind::Or(items) => {
                for item in items {
                    self.expr(item);
                }
            }
            ExprKind::Dict(entries) => {
                for (key, value) in entries {
                    self.expr(key);
                    self.expr(value);
                }
            }
            ExprKind::ListComprehension(item, clauses) => {
                let outer = self.clauses(clauses);
                self.expr(item);
                self.scope().blocks.truncate(outer);
            }
            ExprKind::DictComprehension(entry, clauses) => {
                let outer = self.clauses(clauses);
                self.expr(&mut entry.0);
                self.expr(&mut entry.1);
                self.scope().blocks.truncate(outer);
            }
            ExprKind::Lambda(def) => self.def(def),
            ExprKind::If(parts) => {
                self.expr(&mut parts.0);
                self.expr(&mut parts.1);
                self.expr(&mut parts.2);
            }
            ExprKind::Not(value)
            | ExprKind::Negative(value)
            | ExprKind::Positive(value)
            | ExprKind::Invert(value) => self.expr(value),
            ExprKind::Compare(_, parts) => {
                self.expr(&mut parts.0);
                self.expr(&mut parts.1);
            }
            ExprKind::Chain(first, rest) => {
                self.expr(first);
                for (_, value) in rest {
                    self.expr(value);
                }
            }
            ExprKind::Postfix(base, chain) => {
                self.expr(base);
                for postfix in chain {
                    match &mut postfix.kind {
                        PostfixKind::Dot(..) => {}
                        PostfixKind::Index(index) => self.expr(index),
                        PostfixKind::Slice(parts) => {
                            for part in parts.iter_mut().flatten() {
                                self.expr(part);
                            }
                        }
                        PostfixKind::Call(arguments) => {
                            for Argument { value, .. } in arguments {
                                self.expr(value);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Opens the scope of a comprehension; gives how many names there were before.
    fn clauses(&mut self, clauses: &mut [Clause]) -> usize {
        let outer = self.scope().blocks.len();
        for clause in clauses {
            match clause {
                Clause::If(condition) => self.expr(condition),
                Clause::For(target, over) => {
                    self.expr(over);
                    let mut names = Vec::new();
                    in_target(target, &mut names);
                    let scope = self.scope();
                    for (name, _) in names {
                        let slot = scope.slots;
                        scope.slots += 1;
                        scope.blocks.push((name, slot));
                    }
                    self.target(target);
                }
            }
        }
        outer
    }

    fn name(&mut self, name: &mut Name) {
        for level in 0..self.scopes.len() {
            let at = self.scopes.len() - 1 - level;
            let scope = &self.scopes[at];
            let block = scope.blocks.iter().rev().find(|(block, _)| *block == name.name);
            let found = block
                .map(|(_, slot)| *slot)
                .or_else(|| scope.names.get(&name.name).copied());
            if let Some(slot) = found {
                name.binding = if level == 0 {
                    Binding::Local(slot)
                } else {
                    // Every function on the way is a link of the chain.
                    let last = self.scopes.len() - 1;
                    self.scopes[at..last]
                        .iter_mut()
                        .for_each(|scope| scope.captured = true);
                    Binding::Outer {
                        level: level as u32,
                        slot,
                    }
                };
                return;
            }
        }
        if let Some(slot) = self.globals.get(&name.name) {
            name.binding = Binding::Global(*slot);
        } else if let Some(at) = self.builtins.iter().position(|builtin| *builtin == name.name) {
            name.binding = Binding::Builtin(at as u32);
        } else if self.errors.len() < ERRORS_MAX {
            let mut error =
                Error::new(ErrorKind::Name, format!("`{}` is not defined", name.name)).at(name.span);
            let visible = self
                .scopes
                .iter()
                .flat_map(|scope| {
                    scope
                        .blocks
                        .iter()
                        .map(|(name, _)| name)
                        .chain(scope.names.keys())
                })
                .chain(self.globals.keys())
                .chain(self.builtins);
            error.help = similar(&name.name, visible.map(|name| &**name));
            self.errors.push(*error);
        }
    }
}
