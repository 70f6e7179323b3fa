//! Where a master is, in the words of a command line and of Twisted.

/// `HOST:PORT`.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

/// `tcp:HOST:PORT`, or with names. A colon within a value is escaped with a backslash.
pub(super) fn endpoint(text: &str) -> Option<(String, u16)> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts.last_mut()?.push(chars.next()?),
            other => parts.last_mut()?.push(other),
        }
    }
    if parts.remove(0) != "tcp" {
        return None;
    }
    let (mut host, mut port) = (None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("host", value)) => host = Some(value.to_owned()),
            Some(("port", value)) => port = Some(value.parse().ok()?),
            Some(("timeout" | "bindAddress", _)) => {}
            Some(_) => return None,
            None if host.is_none() => host = Some(part),
            None => port = Some(part.parse().ok()?),
        }
    }
    // The library that reads these strings for stock workers takes 80 where there is none.
    Some((host.filter(|host| !host.is_empty())?, port.unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_name_a_host_and_a_port() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        for (text, expected) in [
            ("tcp:host=h:port=9", at("h", 9)),
            ("tcp:h:9", at("h", 9)),
            ("tcp:port=9:host=h:timeout=3", at("h", 9)),
            ("tcp:h", at("h", 80)),
            ("tcp:\\:\\:1:9", at("::1", 9)),
            ("tls:h:9", None),
            ("tcp:", None),
            ("tcp:h:x", None),
            ("\\", None),
        ] {
            assert_eq!(endpoint(text), expected, "{text}");
        }
    }
}
