//! The two ways to write a configuration, as far as messages differ.

use ironmaster_starlark::quoted;

use crate::{
    toml_form,
    tree::{Data, Node},
};

/// What a configuration is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Toml,
    Starlark,
}

impl Spelling {
    pub(crate) fn pick<T>(self, toml: T, starlark: T) -> T {
        match self {
            Spelling::Toml => toml,
            Spelling::Starlark => starlark,
        }
    }

    /// A value that is given as TOML.
    pub(crate) fn example(self, toml: &str) -> String {
        match self {
            Spelling::Toml => toml.to_owned(),
            Spelling::Starlark => {
                toml_form::value(toml).map_or_else(|| toml.to_owned(), |node| starlark(&node))
            }
        }
    }

    /// A section: `` `[master]` `` or `` `master()` ``.
    pub(crate) fn section(self, name: &str) -> String {
        self.pick(format!("`[{name}]`"), format!("`{name}()`"))
    }
}

/// A value as Starlark writes it.
pub(crate) fn starlark(node: &Node) -> String {
    match &node.data {
        Data::Text(text) | Data::Date(text) => {
            let mut out = String::new();
            quoted(&mut out, text);
            out
        }
        Data::Bool(true) => "True".to_owned(),
        Data::Bool(false) => "False".to_owned(),
        Data::Function(..) => "lambda: None".to_owned(),
        Data::Integer(_, shown) | Data::Float(_, shown) | Data::Other(shown) => shown.clone(),
        Data::List(items) => {
            let items: Vec<_> = items.iter().map(starlark).collect();
            format!("[{}]", items.join(", "))
        }
        Data::Table(table) => {
            let entries: Vec<_> = table
                .entries
                .iter()
                .map(|entry| {
                    let mut out = String::new();
                    quoted(&mut out, &entry.name);
                    out + ": " + &starlark(&entry.node)
                })
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
