//! The administrator's token and the secret of sessions: files of the state directory that only their owner may
//! read, made at the first start.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ironmaster_config::Settings;

use crate::failure::Failure;

const TOKEN_FILE: &str = "admin.token";
const SESSION_FILE: &str = "session.secret";

/// The administrator's token, and whether it was made just now.
pub(crate) fn token(state_dir: &Path) -> Result<(String, bool), Failure> {
    read_or_make(&state_dir.join(TOKEN_FILE))
}

/// What signs session cookies.
pub(crate) fn session_secret(state_dir: &Path) -> Result<[u8; 32], Failure> {
    let path = state_dir.join(SESSION_FILE);
    let (text, _) = read_or_make(&path)?;
    let mut secret = [0; 32];
    hex::decode_to_slice(&text, &mut secret).map_err(|error| {
        Failure::because(
            &format!("{} does not hold 64 hexadecimal digits", path.display()),
            &error,
        )
        .hint("remove the file; the next start makes another one, and everybody has to log in again")
    })?;
    Ok(secret)
}

/// Where to log in with a token.
pub(crate) fn login_link(settings: &Settings, token: &str) -> String {
    format!("{}#/login?token={token}", settings.url)
}

fn read_or_make(path: &Path) -> Result<(String, bool), Failure> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok((text.trim().to_owned(), false)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::because(
                &format!("cannot read {}", path.display()),
                &error,
            ));
        }
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| Failure::because("the operating system gives no random numbers", &error))?;
    let text = hex::encode(secret);
    write(path, &text)
        .map_err(|error| Failure::because(&format!("cannot write {}", path.display()), &error))?;
    Ok((text, true))
}

/// All or nothing: a crash leaves no half of a secret behind.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let next = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&next, path)
}
