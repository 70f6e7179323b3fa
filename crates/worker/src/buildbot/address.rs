//! Where a master is, in the words of a command line and of Twisted.

use std::path::{Path, PathBuf};

use ironmaster_tls::Trust;

use crate::Tls;

/// `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

/// What a connection string says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
}

/// `tcp:HOST:PORT`, `tls:HOST:PORT:trustRoots=DIR`, or `ssl:HOST:PORT:caCertsDir=DIR`, or each with names. A colon within a value
/// is escaped with a backslash. Relative folders are below `dir`. None if it says anything else.
pub(super) fn endpoint(text: &str, dir: &Path) -> Option<Endpoint> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts.last_mut()?.push(chars.next()?),
            other => parts.last_mut()?.push(other),
        }
    }
    let kind = parts.remove(0).to_ascii_lowercase();
    let roots_are = match kind.as_str() {
        "tcp" => None,
        "tls" => Some("trustRoots"),
        "ssl" => Some("caCertsDir"),
        _ => return None,
    };
    let (mut host, mut port) = (None, None);
    let mut tls = roots_are.is_some().then(Tls::default);
    for part in parts {
        match part.split_once('=') {
            Some(("host", value)) => host = Some(value.to_owned()),
            Some(("port", value)) => port = Some(value.parse().ok()?),
            Some(("timeout" | "bindAddress", _)) => {}
            Some((name, value)) if Some(name) == roots_are => {
                tls.as_mut()?.trust = Trust::Folder(dir.join(PathBuf::from(value)));
            }
            Some(("hostname", value)) if kind == "ssl" => tls.as_mut()?.name = Some(value.to_owned()),
            Some(_) => return None,
            None if host.is_none() => host = Some(part),
            None => port = Some(part.parse().ok()?),
        }
    }
    Some(Endpoint {
        host: host.filter(|host| !host.is_empty())?,
        port: match port {
            Some(port) => port,
            // The library that reads these strings for stock workers takes it where there is none.
            None if tls.is_none() => 80,
            None => return None,
        },
        tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_name_a_host_and_a_port() {
        let at = |host: &str, port| {
            Some(Endpoint {
                host: host.to_owned(),
                port,
                tls: None,
            })
        };
        let encrypted = |trust: Trust, name: Option<&str>| {
            let name = name.map(str::to_owned);
            at("h", 9).map(|endpoint| Endpoint {
                tls: Some(Tls { trust, name }),
                ..endpoint
            })
        };
        let folder = |path: &str| Trust::Folder(path.into());
        for (text, expected) in [
            ("tcp:host=h:port=9", at("h", 9)),
            ("tcp:h:9", at("h", 9)),
            ("tcp:port=9:host=h:timeout=3", at("h", 9)),
            ("tcp:h", at("h", 80)),
            ("tcp:\\:\\:1:9", at("::1", 9)),
            ("tls:h:9", encrypted(Trust::System, None)),
            (
                "tls:host=h:port=9:trustRoots=/etc/roots",
                encrypted(folder("/etc/roots"), None),
            ),
            (
                "TLS:h:9:trustRoots=roots",
                encrypted(folder("/srv/w/roots"), None),
            ),
            (
                "ssl:h:port=9:caCertsDir=/r:hostname=ci",
                encrypted(folder("/r"), Some("ci")),
            ),
            // A certificate of the worker's own is not shown to anybody.
            ("tls:h:9:certificate=c:privateKey=k", None),
            ("tls:h:9:endpoint=tcp\\:other\\:9", None),
            ("tls:h", None),
            ("tcp:h:9:trustRoots=r", None),
            ("unix:/run/master", None),
            ("tcp:", None),
            ("tcp:h:x", None),
            ("\\", None),
        ] {
            assert_eq!(endpoint(text, Path::new("/srv/w")), expected, "{text}");
        }
    }
}
