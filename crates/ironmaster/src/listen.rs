//! The ports that a master listens on.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::failure::Failure;

/// Connections that wait to be accepted. A whole fleet comes at once after a restart, and a Perspective Broker client that finds the
/// queue full waits for ever: it is connected for its kernel but not for ours, and the server speaks first. The system may
/// have a lower limit (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Takes an address. `section` is what a person has to change if it cannot be had.
pub(crate) fn listen(address: SocketAddr, section: &str) -> Result<TcpListener, Failure> {
    let bind = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        // A start takes the port over from the process before it, whose connections are still being forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| {
        let failure = Failure::because(&format!("cannot listen on {address}"), &error);
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint(format!(
                "another program (perhaps another master) has that port; stop it, or set `listen` in {section}"
            )),
            _ => failure,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    /// More than a queue of the usual length (128) holds.
    const FLEET: usize = 400;

    #[tokio::test]
    async fn who_comes_before_anybody_is_accepted_is_let_in_later() {
        let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("this is Linux");
        let fleet = FLEET.min(limit.trim().parse().expect("it is a number"));
        let listener =
            listen(([127, 0, 0, 1], 0).into(), "[pb]").unwrap_or_else(|_| panic!("a port is free"));
        let address = listener.local_addr().expect("it is bound");
        let mut clients = Vec::new();
        for _ in 0..fleet {
            clients.push(TcpStream::connect(address).await.expect("the queue has room"));
        }
        // They say nothing, as clients of Perspective Broker do: nobody but the queue knows of them.
        for number in 0..fleet {
            let accepted = timeout(Duration::from_mins(1), listener.accept()).await;
            assert!(matches!(accepted, Ok(Ok(_))), "{number} of {fleet} were let in");
        }
    }
}
