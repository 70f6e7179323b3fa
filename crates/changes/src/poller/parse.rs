//! Reads what git prints. The input is foreign: whatever it is, nothing here panics, and memory is bounded.

use std::collections::BTreeMap;

/// The most files of one commit; a vendored tree has more, and nobody reads on.
pub(crate) const FILES_MAX: usize = 10_000;
/// The longest commit message, in bytes.
pub(crate) const COMMENTS_BYTES_MAX: usize = 64 * 1024;
/// The longest other text, in bytes. Linux allows 4096 for a path.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Fields of one commit, each ended by NUL; file names follow. See [`LogParser`].
pub(crate) const FORMAT: &str = "--format=%x00%H%x00%an <%ae>%x00%cn <%ce>%x00%ct%x00%B%x00";

/// What `git ls-remote --symref` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remote {
    /// The branch that `HEAD` is.
    pub(crate) default: Option<String>,
    /// Where each branch points.
    pub(crate) heads: BTreeMap<String, String>,
}

impl Remote {
    /// Parses the output; lines that are not understood are passed over. So is a branch whose name git would not
    /// fetch, as its failure would keep all others from being polled, and one whose name is not UTF-8: nobody could
    /// name it in a configuration.
    pub(crate) fn parse(output: &[u8]) -> Self {
        let mut remote = Self::default();
        for line in output.split(|byte| *byte == b'\n') {
            let Some((left, name)) = std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once('\t'))
            else {
                continue;
            };
            if let Some(target) = left.strip_prefix("ref: ") {
                if name == "HEAD" {
                    remote.default = target.strip_prefix("refs/heads/").map(str::to_owned);
                }
            } else if let Some(branch) = name.strip_prefix("refs/heads/")
                && is_hash(left)
                && is_branch(branch)
            {
                remote.heads.insert(branch.to_owned(), left.to_owned());
            }
        }
        remote
    }

    /// Its default branch with where that points.
    pub(crate) fn default_head(&self) -> Option<(String, String)> {
        let branch = self.default.as_ref()?;
        Some((branch.clone(), self.heads.get(branch)?.clone()))
    }

    /// Length of its hashes: 40 (SHA-1) or 64 (SHA-256).
    pub(crate) fn hash_len(&self) -> usize {
        self.heads.values().next().map_or(40, String::len)
    }
}

/// Whether a text is the full name of an object.
pub(crate) fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether git takes a text for the name of a branch (`git check-ref-format`). It prints what the other end says, which
/// may be anything.
fn is_branch(name: &str) -> bool {
    let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none())
}

/// A commit, as git tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Full hash.
    pub(crate) revision: String,
    /// `Name <mail>`.
    pub(crate) author: String,
    /// `Name <mail>`.
    pub(crate) committer: String,
    /// When it was committed, in seconds since 1970.
    pub(crate) time: i64,
    /// Its message without white space at the end.
    pub(crate) comments: String,
    /// Files that it changed, of a merge compared with its first parent.
    pub(crate) files: Vec<String>,
    /// Files beyond [`FILES_MAX`].
    pub(crate) files_left_out: usize,
}

impl Commit {
    /// What people should know about it.
    pub(crate) fn note(&self) -> Option<String> {
        (self.files_left_out > 0).then(|| {
            format!(
                "commit {} changes {} files; the first {FILES_MAX} are reported",
                self.revision,
                self.files.len() + self.files_left_out
            )
        })
    }
}

/// Output that is not what git prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

/// Reads the output of `git diff-tree -z --name-only` with [`FORMAT`], however it is cut into pieces.
///
/// It is a sequence of texts ended by NUL. A commit is: an empty text, hash, author, committer, time, message,
/// an empty text (git's own end of the header), then the files. The first file has a line feed before it; a
/// file's name is never empty, so an empty text begins the next commit.
#[derive(Debug, Default)]
pub(crate) struct LogParser {
    commits: Vec<Commit>,
    /// The text that is being read.
    token: Vec<u8>,
    /// Bytes of it that did not fit.
    token_cut: bool,
    next: Next,
    /// The commit that is being read.
    commit: Commit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Begin,
    Revision,
    Author,
    Committer,
    Time,
    Comments,
    HeaderEnd,
    FirstFile,
    File,
}

