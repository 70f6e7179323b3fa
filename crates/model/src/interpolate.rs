//! Text with places that are filled in when a build runs: `make -j%(worker:cpus)s %(prop:target:-all)s`.
//! The forms are Buildbot's, so that text can be taken over as it is.
//!
//! | form | stands for |
//! |---|---|
//! | `%(prop:NAME)s` | a property of the build |
//! | `%(src:CODEBASE:ATTR)s` | `branch`, `revision`, `repository`, `project` or `codebase` of a source stamp; the default code base is the empty name: `%(src::branch)s` |
//! | `%(worker:NAME)s` | what the worker says of itself: `name`, `admin`, `host`, `access_uri`, `version` or one of its facts (`os`, `arch`, `cpus`) |
//! | `%%` | one percent sign |
//!
//! A percent sign before anything else stands for itself (`date +%Y`). After the name may follow:
//!
//! | suffix | gives |
//! |---|---|
//! | `:-TEXT` | the value, or TEXT where there is none |
//! | `:~TEXT` | the value, or TEXT where there is none or it is false, zero or empty |
//! | `:+TEXT` | TEXT where there is a value, else nothing |
//! | `:?\|YES\|NO` | YES where there is a value, else NO; any character but `(` may take the place of the bar |
//! | `:#?\|YES\|NO` | YES where the value is true, non-zero, not empty, else NO |
//!
//! TEXT, YES and NO may hold further `%(…)s`. Parentheses inside must be balanced. A missing value and a
//! null are empty text.

use serde_json::Value;

use crate::{NewSourceStamp, Properties, WorkerInfo, properties};

/// The largest text that rendering may give, in bytes.
pub const RENDERED_BYTES_MAX: usize = 1024 * 1024;
/// How deep `%(…)s` may stand inside one another.
pub const DEPTH_MAX: usize = 16;

/// A text, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// What values a template is filled with.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The build's properties.
    pub properties: &'a Properties,
    /// The build's source stamps, one a code base.
    pub sourcestamps: &'a [NewSourceStamp],
    /// The worker's name and what it says of itself; none where there is no worker yet.
    pub worker: Option<(&'a str, &'a WorkerInfo)>,
}

/// A text that is not well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterpolateError {
    /// Where, as a byte offset into the text.
    pub at: usize,
    /// What is wrong, for people.
    pub message: String,
}

impl std::fmt::Display for InterpolateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InterpolateError {}

/// A text that cannot be rendered: it became longer than [`RENDERED_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderError;

impl std::fmt::Display for RenderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "text became longer than {RENDERED_BYTES_MAX} bytes when values were filled in"
        )
    }
}

