//! Paths on another machine, whose rules are not those of this one.

/// The rules of a worker's paths, as its `system` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStyle {
    /// `/a/b`.
    Posix,
    /// `C:\a\b`.
    Windows,
}

impl PathStyle {
    /// Of a worker's `system`: `nt` is Windows, everything else is not.
    pub fn of(system: &str) -> Self {
        if system == "nt" {
            Self::Windows
        } else {
            Self::Posix
        }
    }

    /// Whether a path says where it is by itself.
    pub fn is_absolute(self, path: &str) -> bool {
        match self {
            Self::Posix => path.starts_with('/'),
            Self::Windows => {
                let bytes = path.as_bytes();
                path.starts_with(['\\', '/'])
                    || matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
            }
        }
    }

    /// A path seen from a folder.
    pub fn join(self, folder: &str, path: &str) -> String {
        if folder.is_empty() || self.is_absolute(path) {
            return path.to_owned();
        }
        if path.is_empty() {
            return folder.to_owned();
        }
        let (separator, ends) = match self {
            Self::Posix => ('/', folder.ends_with('/')),
            Self::Windows => ('\\', folder.ends_with(['\\', '/'])),
        };
        if ends {
            format!("{folder}{path}")
        } else {
            format!("{folder}{separator}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PathStyle::{Posix, Windows};

    #[test]
    fn paths_are_joined_by_the_rules_of_their_machine() {
        let table = [
            (Posix, "/srv/b", "build", "/srv/b/build"),
            (Posix, "/srv/b/", "build", "/srv/b/build"),
            (Posix, "/srv/b", "/abs", "/abs"),
            (Posix, "/srv/b", "", "/srv/b"),
            (Posix, "", "build", "build"),
            (Windows, "C:\\b", "build", "C:\\b\\build"),
            (Windows, "C:\\b", "D:\\x", "D:\\x"),
            (Windows, "C:\\b", "D:/x", "D:/x"),
            (Windows, "C:\\b/", "x", "C:\\b/x"),
            (Posix, "/b", "C:\\x", "/b/C:\\x"),
        ];
        for (style, folder, path, joined) in table {
            assert_eq!(style.join(folder, path), joined);
        }
    }
}