impl LogParser {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), Garbled> {
        while let Some(end) = piece.iter().position(|byte| *byte == 0) {
            self.keep(&piece[..end]);
            let token = std::mem::take(&mut self.token);
            let cut = std::mem::take(&mut self.token_cut);
            self.token(&token, cut)?;
            piece = &piece[end + 1..];
        }
        self.keep(piece);
        Ok(())
    }

    /// Ends the reading; the commits in the order of the output.
    pub(crate) fn finish(mut self) -> Result<Vec<Commit>, Garbled> {
        match self.next {
            Next::FirstFile | Next::File => self.commits.push(self.commit),
            Next::Begin => {}
            _ => return Err(Garbled),
        }
        Ok(self.commits)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let max = match self.next {
            Next::Comments => COMMENTS_BYTES_MAX,
            _ => TEXT_BYTES_MAX,
        };
        let room = max - self.token.len().min(max);
        self.token_cut |= bytes.len() > room;
        self.token.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn token(&mut self, token: &[u8], cut: bool) -> Result<(), Garbled> {
        let text = || text(token, cut);
        self.next = match self.next {
            Next::Begin if token.is_empty() => Next::Revision,
            Next::Revision if is_hash(&text()) => {
                self.commit = Commit {
                    revision: text(),
                    ..Commit::default()
                };
                Next::Author
            }
            Next::Author => {
                self.commit.author = text();
                Next::Committer
            }
            Next::Committer => {
                self.commit.committer = text();
                Next::Time
            }
            Next::Time => {
                // A commit may claim any time; one that is no number claims none.
                self.commit.time = text().parse().unwrap_or(0).clamp(0, 253_402_300_799);
                Next::Comments
            }
            Next::Comments => {
                text().trim_end().clone_into(&mut self.commit.comments);
                Next::HeaderEnd
            }
            Next::HeaderEnd if token.is_empty() => Next::FirstFile,
            Next::FirstFile | Next::File if token.is_empty() => {
                self.commits.push(std::mem::take(&mut self.commit));
                Next::Revision
            }
            Next::FirstFile => {
                self.file(token.strip_prefix(b"\n").unwrap_or(token), cut);
                Next::File
            }
            Next::File => {
                self.file(token, cut);
                Next::File
            }
            Next::Begin | Next::Revision | Next::HeaderEnd => return Err(Garbled),
        };
        Ok(())
    }

    fn file(&mut self, name: &[u8], cut: bool) {
        if self.commit.files.len() < FILES_MAX {
            self.commit.files.push(text(name, cut));
        } else {
            self.commit.files_left_out += 1;
        }
    }
}

/// What the parsers of this file make of git's output, as plain texts.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Each branch with its revision, if it is `ls-remote`'s.
    pub heads: BTreeMap<String, String>,
    /// The texts of each commit, its revision first, if it is `diff-tree`'s.
    pub commits: Option<Vec<Vec<String>>>,
}

/// Reads output as a poll does, in pieces of so many bytes. Only for `crates/fuzz`: everybody else asks a
/// [`GitPoller`](super::GitPoller), which runs git, and a fuzzer needs thousands of outputs a second that git would never print.
#[doc(hidden)]
pub fn read_output(output: &[u8], piece: usize) -> Output {
    let remote = Remote::parse(output);
    if let Some((branch, revision)) = remote.default_head() {
        assert_eq!(remote.heads.get(&branch), Some(&revision));
    }
    assert!(matches!(remote.hash_len(), 40 | 64));
    let mut parser = LogParser::default();
    let commits = output
        .chunks(piece.max(1))
        .try_for_each(|piece| parser.push(piece))
        .and_then(|()| parser.finish());
    let texts = |commit: Commit| {
        let _ = commit.note();
        let mut texts = vec![commit.revision, commit.author, commit.committer, commit.comments];
        texts.extend(commit.files);
        texts
    };
    Output {
        heads: remote.heads,
        commits: commits
            .ok()
            .map(|commits| commits.into_iter().map(texts).collect()),
    }
}

