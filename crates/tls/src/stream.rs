//! A connection, encrypted or not.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};

/// Both directions of a connection. Flush what must go out: under encryption a write may stay in memory until then.
pub trait Duplex: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Duplex for S {}

/// A connection, for code that does not care what it is made of.
pub type Stream = Box<dyn Duplex>;
