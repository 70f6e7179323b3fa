//! Files and folders on their way to the master, and files from it.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use ironmaster_buildbot::{Compression, DownloadFile, Transfer, UploadDirectory, UploadFile};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

use super::{files::words, report::Report, tar};
use crate::program::Owner as _;

/// The largest block that both protocols carry with room to spare.
const MAX_BLOCK: u64 = 512 * 1024;

/// How a transfer ended: its exit code, or what it has none for.
pub(super) type Ended = Result<i64, String>;

fn block(wanted: u64) -> u64 {
    wanted.clamp(1, MAX_BLOCK)
}

/// `uploadFile`.
pub(super) async fn upload_file(report: &Report, upload: &UploadFile) -> Ended {
    let path = upload.place.path.clone();
    report.header(&format!("sending {path}\n"));
    let opened = blocking({
        let path = path.clone();
        move || {
            // Without waiting, so that a pipe cannot hold the worker.
            let file = File::options()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(rustix::io::Errno::ISDIR.into());
            }
            Ok((file, metadata))
        }
    })
    .await;
    let (file, metadata) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            report.running.transfer(Transfer::Close).await?;
            report.complain(&format!("cannot open {path} for upload: {}", words(&error)));
            return Ok(1);
        }
    };
    let (pieces, mut receive) = mpsc::channel(2);
    let (size, maxsize, cancelled) = (
        block(upload.blocksize),
        upload.maxsize,
        Arc::clone(&report.running.cancelled),
    );
    let reading = tokio::task::spawn_blocking(move || {
        let mut out = Blocks::new(pieces, size, maxsize, cancelled);
        io::copy(
            &mut io::BufReader::with_capacity(MAX_BLOCK as usize, file),
            &mut out,
        )?;
        out.finish()
    });
    send(report, &mut receive).await?;
    let read = joined(reading.await);
    report.running.transfer(Transfer::Close).await?;
    if upload.keepstamp {
        let time = |seconds: i64, nanoseconds: i64| seconds as f64 + nanoseconds as f64 / 1e9;
        let times = Transfer::Times {
            accessed: time(metadata.atime(), metadata.atime_nsec()),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
        };
        report.running.transfer(times).await?;
    }
    Ok(judge(report, &path, upload.maxsize, read))
}

/// `uploadDirectory`.
pub(super) async fn upload_directory(report: &Report, upload: &UploadDirectory) -> Ended {
    let path = upload.place.path.clone();
    report.header(&format!("sending {path}\n"));
    let looked = blocking({
        let path = path.clone();
        move || std::fs::read_dir(path).map(drop)
    })
    .await;
    if let Err(error) = looked {
        report.complain(&format!(
            "cannot read the folder {path} for upload: {}",
            words(&error)
        ));
        return Ok(1);
    }
    let (pieces, mut receive) = mpsc::channel(2);
    let (size, maxsize, cancelled) = (
        block(upload.blocksize),
        upload.maxsize,
        Arc::clone(&report.running.cancelled),
    );
    let (compress, folder) = (upload.compress, path.clone());
    let packing = tokio::task::spawn_blocking(move || {
        let out = Blocks::new(pieces, size, maxsize, cancelled);
        pack(Path::new(&folder), compress, out)?.finish()
    });
    send(report, &mut receive).await?;
    let packed = joined(packing.await);
    // An archive without its end is none.
    if matches!(packed, Ok(()) | Err(Stopped::TooLarge)) && !report.running.is_interrupted() {
        report.running.transfer(Transfer::Unpack).await?;
    }
    Ok(judge(report, &path, upload.maxsize, packed))
}

fn pack(folder: &Path, compress: Option<Compression>, out: Blocks) -> io::Result<Blocks> {
    match compress {
        None => tar::write(folder, out),
        Some(Compression::Gz) => {
            let packer = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            tar::write(folder, packer)?.finish()
        }
        Some(Compression::Bz2) => {
            let packer = bzip2::write::BzEncoder::new(out, bzip2::Compression::default());
            tar::write(folder, packer)?.finish()
        }
    }
}