/// Bytes as text: what is not UTF-8 becomes U+FFFD, what was cut ends in `…`.
fn text(bytes: &[u8], cut: bool) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if cut {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ddadc5d77ea5c353ebf4307ebfa7ceb2c7067ffe";
    const B: &str = "aff61c2abc640c29bb2db88ab0aa54711f42f703";

    /// Parses in one piece and byte by byte; both must give the same.
    fn parse(output: &[u8]) -> Result<Vec<Commit>, Garbled> {
        let whole = (|| {
            let mut parser = LogParser::default();
            parser.push(output)?;
            parser.finish()
        })();
        let bytewise = (|| {
            let mut parser = LogParser::default();
            for byte in output {
                parser.push(std::slice::from_ref(byte))?;
            }
            parser.finish()
        })();
        assert_eq!(whole, bytewise);
        whole
    }

    fn commit(hash: &str, comments: &str, files: &[&[u8]]) -> Vec<u8> {
        let mut out = format!("\0{hash}\0Ann <a@b>\0Bob <b@c>\x0012\0{comments}\0\0").into_bytes();
        for (index, file) in files.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\n" } else { b"" });
            out.extend_from_slice(file);
            out.push(0);
        }
        out
    }

    #[test]
    fn commits_are_read() {
        let mut output = commit(A, "one\n\nbody\n", &[b"a", b"dir/b c", b"caf\xe9"]);
        output.extend(commit(B, "empty\n", &[]));
        output.extend(commit(A, "", &[b"\nodd"]));
        let commits = parse(&output).unwrap();
        assert_eq!(commits.len(), 3);
        assert_eq!(
            commits[0],
            Commit {
                revision: A.into(),
                author: "Ann <a@b>".into(),
                committer: "Bob <b@c>".into(),
                time: 12,
                comments: "one\n\nbody".into(),
                files: vec!["a".into(), "dir/b c".into(), "caf\u{fffd}".into()],
                files_left_out: 0,
            }
        );
        assert_eq!(commits[1].files, Vec::<String>::new());
        assert_eq!(commits[2].files, ["\nodd"], "a file may begin with a line feed");
        assert_eq!(parse(b""), Ok(vec![]));
    }

    #[test]
    fn garbage_is_refused() {
        let good = commit(A, "one", &[b"a"]);
        for bad in [
            b"warning: x\0".to_vec(),
            b"\0nohash\0".to_vec(),
            commit("12", "x", &[]),
            good[..30].to_vec(),
            good[..60].to_vec(),
            [good.as_slice(), b"\0\0\0"].concat(),
        ] {
            assert_eq!(parse(&bad), Err(Garbled), "{}", String::from_utf8_lossy(&bad));
        }
    }

    #[test]
    fn large_input_is_bounded() {
        let mut parser = LogParser::default();
        parser
            .push(format!("\0{A}\0a\0b\x00nonsense\0").as_bytes())
            .unwrap();
        for _ in 0..1000 {
            parser.push(&[b'x'; 1000]).unwrap();
        }
        parser.push(b"\0\0\n").unwrap();
        for _ in 0..FILES_MAX + 5 {
            parser.push(b"file\0").unwrap();
        }
        let commit = parser.finish().unwrap().remove(0);
        assert_eq!(commit.time, 0);
        assert_eq!(commit.comments.len(), COMMENTS_BYTES_MAX + '…'.len_utf8());
        assert_eq!(commit.files.len(), FILES_MAX);
        assert!(commit.note().unwrap().contains("10005 files"));
    }

    /// What git says of these names itself, as far as it can be asked: `git check-ref-format refs/heads/NAME`.
    #[test]
    fn branches_have_names_that_git_fetches() {
        for name in [
            "main", "a/b", "café", "@", "-x", "a.b", "a.locked", "a@b", "{", "HEAD",
        ] {
            assert!(is_branch(name), "{name}");
        }
        for name in [
            "", "/", "a/", "/a", "a//b", ".a", "a/.b", "a.", "a..b", "a.lock", "a.lock/b", "a@{b", "a b",
            "a~", "a^", "a:b", "a?", "*", "[", "\\", "a\tb", "a\u{7f}", "a\r",
        ] {
            assert!(!is_branch(name), "{name}");
        }
    }

    #[test]
    fn remotes_are_read() {
        let output = format!(
            "ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/main\n{B}\trefs/heads/a/b\n\
             {B}\trefs/tags/v1\n{B}\trefs/remotes/o/refs/heads/x\nwarning\nxyz\trefs/heads/bad\n"
        );
        let mut output = output.into_bytes();
        output.extend(format!("{A}\trefs/heads/").bytes());
        output.extend(b"caf\xe9\n");
        let remote = Remote::parse(&output);
        assert_eq!(remote.default.as_deref(), Some("main"));
        let heads: Vec<_> = remote.heads.keys().map(String::as_str).collect();
        assert_eq!(heads, ["a/b", "main"]);
        assert_eq!(remote.hash_len(), 40);
        assert_eq!(remote.default_head(), Some(("main".into(), A.into())));
        assert_eq!(Remote::parse(b""), Remote::default());
    }
}
