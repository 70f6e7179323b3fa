//! TLS for both programs: the listening side from a certificate and a key in files, the connecting side from what it trusts,
//! and whatever goes wrong as a sentence for the person who meets it.
//!
//! [`Identity`] is a listener's, [`Client`] is for one host, [`Trust`] says whom a client believes. [`Stream`] is a connection
//! that may or may not be encrypted, for code that does not care.
//!
//! The cryptography is `ring`, compiled in: no library of the machine is needed. The certificate authorities are *not* compiled in.
//! They are those of the machine, so that whoever looks after it decides, and a list of last year is nobody's problem; and they are
//! read for each [`Client`], so that a change of them needs no restart, and who uses no TLS does not carry them.
//!
//! **Invariant:** a client that cannot verify whom it speaks with says nothing to them. There is no switch for that.

mod client;
mod identity;
mod pem;
mod stream;
mod words;

use std::{error::Error, fmt::Write as _, io, path::PathBuf};

pub use client::{Client, Trust};
pub use identity::Identity;
pub use stream::{Duplex, Stream};
pub use words::broken;

/// Why there can be no TLS, or no connection with it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// There is something else in a file than there should be.
    #[error("{}: {problem}", path.display())]
    Contents {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The machine has no certificate authorities.
    #[error(
        "this machine has no list of trusted certificate authorities; install it (Debian's package is ca-certificates), or name the \
         authority's certificate with --ca-file"
    )]
    NoRoots,
    /// No certificate can be for such a host.
    #[error("`{0}` is no name or address that a certificate could be for")]
    Host(String),
    /// The two sides did not come together.
    #[error("{0}")]
    Handshake(String),
}

impl TlsError {
    /// The error with its causes, as one sentence.
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}