/// `downloadFile`.
pub(super) async fn download_file(report: &Report, download: &DownloadFile, over_msgpack: bool) -> Ended {
    let path = download.place.path.clone();
    report.header(&format!("downloading to {path}\n"));
    let mode = download.mode;
    let opened = blocking({
        let path = path.clone();
        move || {
            if let Some(folder) = Path::new(&path).parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = File::create(path)?;
            if let Some(mode) = mode {
                file.set_permissions(std::fs::Permissions::from_mode(mode & 0o7777))?;
            }
            Ok(file)
        }
    })
    .await;
    let mut file = match opened {
        Ok(file) => tokio::fs::File::from_std(file),
        Err(error) => {
            report.running.transfer(Transfer::ReadClose).await?;
            report.complain(&format!("cannot open {path} for writing: {}", words(&error)));
            return Ok(1);
        }
    };
    let mut left = download.maxsize.unwrap_or(u64::MAX);
    let mut code = 0;
    let mut empty = true;
    loop {
        if report.running.is_interrupted() {
            code = 1;
            break;
        }
        // One more than may be kept, to know whether there is more.
        let length = block(download.blocksize).min(left.saturating_add(1));
        let mut data = report.running.transfer(Transfer::Read { length }).await?;
        if data.is_empty() {
            if empty && over_msgpack {
                report.header(&format!(
                    "no bytes came for {path}; if that file is not empty: masters up to Buildbot 4.3 lose what they send over msgpack, \
                     and Perspective Broker (--protocol pb) carries it\n"
                ));
            }
            break;
        }
        empty = false;
        let too_much = data.len() as u64 > left;
        data.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(data.len()));
        left -= data.len() as u64;
        if let Err(error) = file.write_all(&data).await {
            report.complain(&format!("cannot write {path}: {}", words(&error)));
            code = 1;
            break;
        }
        if too_much {
            report.complain(&truncated(&path, download.maxsize));
            code = 1;
            break;
        }
    }
    if let Err(error) = file.flush().await {
        report.complain(&format!("cannot write {path}: {}", words(&error)));
        code = 1;
    }
    report.running.transfer(Transfer::ReadClose).await?;
    Ok(code)
}

fn truncated(path: &str, maxsize: Option<u64>) -> String {
    format!(
        "{path} has more than the {} bytes that it may have, and was cut off",
        maxsize.unwrap_or_default()
    )
}

/// Sends blocks as they come. Stops, so that the thread that makes them does, when the command is to end.
async fn send(report: &Report, receive: &mut mpsc::Receiver<Bytes>) -> Result<(), String> {
    while let Some(data) = receive.recv().await {
        if report.running.is_interrupted() {
            receive.close();
            break;
        }
        report.running.transfer(Transfer::Write(data)).await?;
    }
    Ok(())
}

fn judge(report: &Report, path: &str, maxsize: Option<u64>, read: Result<(), Stopped>) -> i64 {
    match read {
        Ok(()) if !report.running.is_interrupted() => 0,
        Ok(()) | Err(Stopped::Unwanted) => 1,
        Err(Stopped::TooLarge) => {
            report.complain(&truncated(path, maxsize));
            1
        }
        Err(Stopped::Io(error)) => {
            report.complain(&format!("cannot read {path}: {}", words(&error)));
            1
        }
    }
}

/// Why there are no more blocks.
#[derive(Debug)]
enum Stopped {
    TooLarge,
    /// Nobody takes them any more.
    Unwanted,
    Io(io::Error),
}

/// What [`Blocks`] says through an error of the system's kind.
#[derive(Debug, thiserror::Error)]
enum Mark {
    #[error("too large")]
    TooLarge,
    #[error("not wanted any more")]
    Unwanted,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Mark>()) {
            Some(Mark::TooLarge) => Self::TooLarge,
            Some(Mark::Unwanted) => Self::Unwanted,
            None => Self::Io(error),
        }
    }
}

fn joined(result: Result<io::Result<()>, tokio::task::JoinError>) -> Result<(), Stopped> {
    match result {
        Ok(result) => result.map_err(Stopped::from),
        Err(error) => Err(Stopped::Io(io::Error::other(error))),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

/// Cuts what is written into blocks, on a thread that may block.
struct Blocks {
    pieces: mpsc::Sender<Bytes>,
    size: usize,
    buffer: Vec<u8>,
    left: Option<u64>,
    cancelled: Arc<AtomicBool>,
}

impl Blocks {
    fn new(pieces: mpsc::Sender<Bytes>, size: u64, maxsize: Option<u64>, cancelled: Arc<AtomicBool>) -> Self {
        Self {
            pieces,
            size: size as usize,
            buffer: Vec::new(),
            left: maxsize,
            cancelled,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let data = std::mem::take(&mut self.buffer);
        if self.cancelled.load(Ordering::Relaxed) || self.pieces.blocking_send(data.into()).is_err() {
            return Err(io::Error::other(Mark::Unwanted));
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        Ok(())
    }
}

impl Write for Blocks {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut length = data.len().min(self.size - self.buffer.len());
        if let Some(left) = &mut self.left {
            length = length.min(usize::try_from(*left).unwrap_or(usize::MAX));
            if length == 0 && !data.is_empty() {
                if !self.buffer.is_empty() {
                    self.send()?;
                }
                return Err(io::Error::other(Mark::TooLarge));
            }
            *left -= length as u64;
        }
        self.buffer.extend_from_slice(&data[..length]);
        if self.buffer.len() == self.size {
            self.send()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
