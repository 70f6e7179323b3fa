//! A folder as a tar archive, in the format of POSIX: what Buildbot's masters unpack.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read as _, Write},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

const BLOCK: usize = 512;
/// The largest number that an octal field of twelve bytes holds.
const MAX_OCTAL: u64 = 0o777_7777_7777;

/// Writes everything below the folder, in the order of names. Sockets, pipes and devices are left out: they are not data.
pub(super) fn write<W: Write>(folder: &Path, mut out: W) -> io::Result<W> {
    let mut folders = vec![(folder.to_owned(), PathBuf::new())];
    while let Some((path, name)) = folders.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        if name.as_os_str().is_empty() || metadata.is_dir() {
            if !name.as_os_str().is_empty() {
                entry(&mut out, &name, &metadata, b'5', 0, OsStr::new(""))?;
            }
            let mut entries = fs::read_dir(&path)?
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()?;
            // The last is taken first.
            entries.sort_by(|a, b| b.cmp(a));
            folders.extend(
                entries
                    .into_iter()
                    .map(|entry| (path.join(&entry), name.join(&entry))),
            );
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path)?;
            entry(&mut out, &name, &metadata, b'2', 0, target.as_os_str())?;
        } else if metadata.is_file() {
            file(&mut out, &path, &name)?;
        }
    }
    out.write_all(&[0; 2 * BLOCK])?;
    Ok(out)
}

fn file(out: &mut impl Write, path: &Path, name: &Path) -> io::Result<()> {
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)?;
    let metadata = file.metadata()?;
    let size = metadata.len();
    entry(out, name, &metadata, b'0', size, OsStr::new(""))?;
    // A file that grows meanwhile is cut at the size that was told, one that shrinks is filled up.
    let mut copied = io::copy(&mut (&mut file).take(size), out)?;
    while copied < size {
        let length = (size - copied).min(BLOCK as u64);
        out.write_all(&[0; BLOCK][..length as usize])?;
        copied += length;
    }
    pad(out, size)
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let over = (size % BLOCK as u64) as usize;
    if over > 0 {
        out.write_all(&[0; BLOCK][over..])?;
    }
    Ok(())
}

fn entry(
    out: &mut impl Write,
    name: &Path,
    metadata: &Metadata,
    kind: u8,
    size: u64,
    target: &OsStr,
) -> io::Result<()> {
    let name = name.as_os_str().as_bytes();
    let target = target.as_bytes();
    let mut extended = Vec::new();
    for (key, value, fits) in [
        ("path", name, name.len() <= 100 && name.is_ascii()),
        ("linkpath", target, target.len() <= 100 && target.is_ascii()),
        ("size", size.to_string().as_bytes(), size <= MAX_OCTAL),
    ] {
        if !fits {
            extended.extend(record(key, value));
        }
    }
    if !extended.is_empty() {
        let length = extended.len() as u64;
        out.write_all(&header(b"././@PaxHeader", 0o644, length, 0, b'x', b""))?;
        out.write_all(&extended)?;
        pad(out, length)?;
    }
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
    out.write_all(&header(
        name,
        metadata.mode() & 0o7777,
        size,
        modified,
        kind,
        target,
    ))
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn header(name: &[u8], mode: u32, size: u64, modified: u64, kind: u8, target: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let text = |block: &mut [u8; BLOCK], at: usize, most: usize, text: &[u8]| {
        let length = text.len().min(most);
        block[at..at + length].copy_from_slice(&text[..length]);
    };
    // What does not fit is told in an entry before; here stands what does.
    let octal = |block: &mut [u8; BLOCK], at: usize, digits: usize, number: u64| {
        let most = (1_u64 << (3 * digits)) - 1;
        block[at..at + digits].copy_from_slice(format!("{:0digits$o}", number.min(most)).as_bytes());
    };
    text(&mut block, 0, 100, name);
    octal(&mut block, 100, 7, mode.into());
    octal(&mut block, 108, 7, 0);
    octal(&mut block, 116, 7, 0);
    octal(&mut block, 124, 11, size);
    octal(&mut block, 136, 11, modified);
    text(&mut block, 148, 8, b"        ");
    block[156] = kind;
    text(&mut block, 157, 100, target);
    text(&mut block, 257, 8, b"ustar\x0000");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block, 148, 6, sum);
    block[154] = 0;
    block
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn tar_unpacks_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let deep = from.join("é".repeat(60)).join("n".repeat(200));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::create_dir(from.join("empty")).unwrap();
        fs::write(from.join("script"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(
            from.join("script"),
            std::os::unix::fs::PermissionsExt::from_mode(0o750),
        )
        .unwrap();
        fs::write(from.join("nothing"), "").unwrap();
        fs::write(from.join("block"), [7; BLOCK]).unwrap();
        fs::write(deep.join("file"), vec![1; 100_000]).unwrap();
        symlink("script", from.join("link")).unwrap();
        symlink("l".repeat(150), from.join("dangling")).unwrap();
        let archive = folder.path().join("archive");
        write(&from, File::create(&archive).unwrap()).unwrap();
        let status = Command::new("tar")
            .arg("-xpf")
            .arg(&archive)
            .arg("-C")
            .arg(&to)
            .status()
            .unwrap();
        assert!(status.success());
        let same = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([&from, &to])
            .output()
            .unwrap();
        assert!(same.status.success(), "{same:?}");
        assert_eq!(fs::metadata(to.join("script")).unwrap().mode() & 0o777, 0o750);
        assert_eq!(
            fs::metadata(to.join("block")).unwrap().mtime(),
            fs::metadata(from.join("block")).unwrap().mtime()
        );
    }

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", b"abc"), b"12 path=abc\n");
        for length in 0..200 {
            let record = record("path", &vec![b'x'; length]);
            let told: usize = std::str::from_utf8(&record[..record.iter().position(|b| *b == b' ').unwrap()])
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(told, record.len());
        }
    }
}
