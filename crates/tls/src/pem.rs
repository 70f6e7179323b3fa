//! Certificates and keys in files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::TlsError;

/// How much of a file is read, in bytes. The list of all public authorities is a quarter of a megabyte.
const FILE_BYTES_MAX: u64 = 8 << 20;

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |cause: io::Error| TlsError::Read {
        path: path.to_owned(),
        cause,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(contents(path, "it is far too large for a file of certificates"));
    }
    Ok(bytes)
}

pub(crate) fn contents(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Contents {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

/// The certificates in a file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(contents(
            path,
            "there is no certificate in PEM form in it (`-----BEGIN CERTIFICATE-----`)",
        )),
        Err(_) => Err(contents(path, "the certificates in it are damaged")),
    }
}

/// The private key in a file.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let locked = bytes.windows(9).any(|text| text == b"ENCRYPTED");
        contents(
            path,
            if locked {
                "the key in it has a passphrase, which nobody could type at a start; `openssl pkey -in OLD -out NEW` takes it off"
            } else {
                "there is no private key in PEM form in it (`-----BEGIN PRIVATE KEY-----`)"
            },
        )
    })
}
