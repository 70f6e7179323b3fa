//! Reads a stock worker's `buildbot.tac`, which is a Python program, as text: plain assignments of plain values, as
//! `buildbot-worker create-worker` writes them. Nothing of it is run.

use std::collections::BTreeMap;

/// A file that is larger was not made by `create-worker`.
pub const MAX_SIZE: usize = 256 * 1024;

/// What one name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `'text'`.
    Text(String),
    /// `600`.
    Number(i64),
    /// `True`.
    Truth(bool),
    /// `None`.
    Nothing,
    /// Something that only Python can work out.
    Unclear,
}

/// A value, and the line that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The value.
    pub value: Value,
    /// Counted from 1.
    pub line: usize,
}

/// What is assigned at the top of the file. Of several assignments the last counts; one that depends on a condition makes the value
/// unclear, but for the folder's, which `create-worker` writes like that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tac {
    names: BTreeMap<String, Assigned>,
}

impl Tac {
    /// Reads the text. Whatever is no assignment has no meaning here.
    pub fn read(text: &str) -> Self {
        let mut names = BTreeMap::new();
        let mut nesting = Nesting::default();
        for (number, line) in text.lines().enumerate() {
            let top = nesting.is_top();
            nesting.read(line);
            // Arguments of a call look like assignments.
            if !top {
                continue;
            }
            let Some((name, rest)) = assignment(line.trim_start()) else {
                continue;
            };
            let conditional = line.starts_with([' ', '\t']);
            if conditional && name == "basedir" {
                continue;
            }
            let value = if conditional { Value::Unclear } else { value(rest) };
            let line = number + 1;
            names.insert(name.to_owned(), Assigned { value, line });
        }
        Self { names }
    }

    /// What a name stands for, under the first of these spellings that is there.
    pub fn get(&self, spellings: &[&str]) -> Option<&Assigned> {
        spellings.iter().find_map(|name| self.names.get(*name))
    }
}

/// Whether a line goes on with what an earlier one began: a text over several lines, or something in brackets.
#[derive(Default)]
struct Nesting {
    depth: usize,
    text: Option<&'static str>,
}

impl Nesting {
    fn is_top(&self) -> bool {
        self.depth == 0 && self.text.is_none()
    }

    fn read(&mut self, line: &str) {
        let mut rest = line;
        while !rest.is_empty() {
            if let Some(mark) = self.text {
                match rest.find(mark) {
                    Some(at) => {
                        self.text = None;
                        rest = &rest[at + mark.len()..];
                    }
                    None => return,
                }
                continue;
            }
            if let Some(mark) = ["\"\"\"", "'''"].into_iter().find(|mark| rest.starts_with(mark)) {
                self.text = Some(mark);
                rest = &rest[mark.len()..];
                continue;
            }
            let mut chars = rest.chars();
            match chars.next() {
                None | Some('#') => return,
                Some(quote @ ('\'' | '"')) => {
                    // To the end of the text, or of the line.
                    while let Some(c) = chars.next() {
                        if c == '\\' {
                            chars.next();
                        } else if c == quote {
                            break;
                        }
                    }
                }
                Some('(' | '[' | '{') => self.depth += 1,
                Some(')' | ']' | '}') => self.depth = self.depth.saturating_sub(1),
                Some(_) => {}
            }
            rest = chars.as_str();
        }
    }
}

/// `NAME = REST`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start().strip_prefix('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (is_name && !rest.starts_with('=')).then_some((name, rest.trim()))
}

fn value(text: &str) -> Value {
    let quoted = text.trim_start_matches(['r', 'R', 'u', 'U', 'b', 'B']);
    let prefix = &text[..text.len() - quoted.len()];
    if prefix.len() <= 2 && quoted.starts_with(['\'', '"']) {
        let raw = prefix.contains(['r', 'R']);
        return string(quoted, raw).unwrap_or(Value::Unclear);
    }
    let bare = text.split('#').next().unwrap_or_default().trim();
    match bare {
        "None" => Value::Nothing,
        "True" => Value::Truth(true),
        "False" => Value::Truth(false),
        _ => number(bare).map_or(Value::Unclear, Value::Number),
    }
}

fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits = digits.replace('_', "");
    // The library takes signs that Python does not take there.
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let radix = |digits: &str, radix| {
        digits
            .starts_with(|c: char| c.is_ascii_hexdigit())
            .then(|| i64::from_str_radix(digits, radix).ok())
            .flatten()
    };
    let number = match digits.get(..2) {
        Some("0o" | "0O") => radix(&digits[2..], 8)?,
        Some("0x" | "0X") => radix(&digits[2..], 16)?,
        // As Python 2 wrote octal numbers, and a umask is one.
        Some(two) if two.starts_with('0') => radix(&digits[1..], 8)?,
        _ => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// A text in quotes, and nothing after it but a comment.
fn string(text: &str, raw: bool) -> Option<Value> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let mut out = String::new();
    loop {
        let c = chars.next()?;
        if c == quote {
            break;
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let escaped = chars.next()?;
        if raw {
            out.push('\\');
            out.push(escaped);
            continue;
        }
        match escaped {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            '\\' | '\'' | '"' => out.push(escaped),
            'x' => out.push(code(&mut chars, 2)?),
            'u' => out.push(code(&mut chars, 4)?),
            'U' => out.push(code(&mut chars, 8)?),
            // Rare, or a name of a character: whoever writes this can pass an option.
            '0'..='9' | 'N' | 'a' | 'b' | 'f' | 'v' => return None,
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    let rest = chars.as_str().trim();
    // `'''` begins with an empty text.
    (rest.is_empty() || rest.starts_with('#')).then_some(Value::Text(out))
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text = chars.as_str().get(..digits)?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    *chars = chars.as_str()[digits..].chars();
    char::from_u32(u32::from_str_radix(text, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_read_and_others_are_unclear() {
        let table: &[(&str, Value)] = &[
            ("'a'", Value::Text("a".into())),
            ("\"it's\"  # a remark", Value::Text("it's".into())),
            ("u'\\xe9\\u4e2d\\n'", Value::Text("é中\n".into())),
            ("r'C:\\new'", Value::Text("C:\\new".into())),
            ("'C:\\Program'", Value::Text("C:\\Program".into())),
            ("'a#b'", Value::Text("a#b".into())),
            ("''", Value::Text(String::new())),
            ("600", Value::Number(600)),
            ("1_000", Value::Number(1000)),
            ("-1 # none", Value::Number(-1)),
            ("0o22", Value::Number(18)),
            ("022", Value::Number(18)),
            ("0x10", Value::Number(16)),
            ("0", Value::Number(0)),
            ("None", Value::Nothing),
            ("True", Value::Truth(true)),
            ("os.environ['PASS']", Value::Unclear),
            ("'a' + 'b'", Value::Unclear),
            ("'a' 'b'", Value::Unclear),
            ("'a", Value::Unclear),
            ("'a\\", Value::Unclear),
            ("'\\x4'", Value::Unclear),
            ("'\\x+4'", Value::Unclear),
            ("open('p').read()", Value::Unclear),
            ("('a',", Value::Unclear),
            ("'''a'''", Value::Unclear),
            ("f'{x}'", Value::Unclear),
            ("0o", Value::Unclear),
            ("0x+1", Value::Unclear),
            ("--1", Value::Unclear),
            ("99999999999999999999", Value::Unclear),
            ("", Value::Unclear),
        ];
        for (text, expected) in table {
            let tac = Tac::read(&format!("first\nname = {text}\n"));
            let assigned = Assigned {
                value: expected.clone(),
                line: 2,
            };
            assert_eq!(tac.get(&["other", "name"]), Some(&assigned), "{text}");
        }
    }

    #[test]
    fn what_is_no_assignment_is_passed_over() {
        let text = "\"\"\"\nname = 'in a text'\n\"\"\"\n# name = 'a remark'\nname == 'a'\nname.x = 'b'\na, name = 1, 2\nf(name='c')\n";
        assert_eq!(Tac::read(text), Tac::default());
        let text = "s = Worker(\n    name=name,\nname='(',\n)\nt = '('\nport = 1\n";
        let tac = Tac::read(text);
        assert!(tac.get(&["name"]).is_none() && tac.get(&["port"]).is_some());
        let text = "passwd = 'a'\nif x:\n    passwd = 'b'\n    basedir = os.getcwd()\n";
        let tac = Tac::read(text);
        assert_eq!(
            tac.get(&["passwd"]).map(|found| (&found.value, found.line)),
            Some((&Value::Unclear, 3))
        );
        assert_eq!(tac.get(&["basedir"]), None);
    }
}
