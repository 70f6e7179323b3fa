//! A text as tokens.

use std::sync::Arc;

use crate::{
    Span,
    error::{Error, Result},
};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Name(Arc<str>),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// An operator, a bracket or a word of the language.
    Sign(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

/// Words with a meaning.
const WORDS: [&str; 20] = [
    "and", "break", "continue", "def", "elif", "else", "for", "if", "in", "lambda", "load", "not", "or",
    "pass", "return", "None", "True", "False", "while", "import",
];

/// Words that Python has and Starlark has not, with what to do instead. The others of them are kept free.
const RESERVED: [(&str, &str); 17] = [
    ("as", ""),
    ("assert", "use `fail`"),
    ("async", ""),
    ("await", ""),
    ("class", "use `struct` and functions"),
    ("del", ""),
    ("except", "there are no exceptions to catch"),
    ("finally", "there are no exceptions to catch"),
    ("from", "use `load(\"file.star\", \"name\")`"),
    ("global", "return a value instead"),
    ("is", "use `==`"),
    ("nonlocal", "return a value instead"),
    ("raise", "use `fail`"),
    ("try", "there are no exceptions to catch"),
    ("with", ""),
    ("yield", "return a list"),
    ("match", "use `if` and `elif`"),
];

/// Longest first, so that the first that fits is right.
const SIGNS: [&str; 41] = [
    "//=", "<<=", ">>=", "**", "==", "!=", "<=", ">=", "//", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=",
    "|=", "^=", "->", "+", "-", "*", "/", "%", "&", "|", "^", "~", "<", ">", "=", ".", ",", ";", ":", "(",
    ")", "[", "]", "{",
];

pub(crate) struct Lexer<'t> {
    text: &'t str,
    base: u32,
    at: usize,
    indents: Vec<usize>,
    /// Open brackets: inside them lines do not end.
    open: Vec<(char, Span)>,
    tokens: Vec<(Token, Span)>,
}

