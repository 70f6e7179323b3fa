//! JSON as REST v2 writes it: keys sorted, everything beyond ASCII as `\u` escapes, compact or indented by two.
//! (Key order comes for free: a [`serde_json::Map`] is sorted.)

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// How a response body is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// No white space; for programs.
    Compact,
    /// Indented by two; for people.
    Indented,
}

/// The value as bytes.
pub fn to_vec(value: &impl Serialize, layout: Layout) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    write(&mut bytes, value, layout).expect("values serialise, and a Vec takes all bytes");
    bytes
}

/// Writes the value.
pub fn write(out: impl io::Write, value: &impl Serialize, layout: Layout) -> serde_json::Result<()> {
    match layout {
        Layout::Compact => value.serialize(&mut Serializer::with_formatter(out, Ascii(CompactFormatter))),
        Layout::Indented => value.serialize(&mut Serializer::with_formatter(
            out,
            Ascii(PrettyFormatter::with_indent(b"  ")),
        )),
    }
}

/// Writes the inside of a JSON string, without quotes, for texts that come in pieces.
pub fn write_fragment(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            ' '..='~' => out.push(c as u8),
            c => write_escape(out, c).expect("a Vec takes all bytes"),
        }
    }
}

/// Passes everything on, but escapes what is not ASCII.
struct Ascii<F>(F);

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(
            fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $arg: $type)*) -> io::Result<()> {
                self.0.$name(writer $(, $arg)*)
            }
        )*
    };
}

impl<F: Formatter> Formatter for Ascii<F> {
    pass_on! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.bytes().position(|byte| byte >= 0x7f) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                write_escape(writer, c)?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn write_escape<W: ?Sized + io::Write>(writer: &mut W, c: char) -> io::Result<()> {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(writer, "\\u{unit:04x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_not_ascii_is_escaped() {
        let bytes = to_vec(&json!({"ü": "a\u{7f}é€😀\n\"\\"}), Layout::Compact);
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"\u00fc":"a\u007f\u00e9\u20ac\ud83d\ude00\n\"\\"}"#
        );
    }

    #[test]
    fn indentation_is_by_two_and_keys_are_sorted() {
        let value = json!({"b": [1, {"c": null}], "a": [], "d": {}});
        assert_eq!(
            String::from_utf8(to_vec(&value, Layout::Indented)).unwrap(),
            "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \"c\": null\n    }\n  ],\n  \"d\": {}\n}"
        );
    }

    proptest! {
        #[test]
        fn any_text_survives_both_writers(text in any::<String>()) {
            let whole = to_vec(&text, Layout::Compact);
            prop_assert!(whole.is_ascii());
            prop_assert_eq!(&serde_json::from_slice::<Value>(&whole).unwrap(), &Value::from(text.clone()));
            let mut pieces = vec![b'"'];
            write_fragment(&mut pieces, &text);
            pieces.push(b'"');
            prop_assert_eq!(whole, pieces);
        }
    }
}
