//! Job files of Buildbot's try clients: bytes in, a job out. `docs/reference/try-jobs.md` describes them.
//!
//! A file is a sequence of netstrings, the first of which is the version: up to four, the fields follow one by one, from five on
//! there is one more, which holds JSON.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use ironmaster_engine::{TryJob, TryPatch};
use serde::Deserialize;
use serde_json::Value;

/// The largest job file, in bytes.
pub const JOB_BYTES_MAX: usize = 16 << 20;
/// The most builders that a job may name.
pub const BUILDERS_MAX: usize = 1000;

/// Why a file is not a job. The text is for whoever looks after the master.
#[derive(Debug, thiserror::Error)]
pub enum TryJobError {
    /// It is larger than any job may be.
    #[error("it has {0} bytes, and a job has at most {JOB_BYTES_MAX}")]
    TooLarge(usize),
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// What stands at this byte is not a netstring.
    #[error("what begins at byte {at} is not a netstring ({reason}); was the file cut off?")]
    Netstring {
        /// Where.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The version is not known.
    #[error("its format has the version `{0}`; 1 to 6 are known")]
    Version(String),
    /// A version of the format has a number of fields.
    #[error("version {version} has {wanted} fields, and the file holds {found}")]
    Fields {
        /// The version.
        version: usize,
        /// How many there must be at least.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// A text is not UTF-8.
    #[error(
        "its `{0}` is not UTF-8, and nothing else can be kept; `git diff --binary` makes a patch of ASCII alone"
    )]
    Utf8(&'static str),
    /// A value is not of the kind that it should be.
    #[error("its `{field}` is not {wanted}")]
    Value {
        /// Which.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// What should be JSON is not, or its values have other types.
    #[error("the JSON in it cannot be used")]
    Json(#[source] serde_json::Error),
    /// It names more builders than allowed.
    #[error("it names {0} builders, and {BUILDERS_MAX} are allowed")]
    Builders(usize),
}

/// Reads a job file. The scheduler's name is left blank.
pub fn parse_try_job(bytes: &[u8]) -> Result<TryJob, TryJobError> {
    if bytes.len() > JOB_BYTES_MAX {
        return Err(TryJobError::TooLarge(bytes.len()));
    }
    let mut strings = Netstrings { bytes, at: 0 };
    let version = strings.next().ok_or(TryJobError::Empty)??;
    let job = match version {
        b"1" => fields(1, strings)?,
        b"2" => fields(2, strings)?,
        b"3" => fields(3, strings)?,
        b"4" => fields(4, strings)?,
        b"5" | b"6" => {
            let version = usize::from(version[0] - b'0');
            let body = strings.next().ok_or(TryJobError::Fields {
                version,
                wanted: 1,
                found: 0,
            })??;
            json(body)?
        }
        other => {
            let shown = String::from_utf8_lossy(&other[..other.len().min(20)]).into_owned();
            return Err(TryJobError::Version(shown));
        }
    };
    if job.builders.len() > BUILDERS_MAX {
        return Err(TryJobError::Builders(job.builders.len()));
    }
    Ok(job)
}

/// Texts as `3:abc,`.
struct Netstrings<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Iterator for Netstrings<'b> {
    type Item = Result<&'b [u8], TryJobError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        // An editor may have put a line's end there.
        if rest.trim_ascii().is_empty() {
            return None;
        }
        let one = netstring(rest).map_err(|reason| TryJobError::Netstring { at: self.at, reason });
        match &one {
            Ok((_, length)) => self.at += length,
            // Whatever follows is not looked at.
            Err(_) => self.at = self.bytes.len(),
        }
        Some(one.map(|(text, _)| text))
    }
}

/// The text that a netstring holds, and how long it is as a whole.
fn netstring(bytes: &[u8]) -> Result<(&[u8], usize), &'static str> {
    /// No length that is allowed has more digits.
    const DIGITS_MAX: usize = 9;
    let head = &bytes[..bytes.len().min(DIGITS_MAX + 1)];
    let colon = head
        .iter()
        .position(|byte| *byte == b':')
        .ok_or("it does not begin with a length")?;
    let digits = std::str::from_utf8(&head[..colon]).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it does not begin with a length");
    }
    let length: usize = digits.parse().map_err(|_| "its length is no number")?;
    let text = bytes
        .get(colon + 1..colon + 1 + length)
        .ok_or("it ends before its length")?;
    if bytes.get(colon + 1 + length) != Some(&b',') {
        return Err("no comma ends it");
    }
    Ok((text, colon + length + 2))
}

