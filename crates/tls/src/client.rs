//! The connecting side: whom to believe that they are who they say.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{TlsError, pem, words};

/// Whose signatures under a certificate count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the authorities that the machine trusts: what the variables SSL_CERT_FILE and SSL_CERT_DIR name, else the
    /// system's own list.
    #[default]
    System,
    /// Those of the certificates in this file, and of nobody else.
    File(PathBuf),
    /// Those of the certificates in the files of this folder whose names end in `.pem`.
    Folder(PathBuf),
}

/// What connects to one host.
#[derive(Clone, Debug)]
pub struct Client {
    host: ServerName<'static>,
    trust: Trust,
    config: Arc<ClientConfig>,
}

impl Client {
    /// For a host, which its certificate has to name, as a name or an address. Reads whom to trust.
    pub fn new(host: &str, trust: &Trust) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Host(host.to_owned()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers for these versions")
            .with_root_certificates(roots(trust)?)
            .with_no_client_auth();
        // For one connection it would only take memory.
        config.resumption = Resumption::disabled();
        Ok(Self {
            host: name,
            trust: trust.clone(),
            config: Arc::new(config),
        })
    }

    /// Makes an encrypted connection of one to the host. The caller limits the time.
    pub async fn connect<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsConnector::from(self.config.clone())
            .connect(self.host.clone(), stream)
            .await
            .map_err(|error| self.failed(&error))
    }

    /// The same for connections that block.
    pub fn connect_blocking<S>(&self, mut stream: S) -> Result<StreamOwned<ClientConnection, S>, TlsError>
    where
        S: Read + Write,
    {
        let mut connection = ClientConnection::new(self.config.clone(), self.host.clone())
            .map_err(|error| self.failed(&io::Error::other(error)))?;
        while connection.is_handshaking() {
            connection
                .complete_io(&mut stream)
                .map_err(|error| self.failed(&error))?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    fn failed(&self, error: &io::Error) -> TlsError {
        TlsError::Handshake(words::of_a_client(error, &self.host.to_str(), &self.trust))
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::System => {
            // Whatever cannot be read among many files and folders is nobody's concern as long as something can.
            let found = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(found);
            if roots.is_empty() {
                return Err(TlsError::NoRoots);
            }
        }
        Trust::File(path) => add(&mut roots, path, pem::certificates(path)?)?,
        Trust::Folder(path) => {
            let failed = |cause| TlsError::Read {
                path: path.clone(),
                cause,
            };
            for entry in fs::read_dir(path).map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                let named = file
                    .extension()
                    .is_some_and(|extension| extension.eq_ignore_ascii_case("pem"));
                // A folder of certificates may have a key in it, or what this user may not read.
                if named && let Ok(found) = pem::certificates(&file) {
                    roots.add_parsable_certificates(found);
                }
            }
            if roots.is_empty() {
                return Err(pem::contents(
                    path,
                    "no file in it whose name ends in .pem has a certificate that can be read",
                ));
            }
        }
    }
    Ok(roots)
}

fn add(
    roots: &mut RootCertStore,
    path: &Path,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<(), TlsError> {
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|_| pem::contents(path, "a certificate in it is damaged"))?;
    }
    Ok(())
}
