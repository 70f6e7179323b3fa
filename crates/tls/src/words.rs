//! What went wrong, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, pki_types::UnixTime};

use crate::Trust;

const DAY: u64 = 24 * 60 * 60;

/// Why a connection to `host` did not become an encrypted one.
pub(crate) fn of_a_client(error: &io::Error, host: &str, trust: &Trust) -> String {
    match tls(error) {
        Some(Error::InvalidCertificate(problem)) => certificate(problem, host, trust),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::MessageTooLarge)) => {
            "what answers there does not speak TLS; is that the right port, and is TLS switched on there?".into()
        }
        Some(Error::AlertReceived(alert)) => {
            format!("the other side gave up the TLS handshake ({})", name(*alert))
        }
        Some(error) => format!("TLS failed: {error}"),
        None if cut(error) => {
            "the connection was closed during the TLS handshake; is that the right port, and is TLS switched on there?".into()
        }
        None => error.to_string(),
    }
}

/// Why a connection, encrypted or not, that was there is no more.
pub fn broken(error: &io::Error) -> String {
    // Whoever dies says no goodbye, which the library takes for an attack.
    match tls(error) {
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the connection was cut".into(),
        None => error.to_string(),
        Some(error) => format!("TLS failed: {error}"),
    }
}

/// Why an accepted connection did not become an encrypted one.
pub(crate) fn of_a_listener(error: &io::Error) -> String {
    match tls(error) {
        Some(Error::InvalidMessage(_)) => "what it sends is not TLS; this port takes nothing else".into(),
        Some(Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate),
        )) => format!(
            "it does not trust the certificate of this port ({}); its own log says more",
            name(*alert)
        ),
        Some(Error::AlertReceived(alert)) => format!("it gave up the TLS handshake ({})", name(*alert)),
        Some(error) => format!("the TLS handshake failed: {error}"),
        None if cut(error) => "it closed the connection before the TLS handshake was through".into(),
        None => error.to_string(),
    }
}

fn certificate(problem: &CertificateError, host: &str, trust: &Trust) -> String {
    match problem {
        CertificateError::UnknownIssuer => match trust {
            Trust::System => "its certificate is signed by nobody whom this machine trusts; if it is the right server, name the \
                              certificate of its authority (or its own, if it is self-signed) with --ca-file"
                .into(),
            Trust::File(path) => format!(
                "its certificate is not signed by any of those in {}; is that the right file, and does the server send the \
                 certificates of all authorities in between?",
                path.display()
            ),
            Trust::Folder(path) => format!(
                "its certificate is not signed by any of those in {}; is that the right folder, and does the server send the \
                 certificates of all authorities in between?",
                path.display()
            ),
        },
        CertificateError::NotValidForNameContext { presented, .. } => {
            if presented.is_empty() {
                format!(
                    "its certificate is for no host at all, as it has no subjectAltName; have one made that names {host}"
                )
            } else {
                format!(
                    "its certificate is for {}, and not for {host}; use a name that it has, or have one made that names {host}",
                    presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                )
            }
        }
        CertificateError::NotValidForName => format!("its certificate is not for {host}"),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate expired {}; have it renewed (or is the clock of this machine wrong?)",
            days(*not_after, *time, "ago")
        ),
        CertificateError::Expired => {
            "its certificate has expired; have it renewed (or is the clock of this machine wrong?)".into()
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is valid only {}; is the clock of this machine wrong?",
            days(*time, *not_before, "from now")
        ),
        CertificateError::NotValidYet => {
            "its certificate is not valid yet; is the clock of this machine wrong?".into()
        }
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "its certificate is an authority's own (CA:TRUE), which none for a server may be; have one made with \
             basicConstraints=CA:FALSE"
                .into()
        }
        CertificateError::BadSignature => {
            "its certificate is not signed by whom it says; is the one that you name of an authority with the same name?".into()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn days(from: UnixTime, to: UnixTime, when: &str) -> String {
    match to.as_secs().saturating_sub(from.as_secs()) / DAY {
        0 => format!("less than a day {when}"),
        1 => format!("a day {when}"),
        days => format!("{days} days {when}"),
    }
}

/// A name in a certificate, without the type that the library puts around it.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// An alert's name, as the standard has it.
fn name(alert: AlertDescription) -> String {
    let mut words = String::new();
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && words.ends_with(|last: char| last.is_ascii_lowercase()) {
            words.push('_');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