/// The fields in their order; each version has added some before the builders, which come last.
fn fields(version: usize, strings: Netstrings<'_>) -> Result<TryJob, TryJobError> {
    let wanted = [0, 5, 7, 8, 9][version];
    // One that is too many is enough to know that there are too many.
    let all: Vec<&[u8]> = strings
        .take(wanted + BUILDERS_MAX + 1)
        .collect::<Result<_, _>>()?;
    if all.len() < wanted {
        return Err(TryJobError::Fields {
            version,
            wanted,
            found: all.len(),
        });
    }
    let (fixed, builders) = all.split_at(wanted);
    let get = |at: usize, name: &'static str| match fixed.get(at) {
        Some(bytes) => text(bytes, name),
        None => Ok(String::new()),
    };
    let level = get(3, "patch level")?;
    let level = level.trim().parse().map_err(|_| TryJobError::Value {
        field: "patch level",
        wanted: "a whole number",
    })?;
    Ok(TryJob {
        id: get(0, "job id")?,
        branch: filled(get(1, "branch")?),
        revision: filled(get(2, "base revision")?),
        patch: patch(level, get(4, "patch")?),
        repository: get(5, "repository")?,
        project: get(6, "project")?,
        who: get(7, "who")?,
        comment: get(8, "comment")?,
        builders: builders
            .iter()
            .map(|name| text(name, "builder"))
            .collect::<Result<_, _>>()?,
        ..TryJob::default()
    })
}

fn text(bytes: &[u8], name: &'static str) -> Result<String, TryJobError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| TryJobError::Utf8(name))
}

fn filled(text: String) -> Option<String> {
    // Python's word for nothing gets into a file when a client formats it.
    Some(text).filter(|text| !text.is_empty() && text != "None")
}

fn patch(level: u32, body: String) -> Option<TryPatch> {
    (!body.trim().is_empty()).then(|| TryPatch {
        level,
        subdir: String::new(),
        body,
    })
}

/// The object of versions 5 and 6. Null counts as left out.
#[derive(Deserialize)]
struct Object {
    jobid: Option<String>,
    branch: Option<String>,
    baserev: Option<String>,
    patch_level: Option<Value>,
    patch_body: Option<String>,
    patch_body_base64: Option<String>,
    repository: Option<String>,
    project: Option<String>,
    who: Option<String>,
    comment: Option<String>,
    #[serde(rename = "builderNames")]
    builder_names: Option<Vec<String>>,
    properties: Option<BTreeMap<String, Value>>,
}

