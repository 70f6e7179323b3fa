//! The socket in the state directory, for commands on the same machine: the same site for whoever may open it, which is
//! the master's own user and root. They can do everything, as they could with the files beside it.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    http::{HeaderValue, header},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ACCEPT_PAUSE, Connection, serve_connection};
use crate::{
    auth::{AccessToken, LOCAL, Role},
    settings::Limits,
};

/// Its name in the state directory.
pub const SOCKET: &str = "control.sock";
/// Connections at once.
const CONNECTIONS_MAX: usize = 16;

/// A socket that is listened on. Dropping it removes it.
#[derive(Debug)]
pub struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    /// Makes the socket. Only the master that has the directory may do so: one that is there is of a dead one.
    pub fn bind(state_dir: &Path) -> io::Result<Self> {
        let dir = fs::File::open(state_dir)?;
        let path = state_dir.join(SOCKET);
        let new = state_dir.join(format!("{SOCKET}.new"));
        remove(&new)?;
        let listener = UnixListener::bind(short(&dir, &new))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        fs::rename(&new, &path)?;
        Ok(Self { listener, path })
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A name of the same file that is short: addresses of sockets have about a hundred bytes.
fn short(dir: &fs::File, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    if path.as_os_str().len() < 100 {
        return path.to_owned();
    }
    Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name)
}

/// Who may do everything that comes through the socket, with the header that says so. Nobody else can know the token.
pub(super) fn access() -> (AccessToken, HeaderValue) {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the operating system has randomness");
    let token = hex::encode(secret);
    let header = HeaderValue::from_str(&format!("Bearer {token}")).expect("it is hexadecimal");
    (AccessToken::new(LOCAL, &token, Role::Admin), header)
}

pub(super) async fn accept(
    local: LocalListener,
    bearer: HeaderValue,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (place, local.listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            Ok((stream, _)) if is_trusted(&stream) => {
                let (router, stopping, bearer) = (router.clone(), stopping.clone(), bearer.clone());
                let connection = Connection {
                    _place: Arc::new(place),
                };
                tasks.spawn(serve_connection(
                    stream,
                    router,
                    limits,
                    stopping,
                    move |request| {
                        let headers = request.headers_mut();
                        headers.remove(header::COOKIE);
                        headers.remove(header::ORIGIN);
                        headers.insert(header::AUTHORIZATION, bearer.clone());
                        request.extensions_mut().insert(connection.clone());
                    },
                ));
            }
            Ok(_) => {
                tracing::warn!("another user has opened the socket of the state directory; it is not heard");
            }
            Err(error) => {
                tracing::warn!("a local connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The file's permissions say the same, but a directory may have been copied or opened up.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
