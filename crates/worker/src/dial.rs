//! The way to a master: a connection, encrypted or not.

use ironmaster_tls::{Client, Stream, Trust};
use tokio::net::TcpStream;

use crate::WorkerError;

/// How the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Whose word counts that the master is the master.
    pub trust: Trust,
    /// What the certificate has to name, if that is not the host.
    pub name: Option<String>,
}

impl Tls {
    /// Whether connections can be made at all: a mistake is better told at the start than with every attempt.
    pub(crate) fn check(&self, host: &str) -> Result<(), WorkerError> {
        // The machine's list is not ours to judge, and may be there later.
        if self.trust == Trust::System {
            return Ok(());
        }
        let name = self.name.as_deref().unwrap_or(host);
        let made = Client::new(name, &self.trust);
        made.map(drop).map_err(|error| WorkerError::Address {
            address: host.to_owned(),
            problem: error.in_full(),
        })
    }
}

/// Connects. The error is a sentence for the log; the caller limits the time.
///
/// Whom to trust is read each time: it may have changed since, and meanwhile takes no memory.
pub(crate) async fn dial(host: &str, port: u16, tls: Option<&Tls>) -> Result<Stream, String> {
    let connecting = async {
        let stream = TcpStream::connect((host, port)).await?;
        // Small messages must not wait for larger ones; a machine that is gone is noticed some day.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
        Ok::<_, std::io::Error>(stream)
    };
    let stream = connecting.await.map_err(|error| error.to_string())?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = tls.name.as_deref().unwrap_or(host);
    let client = Client::new(name, &tls.trust).map_err(|error| error.in_full())?;
    let stream = client.connect(stream).await.map_err(|error| error.in_full())?;
    Ok(Box::new(stream))
}
