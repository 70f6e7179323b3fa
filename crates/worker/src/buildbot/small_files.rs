//! Small files that somebody has written by hand: read whole, within limits.

use std::{fs, io::Read as _, path::Path};

use super::OptionsError;

/// How much of a password file is read.
const MAX_PASSWORD: usize = 4096;

/// The text of a file that has at most so many bytes.
pub(super) fn bounded(file: fs::File, most: usize, path: &Path) -> Result<String, OptionsError> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| OptionsError::File {
            path: path.to_owned(),
            source,
        })?;
    let odd = |problem: &str| OptionsError::Odd {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    if bytes.len() > most {
        return Err(odd(&format!("it has more than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| odd("it is not UTF-8"))
}

/// The password in a file, without the end of its line.
pub(super) fn password(path: &Path) -> Result<String, OptionsError> {
    let file = fs::File::open(path).map_err(|source| OptionsError::File {
        path: path.to_owned(),
        source,
    })?;
    let text = bounded(file, MAX_PASSWORD, path)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(OptionsError::Odd {
            path: path.to_owned(),
            problem: "it is empty, where a password is wanted".into(),
        }),
        password => Ok(password.to_owned()),
    }
}
