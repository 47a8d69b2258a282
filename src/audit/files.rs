//! The file of the audit log and those that were turned away before it: written a batch at a time, rotated by size and age, and deleted
//! when they are old. Blocks.
//!
//! A disk that fails loses nothing that was handed over: the rest of a batch is kept, and tried again on a file opened anew. A line that
//! was cut, by a full disk or a crash, is ended where the next begins.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::config::{AuditConfig, SyncPolicy};
use crate::store::Timestamp;

type Open = dyn Fn(&Path) -> io::Result<File> + Send;

/// The files, as their one writer sees them.
pub(super) struct Files {
    path: PathBuf,
    open: Box<Open>,
    current: Option<Current>,
    pending: Vec<u8>,
    /// Whether something was written that may not be on disk yet.
    dirty: bool,
}

struct Current {
    file: File,
    inode: u64,
    length: u64,
    /// When it was begun, or last written before it was opened.
    since: Timestamp,
    /// A device or pipe is neither rotated nor locked.
    regular: bool,
}

impl Files {
    pub(super) fn new(path: &Path) -> Self {
        Self::opened_by(path, |path| {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
        })
    }

    pub(super) fn opened_by(path: &Path, open: impl Fn(&Path) -> io::Result<File> + Send + 'static) -> Self {
        Self {
            path: path.to_owned(),
            open: Box::new(open),
            current: None,
            pending: Vec::new(),
            dirty: false,
        }
    }

    /// Opens the file, if it is not open.
    pub(super) fn open(&mut self, now: Timestamp) -> io::Result<()> {
        if self.current.is_some() {
            return Ok(());
        }
        let mut file = (self.open)(&self.path)?;
        let found = file.metadata()?;
        let regular = found.file_type().is_file();
        if regular {
            lock(&file)?;
            sync_folder(&self.path)?;
        } else if !found.file_type().is_char_device() && !found.file_type().is_fifo() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
        }
        let length = if regular { found.len() } else { 0 };
        if length > 0 && last_byte(&mut file)? != b'\n' {
            // It was cut: what is left of it stays for whoever wants to look.
            self.pending.insert(0, b'\n');
        }
        let written = match length {
            0 => now,
            _ => Timestamp(
                found
                    .modified()?
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_millis() as u64),
            ),
        };
        self.current = Some(Current {
            inode: found.ino(),
            file,
            length,
            since: written,
            regular,
        });
        Ok(())
    }

    /// Writes lines, each ended by a line feed.
    pub(super) fn append(&mut self, lines: &[u8], now: Timestamp, config: &AuditConfig) -> io::Result<()> {
        self.pending.extend_from_slice(lines);
        self.retry(now, config)
    }

    /// Writes what is left to be written. After an error the file is opened anew.
    pub(super) fn retry(&mut self, now: Timestamp, config: &AuditConfig) -> io::Result<()> {
        let written = self.drain(now, config);
        if written.is_err() {
            self.current = None;
        }
        written
    }

    fn drain(&mut self, now: Timestamp, config: &AuditConfig) -> io::Result<()> {
        self.open(now)?;
        self.rotate_if_due(now, config)?;
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        while !self.pending.is_empty() {
            match current.file.write(&self.pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    current.length += count as u64;
                    self.dirty = true;
                    // The whole lines of it are done. A cut one is written again, and what stands of it goes if it can.
                    let lines = match self.pending.get(..count) {
                        Some(written) if count < self.pending.len() => {
                            written.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
                        }
                        _ => count,
                    };
                    self.pending.drain(..lines);
                    if lines < count {
                        current.length -= (count - lines) as u64;
                        current.file.set_len(current.length)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if config.sync == SyncPolicy::Always {
            self.sync()?;
        }
        Ok(())
    }

    /// Forces what was written to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_ref().filter(|current| self.dirty && current.regular) {
            current.file.sync_data()?;
        }
        self.dirty = false;
        Ok(())
    }

    /// What there is to do once a second: the disk, a file that another took away, an old file.
    pub(super) fn tend(&mut self, now: Timestamp, config: &AuditConfig) -> io::Result<()> {
        if config.sync != SyncPolicy::Never {
            self.sync()?;
        }
        if let Some(current) = &self.current
            && current.regular
            && fs::metadata(&self.path).map_or(0, |found| found.ino()) != current.inode
        {
            self.current = None;
        }
        self.retry(now, config)
    }

    fn rotate_if_due(&mut self, now: Timestamp, config: &AuditConfig) -> io::Result<()> {
        let size = config.rotate.size.0;
        let Some(current) = self
            .current
            .as_ref()
            .filter(|current| current.regular && current.length > 0)
        else {
            return Ok(());
        };
        let grown = !self.pending.is_empty() && current.length + self.pending.len() as u64 > size;
        if !grown && period(current.since, config) == period(now, config) {
            return Ok(());
        }
        if config.sync != SyncPolicy::Never {
            self.sync()?;
        }
        let mut at = now;
        let mut aside = turned_away(&self.path, at);
        while aside.exists() {
            at = Timestamp(at.0 + 1);
            aside = turned_away(&self.path, at);
        }
        fs::rename(&self.path, &aside)?;
        self.current = None;
        self.open(now)?;
        self.expire(now, config.retention.0)
    }

    /// Deletes the files that are old.
    pub(super) fn expire(&self, now: Timestamp, retention: Duration) -> io::Result<()> {
        for (time, path) in set_aside(&self.path)? {
            if time < now.before(retention) {
                fs::remove_file(&path)?;
                tracing::info!(target: "lakegate::audit", file = %path.display(), "an old audit log is deleted");
            }
        }
        Ok(())
    }
}

