//! What a program prints, as it comes.

use bytes::{Bytes, BytesMut};
use ironmaster_wire::MAX_CHUNK;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// One of the command's output pipes.
pub(crate) struct Reader {
    pipe: Option<Box<dyn AsyncRead + Unpin>>,
    buffer: BytesMut,
}

impl Reader {
    pub(crate) fn new(pipe: Option<impl AsyncRead + Unpin + 'static>) -> Self {
        Self {
            pipe: pipe.map(|pipe| Box::new(pipe) as Box<dyn AsyncRead + Unpin>),
            buffer: BytesMut::new(),
        }
    }

    /// Whether there may be more.
    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// What is there, without copying it; nothing at the end. Safe to cancel.
    pub(crate) async fn read(&mut self) -> Bytes {
        let Some(pipe) = &mut self.pipe else {
            return Bytes::new();
        };
        if self.buffer.capacity() < MAX_CHUNK / 4 {
            self.buffer.reserve(MAX_CHUNK);
        }
        if let Ok(1..) = pipe.read_buf(&mut self.buffer).await {
            return self.buffer.split().freeze();
        }
        // Its end; and a pipe that cannot be read has nothing more to say either.
        self.pipe = None;
        self.buffer = BytesMut::new();
        Bytes::new()
    }
}
