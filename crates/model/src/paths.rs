//! Paths that people write and that must stay below a folder.

/// What is wrong with a path that is to stay below the folder from which it is seen; nothing if it does. Symbolic links are for whoever
/// opens it to follow or not.
pub fn wrong_path(path: &str) -> Option<&'static str> {
    if path.trim().is_empty() {
        Some("is empty")
    } else if path.contains('\0') {
        Some("contains a zero byte")
    } else if path.starts_with(['/', '\\']) {
        Some("is absolute")
    } else if path.split(['/', '\\']).any(|part| part == "..") {
        Some("contains `..`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_below_are_right() {
        for right in ["a", "a/b.c", "./a", "a..b/...", "a/"] {
            assert_eq!(wrong_path(right), None, "{right}");
        }
        for (wrong, why) in [
            ("", "is empty"),
            (" ", "is empty"),
            ("/a", "is absolute"),
            ("\\a", "is absolute"),
            ("..", "contains `..`"),
            ("a/../../b", "contains `..`"),
            ("a\\..\\b", "contains `..`"),
            ("a\0b", "contains a zero byte"),
        ] {
            assert_eq!(wrong_path(wrong), Some(why), "{wrong:?}");
        }
    }
}