/// All files of a log, the oldest first, the one that is written last.
///
/// # Errors
/// When the folder cannot be read.
pub fn of_log(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = set_aside(path)?.into_iter().map(|(_, path)| path).collect();
    if path.exists() {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// The files that were turned away, by when that was.
fn set_aside(path: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let (stem, extension) = parts(path);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let time = name
            .to_str()
            .and_then(|name| name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&extension))
            .and_then(time_of);
        if let Some(time) = time {
            found.push((time, folder(path).join(&name)));
        }
    }
    found.sort();
    Ok(found)
}

/// `audit.jsonl` becomes `audit-20261124T181500.123Z.jsonl`.
fn turned_away(path: &Path, now: Timestamp) -> PathBuf {
    let (stem, extension) = parts(path);
    let time: String = now.to_string().replace(['-', ':'], "");
    folder(path).join(format!("{stem}-{time}{extension}"))
}

fn time_of(name: &str) -> Option<Timestamp> {
    // RFC 3339 again.
    let (date, time) = name.split_once('T')?;
    let (year, rest) = date.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let (hour, rest) = time.split_at_checked(2)?;
    let (minute, second) = rest.split_at_checked(2)?;
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}");
    let time = humantime::parse_rfc3339(&text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp(u64::try_from(since.as_millis()).ok()?))
}

fn parts(path: &Path) -> (String, String) {
    let text = |text: Option<&OsStr>| text.map(|text| text.to_string_lossy().into_owned());
    let extension = text(path.extension()).map_or_else(String::new, |extension| format!(".{extension}"));
    (text(path.file_stem()).unwrap_or_default(), extension)
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Which period of `rotate.age` a moment is in.
fn period(time: Timestamp, config: &AuditConfig) -> u64 {
    let age = u64::try_from(config.rotate.age.0.as_millis()).unwrap_or(u64::MAX);
    time.0 / age.max(1)
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another process writes it"),
        TryLockError::Error(error) => error,
    })
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

