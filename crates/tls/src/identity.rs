//! The listening side: who we are, as a certificate and its key say.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{Error, InconsistentKeys, ServerConfig, crypto::ring::default_provider};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{TlsError, pem, words};

/// A certificate with its key, from two files. Whoever listens shares one.
#[derive(Debug)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Identity {
    /// Reads both files. The first certificate is the listener's own; those of authorities between it and its root follow it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            config: RwLock::new(read(certificate, key)?),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads the files again, for connections that are made from now on. If they cannot be used, nothing changes.
    pub fn renew(&self) -> Result<(), TlsError> {
        let config = read(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Makes an encrypted connection of one that was accepted. The caller limits the time.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config)
            .accept(stream)
            .await
            .map_err(|error| TlsError::Handshake(words::of_a_listener(&error)))
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = pem::certificates(certificate)?;
    let secret = pem::key(key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for these versions");
    let config = builder
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => pem::contents(
                key,
                format!(
                    "this is not the key of the certificate in {}",
                    certificate.display()
                ),
            ),
            Error::InvalidCertificate(_) => {
                pem::contents(certificate, "the first certificate in it is damaged")
            }
            error => pem::contents(
                key,
                format!("this key cannot be used ({error}); RSA and ECDSA are fine"),
            ),
        })?;
    Ok(Arc::new(config))
}