/// The tokens of a text; `base` is where the text begins among all sources.
pub(crate) fn tokens(text: &str, base: u32) -> Result<Vec<(Token, Span)>> {
    let mut lexer = Lexer {
        text,
        base,
        at: usize::from(text.starts_with('\u{feff}')) * 3,
        indents: vec![0],
        open: Vec::new(),
        tokens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn span(&self, start: usize) -> Span {
        Span {
            start: self.base + start as u32,
            end: self.base + self.at as u32,
        }
    }

    fn push(&mut self, token: Token, start: usize) {
        let span = self.span(start);
        self.tokens.push((token, span));
    }

    /// What follows the last token: where something is missing at the end of a line or file.
    fn behind_last(&self) -> Span {
        let end = self.tokens.last().map_or(self.base, |(_, span)| span.end);
        Span { start: end, end }
    }

    fn run(&mut self) -> Result<()> {
        loop {
            if self.open.is_empty() && self.at_line_start() && self.indentation()? {
                continue;
            }
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { break };
            let start = self.at;
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '\n' => {
                    if self.open.is_empty() {
                        let span = self.behind_last();
                        self.tokens.push((Token::Newline, span));
                    }
                    self.at += 1;
                }
                '\\' if rest[1..].starts_with('\n') => self.at += 2,
                '\\' if rest[1..].starts_with("\r\n") => self.at += 3,
                '#' => self.at += rest.find('\n').unwrap_or(rest.len()),
                '"' | '\'' => self.text_literal(false)?,
                'r' if rest[1..].starts_with(['"', '\'']) => {
                    self.at += 1;
                    self.text_literal(true)?;
                }
                '0'..='9' => self.number()?,
                '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
                c if c.is_ascii_alphabetic() || c == '_' => self.word()?,
                _ => self.sign(start, c)?,
            }
        }
        if let Some((bracket, span)) = self.open.last() {
            return Err(Error::syntax(*span, format!("this `{bracket}` is never closed")));
        }
        let end = self.behind_last();
        if !matches!(
            self.tokens.last(),
            None | Some((Token::Newline | Token::Dedent, _))
        ) {
            self.tokens.push((Token::Newline, end));
        }
        while self.indents.len() > 1 {
            self.indents.pop();
            self.tokens.push((Token::Dedent, end));
        }
        self.tokens.push((Token::End, end));
        Ok(())
    }

    fn at_line_start(&self) -> bool {
        matches!(
            self.tokens.last(),
            None | Some((Token::Newline | Token::Dedent | Token::Indent, _))
        ) && (self.at == 0 || self.text[..self.at].ends_with(['\n', '\u{feff}']))
    }

    /// Reads the blanks at the start of a line. True if nothing else is on it.
    fn indentation(&mut self) -> Result<bool> {
        let start = self.at;
        let mut width = 0;
        for c in self.rest().chars() {
            match c {
                ' ' => width += 1,
                '\t' => width = (width / 8 + 1) * 8,
                '\r' => {}
                _ => break,
            }
            self.at += 1;
        }
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(false);
        }
        if rest.starts_with(['\n', '#']) {
            self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
            return Ok(true);
        }
        let current = self.indents.last().copied().unwrap_or(0);
        if width > current {
            self.indents.push(width);
            self.push(Token::Indent, start);
        }
        while width < self.indents.last().copied().unwrap_or(0) {
            self.indents.pop();
            if width > self.indents.last().copied().unwrap_or(0) {
                let message = "this line starts at a column where no block starts";
                return Err(Error::syntax(self.span(start), message)
                    .help("give all lines of a block the same number of blanks"));
            }
            self.push(Token::Dedent, start);
        }
        Ok(false)
    }

    fn word(&mut self) -> Result<()> {
        let start = self.at;
        let rest = self.rest();
        let len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let word = rest[..len].to_owned();
        self.at += len;
        if word == "f" && self.rest().starts_with(['"', '\'']) {
            return Err(
                Error::syntax(self.span(start), "there are no f-strings in Starlark")
                    .help("write `\"{}\".format(value)`"),
            );
        }
        if word == "b" && self.rest().starts_with(['"', '\'']) {
            return Err(Error::syntax(
                self.span(start),
                "there are no bytes here, only texts",
            ));
        }
        if let Some((_, help)) = RESERVED.iter().find(|(name, _)| *name == word) {
            let error = Error::syntax(self.span(start), format!("`{word}` is a reserved word"));
            return Err(if help.is_empty() { error } else { error.help(*help) });
        }
        let token = match WORDS.iter().find(|name| **name == word) {
            Some(&"while") => {
                return Err(Error::syntax(self.span(start), "there is no `while` in Starlark")
                    .help("use a `for` loop over a list or a `range`"));
            }
            Some(&"import") => {
                return Err(
                    Error::syntax(self.span(start), "there is no `import` in Starlark")
                        .help("use `load(\"file.star\", \"name\")`"),
                );
            }
            Some(word) => Token::Sign(word),
            None => Token::Name(word.into()),
        };
        self.push(token, start);
        Ok(())
    }

    fn sign(&mut self, start: usize, c: char) -> Result<()> {
        let found = SIGNS
            .iter()
            .chain(&["}"])
            .find(|sign| self.rest().starts_with(**sign))
            .copied();
        let Some(sign) = found else {
            self.at += c.len_utf8();
            return Err(Error::syntax(
                self.span(start),
                format!("`{}` has no meaning here", c.escape_debug()),
            ));
        };
        self.at += sign.len();
        match sign {
            "(" | "[" | "{" => self.open.push((c, self.span(start))),
            ")" | "]" | "}" => {
                let Some((opening, span)) = self.open.pop() else {
                    return Err(Error::syntax(self.span(start), format!("`{c}` closes nothing")));
                };
                if !matches!((opening, c), ('(', ')') | ('[', ']') | ('{', '}')) {
                    let message = format!("this `{opening}` is closed by `{c}`");
                    return Err(Error::syntax(span, message));
                }
            }
            _ => {}
        }
        self.push(Token::Sign(sign), start);
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let start = self.at;
        let rest = self.rest();
        let mut len = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'))
            .unwrap_or(rest.len());
        let hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
        // The sign of an exponent.
        if !hexadecimal && rest[..len].ends_with(['e', 'E']) && rest[len..].starts_with(['+', '-']) {
            let digits = rest[len + 1..]
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len() - len - 1);
            len += 1 + digits;
        }
        let word = rest[..len].to_owned();
        self.at += len;
        let lower = word.to_lowercase();
        let parsed = if let Some(digits) = lower.strip_prefix("0x") {
            i64::from_str_radix(digits, 16).ok().map(Token::Int)
        } else if let Some(digits) = lower.strip_prefix("0o") {
            i64::from_str_radix(digits, 8).ok().map(Token::Int)
        } else if let Some(digits) = lower.strip_prefix("0b") {
            i64::from_str_radix(digits, 2).ok().map(Token::Int)
        } else if lower.contains(['.', 'e']) {
            lower
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Token::Float)
        } else if lower.len() > 1 && lower.starts_with('0') && lower.bytes().any(|digit| digit != b'0') {
            None
        } else {
            lower.parse().ok().map(Token::Int)
        };
        let Some(token) = parsed else {
            let digits = lower.bytes().all(|byte| byte.is_ascii_digit());
            let error = Error::syntax(self.span(start), format!("`{word}` is not a number"));
            return Err(if digits && lower.starts_with('0') {
                error.help("octal numbers begin with `0o`")
            } else if digits {
                error.help("whole numbers have 64 bits")
            } else {
                error
            });
        };
        self.push(token, start);
        Ok(())
    }

    fn text_literal(&mut self, raw: bool) -> Result<()> {
        let start = self.at - usize::from(raw);
        let rest = self.rest();
        let quote = if rest.starts_with("\"\"\"") {
            "\"\"\""
        } else if rest.starts_with("'''") {
            "'''"
        } else if rest.starts_with('"') {
            "\""
        } else {
            "'"
        };
        self.at += quote.len();
        let mut value = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                break;
            }
            match rest.chars().next() {
                None => return Err(self.unclosed(start, quote)),
                Some('\n') if quote.len() == 1 => return Err(self.unclosed(start, quote)),
                Some('\r') if rest.starts_with("\r\n") => {
                    // Lines end alike, whatever wrote the file.
                    if quote.len() == 1 {
                        return Err(self.unclosed(start, quote));
                    }
                    value.push('\n');
                    self.at += 2;
                }
                Some('\\') if raw => {
                    value.push('\\');
                    self.at += 1;
                    if let Some(c) = self.rest().chars().next() {
                        if c == '\n' && quote.len() == 1 {
                            return Err(self.unclosed(start, quote));
                        }
                        value.push(c);
                        self.at += c.len_utf8();
                    }
                }
                Some('\\') => self.escape(&mut value)?,
                Some(c) => {
                    value.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        self.push(Token::Text(value.into()), start);
        Ok(())
    }

    fn unclosed(&mut self, start: usize, quote: &str) -> Box<Error> {
        let line = self.text[start..].find('\n').unwrap_or(self.text.len() - start);
        self.at = if quote.len() == 1 {
            start + line
        } else {
            start + quote.len()
        };
        Error::syntax(self.span(start), format!("this text has no closing {quote}"))
    }

    fn escape(&mut self, value: &mut String) -> Result<()> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.rest().chars().next() else {
            return Ok(());
        };
        self.at += c.len_utf8();
        let plain = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' | '\'' | '"' => c,
            '\n' => return Ok(()),
            '\r' if self.rest().starts_with('\n') => {
                self.at += 1;
                return Ok(());
            }
            'x' | 'u' | 'U' => {
                let digits = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = self
                    .rest()
                    .get(..digits)
                    .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|code| u32::from_str_radix(code, 16).ok())
                    .filter(|code| c != 'x' || *code < 0x80)
                    .and_then(char::from_u32);
                let Some(code) = code else {
                    let message =
                        format!("`\\{c}` must be followed by {digits} digits that name a character");
                    return Err(Error::syntax(self.span(start), message));
                };
                self.at += digits;
                code
            }
            '0'..='7' => {
                let mut code = u32::from(c) - u32::from('0');
                for _ in 0..2 {
                    let next = self.rest().bytes().next();
                    let Some(digit) = next.filter(|byte| (b'0'..=b'7').contains(byte)) else {
                        break;
                    };
                    code = code * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                let Some(code) = char::from_u32(code).filter(char::is_ascii) else {
                    let message = "this escape is no ASCII character";
                    return Err(Error::syntax(self.span(start), message).help("write `\\u` and four digits"));
                };
                code
            }
            other => {
                let message = format!("`\\{}` is no escape", other.escape_debug());
                return Err(Error::syntax(self.span(start), message)
                    .help("write `\\\\` for a backslash, or `r` before the quotes"));
            }
        };
        value.push(plain);
        Ok(())
    }
}