impl std::error::Error for RenderError {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Lookup(Box<Lookup>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lookup {
    source: Source,
    /// Replaces the value where there is one.
    present: Option<Template>,
    /// Stands where there is no value.
    absent: Template,
    /// Whether a false, zero or empty value counts as none.
    false_is_absent: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Property(String),
    Stamp { codebase: String, attribute: Attribute },
    Worker(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Branch,
    Revision,
    Repository,
    Project,
    Codebase,
}

impl Template {
    /// Parses a text; see the [module](self) for its forms.
    pub fn parse(text: &str) -> Result<Self, InterpolateError> {
        parse(text, 0, 0)
    }

    /// Whether there is nothing to fill in.
    pub fn is_literal(&self) -> bool {
        !self.parts.iter().any(|part| matches!(part, Part::Lookup(_)))
    }

    /// Fills in the values.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        let mut out = String::new();
        self.render_into(scope, &mut out)?;
        Ok(out)
    }

    fn render_into(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), RenderError> {
        for part in &self.parts {
            match part {
                Part::Text(text) => append(out, text)?,
                Part::Lookup(lookup) => lookup.render_into(scope, out)?,
            }
        }
        Ok(())
    }
}

impl Lookup {
    fn render_into(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), RenderError> {
        let value = self
            .source
            .value(scope)
            .filter(|value| !self.false_is_absent || is_true(value));
        match (value, &self.present) {
            (None, _) => self.absent.render_into(scope, out),
            (Some(_), Some(text)) => text.render_into(scope, out),
            (Some(Value::Null), None) => Ok(()),
            (Some(value), None) => append(out, &properties::render(&value)),
        }
    }
}

impl Source {
    fn value(&self, scope: &Scope<'_>) -> Option<Value> {
        match self {
            Source::Property(name) => scope.properties.get(name).cloned(),
            Source::Stamp { codebase, attribute } => {
                let stamp = scope
                    .sourcestamps
                    .iter()
                    .find(|stamp| stamp.codebase == *codebase)?;
                // A stamp has all its attributes; a branch that is not set is a null, as in Buildbot.
                let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
                Some(match attribute {
                    Attribute::Branch => optional(&stamp.branch),
                    Attribute::Revision => optional(&stamp.revision),
                    Attribute::Repository => stamp.repository.clone().into(),
                    Attribute::Project => stamp.project.clone().into(),
                    Attribute::Codebase => stamp.codebase.clone().into(),
                })
            }
            Source::Worker(name) => {
                let (worker, info) = scope.worker?;
                match name.as_str() {
                    "name" => Some(worker.into()),
                    "admin" => info.admin.clone().map(Value::String),
                    "host" => info.host.clone().map(Value::String),
                    "access_uri" => info.access_uri.clone().map(Value::String),
                    "version" => info.version.clone().map(Value::String),
                    fact => info.facts.get(fact).cloned(),
                }
            }
        }
    }
}

/// Truth as Python has it, which is what the forms were made for: the text `"False"` is true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn append(out: &mut String, text: &str) -> Result<(), RenderError> {
    if out.len() + text.len() > RENDERED_BYTES_MAX {
        return Err(RenderError);
    }
    out.push_str(text);
    Ok(())
}

/// Parses `text`, which starts at byte `base` of the whole.
fn parse(text: &str, base: usize, depth: usize) -> Result<Template, InterpolateError> {
    if depth > DEPTH_MAX {
        return Err(error(
            base,
            format!("`%(…)s` is nested more than {DEPTH_MAX} deep"),
        ));
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        literal.push_str(&rest[..percent]);
        let at = base + (text.len() - rest.len()) + percent;
        let after = &rest[percent + 1..];
        if let Some(tail) = after.strip_prefix('%') {
            literal.push('%');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('(') {
            let close = closing_parenthesis(inner)
                .ok_or_else(|| error(at, "`%(` has no matching `)`; a literal `%(` is written `%%(`"))?;
            rest = inner[close + 1..].strip_prefix('s').ok_or_else(|| {
                error(
                    at,
                    format!(
                        "`%({})` must be followed by `s`; a literal `%(` is written `%%(`",
                        &inner[..close]
                    ),
                )
            })?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let lookup = parse_lookup(&inner[..close], at + 2, depth)?;
            parts.push(Part::Lookup(Box::new(lookup)));
        } else {
            literal.push('%');
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(Template { parts })
}

/// Where the parenthesis that is already open is closed, counting those in between.
fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut open = 1_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Parses what stands between `%(` and `)s`.
fn parse_lookup(key: &str, at: usize, depth: usize) -> Result<Lookup, InterpolateError> {
    let Some((kind, argument)) = key.split_once(':') else {
        return Err(error(
            at,
            format!("`{key}` does not say where its value comes from; for a property write `prop:{key}`"),
        ));
    };
    let argument_at = at + kind.len() + 1;
    let (source, suffix) = match kind {
        "prop" => {
            let (name, suffix) = split_name(argument);
            if name.is_empty() {
                return Err(error(argument_at, "a property name is missing after `prop:`"));
            }
            check_name(name, argument_at, "property name")?;
            (Source::Property(name.to_owned()), suffix)
        }
        "worker" => {
            let (name, suffix) = split_name(argument);
            if name.is_empty() {
                return Err(error(argument_at, "a name is missing after `worker:`"));
            }
            check_name(name, argument_at, "name")?;
            (Source::Worker(name.to_owned()), suffix)
        }
        "src" => {
            let Some((codebase, tail)) = argument.split_once(':') else {
                return Err(error(
                    at,
                    "`src` needs a code base and an attribute: `src:CODEBASE:branch`, or `src::branch` for \
                     the default code base",
                ));
            };
            check_name(codebase, argument_at, "code base")?;
            let (name, suffix) = split_name(tail);
            let attribute = match name {
                "branch" => Attribute::Branch,
                "revision" => Attribute::Revision,
                "repository" => Attribute::Repository,
                "project" => Attribute::Project,
                "codebase" => Attribute::Codebase,
                other => {
                    return Err(error(
                        argument_at + codebase.len() + 1,
                        format!(
                            "a source stamp has no `{other}`; it has `branch`, `revision`, `repository`, \
                             `project` and `codebase`"
                        ),
                    ));
                }
            };
            let codebase = codebase.to_owned();
            (Source::Stamp { codebase, attribute }, suffix)
        }
        "secret" => {
            return Err(error(
                at,
                "`secret` is not supported yet; set the secret in the worker's own environment",
            ));
        }
        "kw" => {
            return Err(error(
                at,
                "`kw` has no meaning here; write the value itself, or use a property (`prop:name`)",
            ));
        }
        other => {
            return Err(error(
                at,
                format!("`{other}` is not one of `prop`, `src` and `worker`"),
            ));
        }
    };
    let suffix_at = at + key.len() - suffix.map_or(0, str::len);
    parse_suffix(source, suffix.unwrap_or("-"), suffix_at, depth)
}

/// Parses what follows the name: `-text`, `~text`, `+text`, `?|yes|no` or `#?|yes|no`.
fn parse_suffix(source: Source, suffix: &str, at: usize, depth: usize) -> Result<Lookup, InterpolateError> {
    let nested = |text: &str, at: usize| parse(text, at, depth + 1);
    let empty = Template { parts: Vec::new() };
    if let Some(text) = suffix.strip_prefix('-') {
        let absent = nested(text, at + 1)?;
        return Ok(Lookup {
            source,
            present: None,
            absent,
            false_is_absent: false,
        });
    }
    if let Some(text) = suffix.strip_prefix('~') {
        let absent = nested(text, at + 1)?;
        return Ok(Lookup {
            source,
            present: None,
            absent,
            false_is_absent: true,
        });
    }
    if let Some(text) = suffix.strip_prefix('+') {
        let present = Some(nested(text, at + 1)?);
        return Ok(Lookup {
            source,
            present,
            absent: empty,
            false_is_absent: false,
        });
    }
    let (false_is_absent, mark) = match suffix.strip_prefix('#') {
        Some(_) => (true, "#?"),
        None => (false, "?"),
    };
    let Some(body) = suffix.strip_prefix(mark) else {
        return Err(error(
            at,
            format!("`:{suffix}` is not one of `:-text`, `:~text`, `:+text`, `:?|yes|no` and `:#?|yes|no`"),
        ));
    };
    let body_at = at + mark.len();
    let delimiter = match body.chars().next() {
        None => return Err(error(at, format!("`:{mark}` needs two texts: `:{mark}|yes|no`"))),
        Some('(') => return Err(error(body_at, "`(` cannot separate the two texts; use `|`")),
        Some(delimiter) => delimiter,
    };
    let texts = &body[delimiter.len_utf8()..];
    let Some((yes, no)) = texts.split_once(delimiter) else {
        return Err(error(
            at,
            format!("`:{suffix}` has only one text; a second `{delimiter}` separates yes from no"),
        ));
    };
    let yes_at = body_at + delimiter.len_utf8();
    Ok(Lookup {
        source,
        present: Some(nested(yes, yes_at)?),
        absent: nested(no, yes_at + yes.len() + delimiter.len_utf8())?,
        false_is_absent,
    })
}

fn split_name(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once(':') {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (argument, None),
    }
}

fn check_name(name: &str, at: usize, what: &str) -> Result<(), InterpolateError> {
    match name
        .char_indices()
        .find(|(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-')))
    {
        None => Ok(()),
        Some((offset, c)) => Err(error(
            at + offset,
            format!("`{c}` cannot be part of a {what}; letters, digits, `_`, `.` and `-` can"),
        )),
    }
}

fn error(at: usize, message: impl Into<String>) -> InterpolateError {
    InterpolateError {
        at,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(text: &str) -> String {
        let mut properties = Properties::new();
        for (name, value) in [
            ("branch", json!("main")),
            ("empty", json!("")),
            ("zero", json!(0)),
            ("no", json!(false)),
            ("null", json!(null)),
            ("list", json!(["a", 1])),
            ("none", json!([])),
            ("False", json!("False")),
            ("a.b-c_d", json!(7)),
        ] {
            properties.set(name, value, "test");
        }
        let stamps = [
            NewSourceStamp {
                branch: Some("main".into()),
                repository: "https://example.org/r.git".into(),
                ..NewSourceStamp::default()
            },
            NewSourceStamp {
                codebase: "lib".into(),
                revision: Some("abc".into()),
                ..NewSourceStamp::default()
            },
        ];
        let mut info = WorkerInfo {
            admin: Some("Ann".into()),
            ..WorkerInfo::default()
        };
        info.facts.insert("cpus".into(), json!(8));
        let scope = Scope {
            properties: &properties,
            sourcestamps: &stamps,
            worker: Some(("linux-1", &info)),
        };
        Template::parse(text).unwrap().render(&scope).unwrap()
    }

    #[test]
    fn the_forms_give_what_buildbot_gives() {
        for (text, expected) in [
            // Text and percent signs.
            ("", ""),
            ("plain", "plain"),
            ("100%%", "100%"),
            ("%%(prop:branch)s", "%(prop:branch)s"),
            ("date +%Y-%m", "date +%Y-%m"),
            ("50%", "50%"),
            // Plain look-ups.
            ("%(prop:branch)s", "main"),
            ("a%(prop:branch)sb%(prop:zero)sc", "amainb0c"),
            ("%(prop:missing)s", ""),
            ("%(prop:null)s", ""),
            ("%(prop:no)s", "False"),
            ("%(prop:list)s", "['a', 1]"),
            ("%(prop:a.b-c_d)s", "7"),
            ("%(src::branch)s", "main"),
            ("%(src::revision)s", ""),
            ("%(src:lib:revision)s", "abc"),
            ("%(src:other:revision)s", ""),
            (
                "%(worker:name)s/%(worker:cpus)s/%(worker:admin)s",
                "linux-1/8/Ann",
            ),
            ("%(worker:host)s", ""),
            // A default where there is no value. A null is a value, and empty.
            ("%(prop:missing:-x)s", "x"),
            ("%(prop:branch:-x)s", "main"),
            ("%(prop:empty:-x)s", ""),
            ("%(prop:null:-x)s", ""),
            ("%(src:other:branch:-x)s", "x"),
            ("%(src::revision:-x)s", ""),
            ("%(worker:cpus:-1)s", "8"),
            ("%(worker:missing:-1)s", "1"),
            // … or where it is false, zero or empty.
            ("%(prop:missing:~x)s", "x"),
            ("%(prop:empty:~x)s", "x"),
            ("%(prop:zero:~x)s", "x"),
            ("%(prop:no:~x)s", "x"),
            ("%(prop:null:~x)s", "x"),
            ("%(prop:none:~x)s", "x"),
            ("%(prop:False:~x)s", "False"),
            ("%(src::revision:~HEAD)s", "HEAD"),
            // A replacement where there is a value.
            ("%(prop:branch:+x)s", "x"),
            ("%(prop:null:+x)s", "x"),
            ("%(prop:empty:+x)s", "x"),
            ("%(prop:missing:+x)s", ""),
            // One of two.
            ("%(prop:branch:?|yes|no)s", "yes"),
            ("%(prop:missing:?|yes|no)s", "no"),
            ("%(prop:empty:?:yes:no)s", "yes"),
            ("%(prop:empty:#?|yes|no)s", "no"),
            ("%(prop:branch:#?|yes|no)s", "yes"),
            ("%(prop:missing:#?:yes:no)s", "no"),
            ("%(prop:branch:?|yes|)s", "yes"),
            ("%(prop:missing:?|yes|)s", ""),
            ("%(prop:branch:?|a|b|c)s", "a"),
            ("%(prop:missing:?|a|b|c)s", "b|c"),
            ("%(prop:branch:?éaéb)s", "a"),
            // Inside one another, and with parentheses.
            ("%(prop:missing:-%(prop:branch)s)s", "main"),
            ("%(prop:missing:-%(prop:missing:-deep)s!)s", "deep!"),
            ("%(prop:branch:+on %(prop:branch)s (yes))s.", "on main (yes)."),
            ("%(prop:missing:-a:b)s", "a:b"),
            ("%(prop:missing:-100%%)s", "100%"),
            ("%(prop:missing:?|%(prop:zero)s|%(prop:branch)s)s", "main"),
        ] {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, part) in [
            ("a %(prop:x", 2, "no matching"),
            ("%(prop:x)", 0, "followed by `s`"),
            ("%(prop:x)d", 0, "followed by `s`"),
            ("%(branch)s", 2, "`prop:branch`"),
            ("%(prob:x)s", 2, "`prob` is not one of"),
            ("%(prop:)s", 7, "missing"),
            ("%(prop:a b)s", 8, "` ` cannot be part"),
            ("%(src:branch)s", 2, "code base and an attribute"),
            ("%(src::brunch)s", 7, "no `brunch`"),
            ("%(src:a/b:branch)s", 7, "`/` cannot"),
            ("%(secret:x)s", 2, "not supported yet"),
            ("%(kw:x)s", 2, "no meaning"),
            ("%(prop:x:y)s", 9, "`:y` is not one of"),
            ("%(prop:x:)s", 9, "is not one of"),
            ("%(prop:x:?)s", 9, "two texts"),
            ("%(prop:x:?|a)s", 9, "only one text"),
            ("%(prop:x:?(a(b))s", 0, "no matching"),
            ("%(prop:x:?(a(b)))s", 10, "cannot separate"),
            ("%(prop:x:-%(prob:y)s)s", 12, "`prob`"),
            ("%(prop:x:?|é|%(prob:y)s)s", 16, "`prob`"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = format!("{}x{}", "%(prop:m:-".repeat(40), ")s".repeat(40));
        assert!(Template::parse(&deep).unwrap_err().message.contains("nested"));

        let mut properties = Properties::new();
        properties.set("big", "x".repeat(60_000), "test");
        let scope = Scope {
            properties: &properties,
            sourcestamps: &[],
            worker: None,
        };
        let text = "%(prop:big)s".repeat(20);
        assert_eq!(Template::parse(&text).unwrap().render(&scope), Err(RenderError));
    }
}
