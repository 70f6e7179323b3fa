//! A TCP proxy that can be cut, or made to swallow everything without a word.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Open,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay, but nothing comes through.
    Silent,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    mode: Arc<watch::Sender<Mode>>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let mode = Arc::new(watch::Sender::new(Mode::Open));
        let modes = mode.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let modes = modes.subscribe();
                tokio::spawn(async move {
                    if *modes.borrow() == Mode::Cut {
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await {
                        let (client_read, client_write) = client.into_split();
                        let (server_read, server_write) = server.into_split();
                        tokio::select! {
                            () = pass(client_read, server_write, modes.clone()) => {}
                            () = pass(server_read, client_write, modes) => {}
                        }
                    }
                });
            }
        });
        Self { port, mode }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut modes: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mode = *modes.borrow_and_update();
        tokio::select! {
            changed = modes.changed() => if changed.is_err() { return },
            n = from.read(&mut buffer), if mode == Mode::Open => {
                let Ok(n @ 1..) = n else { return };
                if to.write_all(&buffer[..n]).await.is_err() { return }
            }
        }
        if *modes.borrow() == Mode::Cut {
            return;
        }
    }
}
