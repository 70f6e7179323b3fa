//! A SQLite file system that asks a [`Disk`] before every call, and otherwise does what the system's own does.
#![expect(
    unsafe_code,
    reason = "SQLite's interface for file systems is one of C functions and raw pointers"
)]

use std::{
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};

use super::disk::{Call, Disk, Verdict};

/// A file system under a name of its own, until it is dropped. No database may be open on it then.
pub(super) struct Vfs {
    name: &'static CStr,
    raw: *mut sqlite3_vfs,
    disk: Arc<Disk>,
}

/// An open file. The system's own follows it in memory.
#[repr(C)]
struct File {
    base: sqlite3_file,
    disk: *const Disk,
    /// None for a file without a name, which is forwarded as it is.
    path: *mut PathBuf,
}

impl Vfs {
    pub(super) fn new(disk: Disk) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // The name outlives all that may still point at it; a test makes few thousand of them.
        let name: &'static CStr = Box::leak(
            CString::new(format!("faulty{number}"))
                .unwrap()
                .into_boxed_c_str(),
        );
        let disk = Arc::new(disk);
        // SAFETY: the default file system exists for as long as the process. It is copied: its functions ignore which
        // structure they are called with, apart from `xOpen`, which gets the original below.
        let raw = unsafe {
            let system = ffi::sqlite3_vfs_find(std::ptr::null());
            let mut copy = *system;
            copy.iVersion = 2;
            copy.szOsFile += size_of::<File>() as c_int;
            copy.pNext = std::ptr::null_mut();
            copy.zName = name.as_ptr();
            copy.pAppData = Arc::as_ptr(&disk).cast_mut().cast();
            copy.xOpen = Some(open);
            copy.xDelete = Some(delete);
            copy.xAccess = Some(access);
            let raw = Box::into_raw(Box::new(copy));
            assert_eq!(ffi::sqlite3_vfs_register(raw, 0), ffi::SQLITE_OK);
            raw
        };
        Self { name, raw, disk }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name.to_str().unwrap()
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }
}

impl Drop for Vfs {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `Box::into_raw`, is dropped once, and no database is open on it any more.
        unsafe {
            ffi::sqlite3_vfs_unregister(self.raw);
            drop(Box::from_raw(self.raw));
        }
    }
}

/// The system's own file system.
fn system() -> *mut sqlite3_vfs {
    // SAFETY: no name = the default one.
    unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) }
}

unsafe fn disk<'a>(vfs: *mut sqlite3_vfs) -> &'a Disk {
    // SAFETY: the structure is one of ours, whose disk lives as long.
    unsafe { &*(*vfs).pAppData.cast::<Disk>() }
}

