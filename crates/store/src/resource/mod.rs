//! The REST types, declared once: `api` validates requests with these descriptions, and this room makes SQL
//! from them. No name or expression from outside ever becomes SQL.

mod fields;

use crate::sql::Dialect;

/// A REST type with its table. Names and fields follow REST v2; a field of our own is marked `extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `builders`
    Builders,
    /// `builds`
    Builds,
    /// `buildrequests`
    BuildRequests,
    /// `buildsets`
    Buildsets,
    /// `sourcestamps`
    SourceStamps,
    /// `changes`; newest first unless another order is asked for.
    Changes,
    /// `steps`
    Steps,
    /// `logs`
    Logs,
    /// `workers`
    Workers,
    /// `masters`
    Masters,
    /// `schedulers`
    Schedulers,
    /// `changesources`
    ChangeSources,
    /// `properties` of one build (scope `buildid`): one item, name to `[value, source]`.
    BuildProperties,
    /// `properties` of one buildset (scope `bsid` or `buildrequestid`).
    BuildsetProperties,
    /// `properties` of one change (scope `changeid`).
    ChangeProperties,
    /// `_properties` of one build (scope `buildid`).
    BuildPropertyList,
    /// `_properties` of one buildset (scope `bsid`).
    BuildsetPropertyList,
    /// `_properties` of one change (scope `changeid`).
    ChangePropertyList,
    /// `projects`
    Projects,
    /// `codebases`
    Codebases,
    /// `branches`; none yet.
    Branches,
    /// `commits`; none yet.
    Commits,
    /// `build_data`; none yet.
    BuildData,
    /// `test_result_sets`; none yet.
    TestResultSets,
    /// `test_results`; none yet.
    TestResults,
    /// `pipelines`
    Pipelines,
    /// `runs`
    Runs,
    /// `jobs`
    Jobs,
}

/// One key of a resource's items.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: FieldKind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether Buildbot does not have it.
    pub extra: bool,
    /// Whether it never changes once the row is there (counts of rows can then be remembered).
    pub(crate) fixed: bool,
    source: Source,
    /// Where PostgreSQL spells it in another way.
    postgres: Option<Source>,
}

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// A whole number.
    Int,
    /// Whole seconds since 1970 (stored in microseconds).
    Date,
    /// true or false.
    Bool,
    /// Text that matches `^[a-zA-Z_-][a-zA-Z0-9._-]*$`.
    Identifier,
    /// Any text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

/// Where a field's value comes from. Expressions name the resource's rows `t`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// A scalar expression; dates in microseconds.
    Scalar(&'static str),
    /// True where the column is not null.
    Present(&'static str),
    /// An expression with JSON text.
    Json(&'static str),
    /// JSON text of a list, the type of its members and a condition for membership with `{}` for the value.
    List {
        json: &'static str,
        member: FieldKind,
        contains: &'static str,
    },
    /// JSON text of properties, of which only those asked for are shown; where none are, this is shown instead.
    Properties { json: &'static str, unasked: Unasked },
    /// Filled in for all items of a page at once; the expression is what [`Attach`] needs of the row.
    Attached {
        key: &'static str,
        attach: Attach,
        contains: Option<&'static str>,
    },
}

/// What `properties` holds when no property was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    Null,
    Empty,
}

/// Related rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attach {
    /// The source stamps of the buildset with this id.
    BuildsetStamps,
    /// The source stamp with this id.
    Stamp,
    /// The source stamps of a JSON list of ids.
    Stamps,
    /// The running master, if the row is active.
    Master,
    /// Ids of the running masters, if the row is active.
    MasterIds,
    /// The running masters, if the worker is connected.
    ConnectedTo,
    /// Pairs of running master and builder, from a JSON list of builders.
    ConfiguredOn,
}

/// A condition that URL paths use and that is no field; the SQL has `{}` for the value, always an id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) name: &'static str,
    sql: &'static str,
    postgres: Option<&'static str>,
    pub(crate) fixed: bool,
}

pub(crate) struct Descriptor {
    pub(crate) plural: &'static str,
    /// What to select from, with the rows named `t`; none = there are no rows yet.
    from: Option<From>,
    /// Whether the default order is descending.
    pub(crate) newest_first: bool,
    pub(crate) fields: &'static [Field],
    pub(crate) scopes: &'static [Scope],
}