fn json(bytes: &[u8]) -> Result<TryJob, TryJobError> {
    let object: Object = serde_json::from_slice(bytes).map_err(TryJobError::Json)?;
    let level = match &object.patch_level {
        None | Some(Value::Null) => Some(1),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(other) => other.as_u64().and_then(|level| u32::try_from(level).ok()),
    };
    let level = level.ok_or(TryJobError::Value {
        field: "patch level",
        wanted: "a whole number",
    })?;
    let body = match (object.patch_body, object.patch_body_base64) {
        (Some(body), _) => body,
        (None, Some(encoded)) => {
            let decoded = STANDARD.decode(encoded).map_err(|_| TryJobError::Value {
                field: "patch",
                wanted: "base64",
            })?;
            text(&decoded, "patch")?
        }
        (None, None) => String::new(),
    };
    Ok(TryJob {
        id: object.jobid.unwrap_or_default(),
        branch: object.branch.and_then(filled),
        revision: object.baserev.and_then(filled),
        patch: patch(level, body),
        repository: object.repository.unwrap_or_default(),
        project: object.project.unwrap_or_default(),
        who: object.who.unwrap_or_default(),
        comment: object.comment.unwrap_or_default(),
        builders: object.builder_names.unwrap_or_default(),
        properties: object.properties.unwrap_or_default(),
        ..TryJob::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(strings: &[&str]) -> Vec<u8> {
        let all: String = strings
            .iter()
            .map(|text| format!("{}:{text},", text.len()))
            .collect();
        all.into_bytes()
    }

    #[test]
    fn every_version_is_read() {
        let patch = Some(TryPatch {
            level: 0,
            subdir: String::new(),
            body: "--- ä\n".into(),
        });
        let first = ["id-1", "main", "abc", "0", "--- ä\n"];
        let more = ["repo", "p", "ann", "why"];
        for (version, fields) in [("1", 0), ("2", 2), ("3", 3), ("4", 4)] {
            let mut strings = vec![version];
            strings.extend(first);
            strings.extend(&more[..fields]);
            strings.extend(["b1", "b2"]);
            let job = parse_try_job(&file(&strings)).unwrap();
            let get = |at: usize| if at < fields { more[at] } else { "" };
            let expected = TryJob {
                id: "id-1".into(),
                branch: Some("main".into()),
                revision: Some("abc".into()),
                patch: patch.clone(),
                repository: get(0).into(),
                project: get(1).into(),
                who: get(2).into(),
                comment: get(3).into(),
                builders: vec!["b1".into(), "b2".into()],
                ..TryJob::default()
            };
            assert_eq!(job, expected, "version {version}");
        }
        let body = r#"{"jobid": "j", "branch": null, "baserev": "abc", "patch_level": 1, "patch_body": "x",
            "repository": "r", "project": "", "who": null, "comment": "c", "builderNames": [], "properties": {"a": [1]}}"#;
        let expected = TryJob {
            id: "j".into(),
            revision: Some("abc".into()),
            patch: Some(TryPatch {
                level: 1,
                subdir: String::new(),
                body: "x".into(),
            }),
            repository: "r".into(),
            comment: "c".into(),
            properties: [("a".to_owned(), serde_json::json!([1]))].into(),
            ..TryJob::default()
        };
        assert_eq!(parse_try_job(&file(&["5", body])).unwrap(), expected);
        let encoded = body.replace("\"patch_body\": \"x\"", "\"patch_body_base64\": \"eA==\"");
        assert_eq!(parse_try_job(&file(&["6", &encoded])).unwrap(), expected);
    }

    #[test]
    fn what_is_blank_is_not_there() {
        let job = parse_try_job(&file(&["1", "", "", "None", "1", " \n"])).unwrap();
        assert_eq!(job, TryJob::default());
        let mut with_line = file(&["5", "{}"]);
        with_line.push(b'\n');
        assert_eq!(parse_try_job(&with_line).unwrap(), TryJob::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many: Vec<&str> = std::iter::once("1")
            .chain(["", "", "", "1", ""])
            .chain(std::iter::repeat_n("b", BUILDERS_MAX + 1))
            .collect();
        for (bytes, expected) in [
            (b"".to_vec(), "it is empty"),
            (b"\n".to_vec(), "it is empty"),
            (b"hello".to_vec(), "it does not begin with a length"),
            (b"1:5".to_vec(), "no comma ends it"),
            (b"1:5,9:{}".to_vec(), "begins at byte 4"),
            (b"9999999999:5".to_vec(), "it does not begin with a length"),
            (file(&["7"]), "the version `7`"),
            (file(&["5"]), "version 5 has 1 fields"),
            (file(&["1", "id"]), "version 1 has 5 fields, and the file holds 1"),
            (file(&["1", "", "", "", "x", ""]), "patch level"),
            (file(&["5", "[]"]), "JSON"),
            (file(&["5", r#"{"patch_level": -1}"#]), "patch level"),
            (
                file(&["6", r#"{"patch_body_base64": "/w=="}"#]),
                "`patch` is not UTF-8",
            ),
            (file(&["6", r#"{"patch_body_base64": "?"}"#]), "base64"),
            (file(&many), "it names 1001 builders"),
            (vec![b'x'; JOB_BYTES_MAX + 1], "at most"),
        ] {
            let error = parse_try_job(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