unsafe fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite passes a name that ends in NUL.
    OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()).into()
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` bytes for the file, enough for ours and the system's behind it.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let disk = disk(vfs);
        if disk.ask(Call::Open) != Verdict::Go {
            return ffi::SQLITE_CANTOPEN;
        }
        let path = (!name.is_null()).then(|| path_of(name));
        if let Some(path) = &path {
            disk.open(path, flags & ffi::SQLITE_OPEN_CREATE != 0);
        }
        let ours = file.cast::<File>();
        let theirs = ours.add(1).cast::<sqlite3_file>();
        let done = (*system()).xOpen.unwrap()(system(), name, theirs, flags, out);
        if done != ffi::SQLITE_OK {
            if !(*theirs).pMethods.is_null() {
                (*(*theirs).pMethods).xClose.unwrap()(theirs);
            }
            return done;
        }
        (*ours).disk = disk;
        (*ours).path = path.map_or(std::ptr::null_mut(), |path| Box::into_raw(Box::new(path)));
        (*file).pMethods = &raw const METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: arguments as SQLite passes them.
    unsafe {
        let disk = disk(vfs);
        if disk.ask(Call::Delete) != Verdict::Go {
            return ffi::SQLITE_IOERR_DELETE;
        }
        let done = (*system()).xDelete.unwrap()(system(), name, 0);
        if done == ffi::SQLITE_OK {
            disk.deleted(&path_of(name), sync != 0);
        }
        done
    }
}

unsafe extern "C" fn access(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: arguments as SQLite passes them.
    unsafe {
        if disk(vfs).ask(Call::Access) != Verdict::Go {
            return ffi::SQLITE_IOERR_ACCESS;
        }
        (*system()).xAccess.unwrap()(system(), name, flags, out)
    }
}

/// What a method works with.
struct Parts<'a> {
    disk: &'a Disk,
    path: Option<&'a PathBuf>,
    theirs: *mut sqlite3_file,
    methods: &'a sqlite3_io_methods,
}

unsafe fn parts<'a>(file: *mut sqlite3_file) -> Parts<'a> {
    // SAFETY: the methods below are called with files that `open` has made.
    unsafe {
        let ours = file.cast::<File>();
        let theirs = ours.add(1).cast::<sqlite3_file>();
        Parts {
            disk: &*(*ours).disk,
            path: (*ours).path.as_ref(),
            theirs,
            methods: &*(*theirs).pMethods,
        }
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as for `parts`; it is the last call for the file.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        let done = methods.xClose.unwrap()(theirs);
        let path = (*file.cast::<File>()).path;
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
        done
    }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        if disk.ask(Call::Read) != Verdict::Go {
            return ffi::SQLITE_IOERR_READ;
        }
        methods.xRead.unwrap()(theirs, to, amount, offset)
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    amount: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: as for `parts`; `from` has `amount` bytes.
    unsafe {
        let Parts {
            disk,
            path,
            theirs,
            methods,
        } = parts(file);
        let (amount, failure) = match disk.ask(Call::Write) {
            Verdict::Go => (amount, None),
            Verdict::Error => (amount / 2, Some(ffi::SQLITE_IOERR_WRITE)),
            Verdict::Full => (amount / 2, Some(ffi::SQLITE_FULL)),
            Verdict::Dead => return ffi::SQLITE_IOERR_WRITE,
        };
        let done = methods.xWrite.unwrap()(theirs, from, amount, offset);
        if let Some(path) = path
            && done == ffi::SQLITE_OK
        {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), amount as usize);
            disk.wrote(path, offset as u64, bytes);
        }
        failure.unwrap_or(done)
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts {
            disk,
            path,
            theirs,
            methods,
        } = parts(file);
        if disk.ask(Call::Truncate) != Verdict::Go {
            return ffi::SQLITE_IOERR_TRUNCATE;
        }
        let done = methods.xTruncate.unwrap()(theirs, size);
        if let Some(path) = path
            && done == ffi::SQLITE_OK
        {
            disk.truncated(path, size as u64);
        }
        done
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: as for `parts`. The real disk need not be waited for: the model says what is durable.
    unsafe {
        let Parts { disk, path, .. } = parts(file);
        let verdict = disk.ask(Call::Sync);
        match (verdict, path) {
            (Verdict::Go, Some(path)) => disk.synced(path),
            (Verdict::Error, Some(path)) => disk.sync_failed(path),
            _ => {}
        }
        if verdict == Verdict::Go {
            ffi::SQLITE_OK
        } else {
            ffi::SQLITE_IOERR_FSYNC
        }
    }
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, size: *mut sqlite3_int64) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        if disk.ask(Call::Size) != Verdict::Go {
            return ffi::SQLITE_IOERR_FSTAT;
        }
        methods.xFileSize.unwrap()(theirs, size)
    }
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        if disk.ask(Call::Lock) != Verdict::Go {
            return ffi::SQLITE_IOERR_LOCK;
        }
        methods.xLock.unwrap()(theirs, level)
    }
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    // SAFETY: as for `parts`. A dead program's locks are given back by the system, so this is never refused.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xUnlock.unwrap()(theirs, level)
    }
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xCheckReservedLock.unwrap()(theirs, out)
    }
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, op: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xFileControl.unwrap()(theirs, op, argument)
    }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xSectorSize.unwrap()(theirs)
    }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xDeviceCharacteristics.unwrap()(theirs)
    }
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: as for `parts`. What is in shared memory is never durable, so the model does not know it.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        if disk.ask(Call::SharedMap) != Verdict::Go {
            *out = std::ptr::null_mut();
            return ffi::SQLITE_IOERR_SHMMAP;
        }
        methods.xShmMap.unwrap()(theirs, page, size, extend, out)
    }
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        if flags & ffi::SQLITE_SHM_LOCK != 0 && disk.ask(Call::SharedLock) != Verdict::Go {
            return ffi::SQLITE_IOERR_SHMLOCK;
        }
        methods.xShmLock.unwrap()(theirs, offset, n, flags)
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as for `parts`.
    unsafe {
        let Parts { theirs, methods, .. } = parts(file);
        methods.xShmBarrier.unwrap()(theirs);
    }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: as for `parts`. A dead program deletes nothing.
    unsafe {
        let Parts {
            disk,
            theirs,
            methods,
            ..
        } = parts(file);
        let delete = if disk.is_dead() { 0 } else { delete };
        methods.xShmUnmap.unwrap()(theirs, delete)
    }
}

/// Version 2: shared memory, but no mapping of the database itself, which would go past the model.
static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