/// A table, or what takes its place.
#[derive(Clone, Copy, Debug)]
struct From {
    sqlite: &'static str,
    postgres: &'static str,
    /// Default order, and the last key of every other order.
    key: &'static str,
    key_postgres: &'static str,
}

impl Descriptor {
    /// What to select from, with the rows named `t`; none = there are no rows yet.
    pub(crate) fn from(&self, dialect: Dialect) -> Option<&'static str> {
        self.from.map(|from| match dialect {
            Dialect::Sqlite => from.sqlite,
            Dialect::Postgres => from.postgres,
        })
    }

    /// Default order, and the last key of every other order.
    pub(crate) fn key(&self, dialect: Dialect) -> &'static str {
        self.from.map_or("null", |from| match dialect {
            Dialect::Sqlite => from.key,
            Dialect::Postgres => from.key_postgres,
        })
    }
}

impl Scope {
    /// The condition, with `{}` for the value.
    pub(crate) fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sql,
            Dialect::Postgres => self.postgres.unwrap_or(self.sql),
        }
    }
}

impl Resource {
    /// All of them.
    pub const ALL: &[Resource] = &[
        Resource::Builders,
        Resource::Builds,
        Resource::BuildRequests,
        Resource::Buildsets,
        Resource::SourceStamps,
        Resource::Changes,
        Resource::Steps,
        Resource::Logs,
        Resource::Workers,
        Resource::Masters,
        Resource::Schedulers,
        Resource::ChangeSources,
        Resource::BuildProperties,
        Resource::BuildsetProperties,
        Resource::ChangeProperties,
        Resource::BuildPropertyList,
        Resource::BuildsetPropertyList,
        Resource::ChangePropertyList,
        Resource::Projects,
        Resource::Codebases,
        Resource::Branches,
        Resource::Commits,
        Resource::BuildData,
        Resource::TestResultSets,
        Resource::TestResults,
        Resource::Pipelines,
        Resource::Runs,
        Resource::Jobs,
    ];

    /// The key of the list in REST's envelope.
    pub fn plural(self) -> &'static str {
        self.descriptor().plural
    }

    /// Its fields in alphabetical order. Empty for the single `properties` objects, whose keys are names of properties.
    pub fn fields(self) -> &'static [Field] {
        self.descriptor().fields
    }

    /// The field with that name.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name == name)
    }

    /// Names that [`Query::scope`](crate::Query::scope) knows beside the fields; each is compared with `Eq` to an id.
    pub fn scopes(self) -> impl Iterator<Item = &'static str> {
        self.descriptor().scopes.iter().map(|scope| scope.name)
    }

    pub(crate) fn scope(self, name: &str) -> Option<&'static Scope> {
        self.descriptor().scopes.iter().find(|scope| scope.name == name)
    }
}

impl Field {
    /// Where its value comes from.
    pub(crate) fn source(&self, dialect: Dialect) -> Source {
        match dialect {
            Dialect::Sqlite => self.source,
            Dialect::Postgres => self.postgres.unwrap_or(self.source),
        }
    }

    /// How the value of a filter on this field is to be parsed; none if it cannot be filtered. A list is filtered with
    /// `Contains` only, by a value of its members' type.
    pub fn filter_kind(&self) -> Option<FieldKind> {
        match (self.kind, self.source) {
            (FieldKind::List, Source::List { member, .. }) => Some(member),
            (
                FieldKind::List,
                Source::Attached {
                    contains: Some(_), ..
                },
            ) => Some(FieldKind::Int),
            (FieldKind::List | FieldKind::Object, _) => None,
            (kind, _) => Some(kind),
        }
    }

    /// Whether results can be ordered by it.
    pub fn orderable(&self) -> bool {
        !matches!(self.kind, FieldKind::List | FieldKind::Object)
    }

    /// Whether this operator makes sense on this field.
    pub fn allows(&self, op: crate::Op) -> bool {
        use crate::Op;
        match self.kind {
            FieldKind::Object => false,
            FieldKind::List => op == Op::Contains && self.filter_kind().is_some(),
            FieldKind::Bool => matches!(op, Op::Eq | Op::Ne | Op::In | Op::NotIn),
            FieldKind::Int | FieldKind::Date => op != Op::Contains,
            FieldKind::Identifier | FieldKind::Text => true,
        }
    }
}