/// A new file's name must survive a power cut too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RotateConfig;
    use crate::config::types::{ByteSize, Period};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const HOUR: u64 = 3_600_000;
    const NOON: Timestamp = Timestamp(1_795_521_600_000);

    fn config(size: u64, age_hours: u64) -> AuditConfig {
        AuditConfig {
            rotate: RotateConfig {
                size: ByteSize(size),
                age: Period(Duration::from_millis(age_hours * HOUR)),
            },
            ..AuditConfig::default()
        }
    }

    fn later(hours: u64) -> Timestamp {
        Timestamp(NOON.0 + hours * HOUR)
    }

    fn read(path: &Path) -> Vec<String> {
        let files = of_log(path).unwrap();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    #[test]
    fn a_new_file_is_begun_by_size_and_by_age_and_no_line_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut files = Files::new(&path);
        let small = config(10, 1000);
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            files.append(line.as_bytes(), NOON, &small).unwrap();
        }
        assert_eq!(read(&path), ["one\ntwo\n", "three\n", "four\n"]);
        let hourly = config(1000, 1);
        files.append(b"five\n", NOON, &hourly).unwrap();
        files.append(b"six\n", later(1), &hourly).unwrap();
        assert_eq!(read(&path), ["one\ntwo\n", "three\n", "four\nfive\n", "six\n"]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_old_is_deleted_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let others = [
            "audit-notes.jsonl",
            "audit-20200101T000000.000Z.jsonl.bak",
            "x-20200101T000000.000Z.jsonl",
        ];
        for other in others {
            fs::write(folder.path().join(other), "kept").unwrap();
        }
        let mut files = Files::new(&path);
        let mut config = config(1000, 1);
        config.retention = Period(Duration::from_secs(2 * 3600));
        for (hour, line) in ["a\n", "b\n", "c\n", "d\n", "e\n"].iter().enumerate() {
            files.append(line.as_bytes(), later(hour as u64), &config).unwrap();
        }
        assert_eq!(read(&path), ["b\n", "c\n", "d\n", "e\n"]);
        assert!(others.iter().all(|other| folder.path().join(other).exists()));
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_written_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let full = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&full);
        let mut files = Files::opened_by(&path, move |path| {
            let path = if switch.load(Ordering::Relaxed) {
                Path::new("/dev/full")
            } else {
                path
            };
            OpenOptions::new().read(true).append(true).create(true).open(path)
        });
        let config = config(1000, 1_000_000);
        files.append(b"one\n", NOON, &config).unwrap();
        full.store(true, Ordering::Relaxed);
        files.current = None;
        let error = files.append(b"two\n", NOON, &config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        files.append(b"three\n", NOON, &config).unwrap_err();
        assert_eq!(files.pending.len(), "two\nthree\n".len());
        full.store(false, Ordering::Relaxed);
        files.retry(NOON, &config).unwrap();
        assert_eq!(
            (read(&path), files.pending.len()),
            (vec!["one\ntwo\nthree\n".to_owned()], 0)
        );
    }

    #[test]
    fn a_line_that_a_crash_cut_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"whole\":1}\n{\"cu").unwrap();
        let mut files = Files::new(&path);
        files
            .append(b"next\n", Timestamp::now(), &config(1000, 1_000_000))
            .unwrap();
        assert_eq!(read(&path), ["{\"whole\":1}\n{\"cu\nnext\n"]);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_anew_and_a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let config = config(1000, 1_000_000);
        let mut files = Files::new(&path);
        files.append(b"one\n", NOON, &config).unwrap();
        let error = Files::new(&path).open(NOON).unwrap_err();
        assert_eq!(error.to_string(), "another process writes it");
        fs::rename(&path, folder.path().join("audit.jsonl.1")).unwrap();
        files.tend(NOON, &config).unwrap();
        files.append(b"two\n", NOON, &config).unwrap();
        assert_eq!(read(&path), ["two\n"]);
    }

    #[test]
    fn the_name_of_a_file_tells_when_it_was_turned_away() {
        let name = turned_away(Path::new("/x/audit.jsonl"), Timestamp(1_795_532_400_123));
        assert_eq!(
            name,
            Path::new("/x/audit-20261124T154000.123Z.jsonl").with_file_name(name.file_name().unwrap())
        );
        let text = name.file_name().unwrap().to_str().unwrap();
        let time = text.strip_prefix("audit-").unwrap().strip_suffix(".jsonl").unwrap();
        assert_eq!(time_of(time), Some(Timestamp(1_795_532_400_123)));
        for junk in ["", "notes", "2026T1", "üüüüTüü", "20261124T999999.123Z"] {
            assert_eq!(time_of(junk), None, "{junk}");
        }
    }
}
