//! Who the master's ports say that it is: certificates and keys that a configuration names.

use std::sync::Arc;

use ironmaster_config::{Settings, TlsFiles};
use ironmaster_tls::{Identity, TlsError};

use crate::failure::Failure;

/// Those of a master, each of a port that speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Identities {
    pub(crate) http: Option<Arc<Identity>>,
    pub(crate) pb: Option<Arc<Identity>>,
}

impl Identities {
    /// Reads the files.
    pub(crate) fn of(settings: &Settings) -> Result<Self, Failure> {
        let pb = settings.pb.as_ref().and_then(|pb| pb.tls.as_ref());
        Ok(Self {
            http: load(settings.tls.as_ref(), "[master]")?,
            pb: load(pb, "[pb]")?,
        })
    }

    /// Reads them again, for connections that are made from now on. What cannot be used stays as it was; that is what is returned.
    pub(crate) fn renew(&self) -> Vec<String> {
        let said = |(identity, section): (&Option<Arc<Identity>>, &str)| {
            let error = identity.as_ref()?.renew().err()?;
            Some(format!(
                "the certificate of {section} was not read again, the one in force stays: {}",
                error.in_full()
            ))
        };
        [(&self.http, "[master]"), (&self.pb, "[pb]")]
            .into_iter()
            .filter_map(said)
            .collect()
    }
}

fn load(files: Option<&TlsFiles>, section: &str) -> Result<Option<Arc<Identity>>, Failure> {
    let Some(files) = files else {
        return Ok(None);
    };
    match Identity::load(&files.certificate, &files.key) {
        Ok(identity) => Ok(Some(Arc::new(identity))),
        Err(error) => {
            let failure = Failure::because(&format!("{section} cannot speak TLS"), &error);
            Err(match error {
                TlsError::Read { .. } => failure.hint("can the user that runs the master read it?"),
                _ => failure,
            })
        }
    }
}
