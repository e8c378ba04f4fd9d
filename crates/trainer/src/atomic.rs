//! Files that are either the old one or the new one, never half of either.
//!
//! The new contents go to a temporary file in the same folder, are flushed to the disk, and then
//! take the name in one step. When anything fails on the way, the temporary file is removed and
//! the old file is as it was.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Replaces the contents of `path` by what `fill` writes.
///
/// The file and the folder's entry are flushed to the disk before this returns, so that the new
/// file survives a power cut.
///
/// # Errors
///
/// `PATH: cannot save, CAUSE (hint: ...)`; the old file is then untouched.
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    write_through(path, Durability::Flushed, |file| file, fill)
}

/// [`write()`] that leaves it to the system to flush; for files that can be made again and carry
/// a checksum.
///
/// # Errors
///
/// As [`write()`].
pub fn write_cached(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    write_through(path, Durability::Cached, |file| file, fill)
}

/// Flushes a folder's entries to the disk, without which a rename in it may be lost.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

/// Folders cannot be opened as files elsewhere; renames are left to the file system's journal.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Flushed,
    Cached,
}

/// Writes through what `wrap` puts round the file: in tests, a full disk.
fn write_through<W: Write>(
    path: &Path,
    durability: Durability,
    wrap: impl FnOnce(File) -> W,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    fill_and_rename(path, durability, wrap, fill).map_err(|error| {
        let cause = error.root_cause().downcast_ref::<io::Error>();
        let hint = match cause.map(io::Error::kind) {
            Some(io::ErrorKind::StorageFull) => " (hint: free some space, the old file is intact)",
            Some(io::ErrorKind::PermissionDenied) => " (hint: is the folder writable)",
            Some(io::ErrorKind::NotFound) => " (hint: does the folder exist)",
            _ => "",
        };
        anyhow::anyhow!("{}: cannot save, {error:#}{hint}", path.display())
    })
}

fn fill_and_rename<W: Write>(
    path: &Path,
    durability: Durability,
    wrap: impl FnOnce(File) -> W,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut temporary, file) = Temporary::create(path)?;
    let for_sync = file.try_clone()?;
    let mut writer = BufWriter::new(wrap(file));
    fill(&mut writer)?;
    // Explicitly: a BufWriter that is dropped swallows the error of its last flush.
    writer.flush()?;
    drop(writer);
    if durability == Durability::Flushed {
        for_sync.sync_all()?;
    }
    drop(for_sync);
    std::fs::rename(&temporary.path, path)?;
    temporary.kept = true;
    if durability == Durability::Flushed {
        sync_folder(path.parent().unwrap_or(Path::new("")))?;
    }
    Ok(())
}

/// A file that is removed when dropped, unless it got its final name.
struct Temporary {
    path: PathBuf,
    kept: bool,
}

impl Temporary {
    /// A new file beside `path`, under a name that no other writer has.
    fn create(path: &Path) -> io::Result<(Self, File)> {
        for number in 0.. {
            let mut name = OsString::from(".");
            name.push(path.file_name().unwrap_or_default());
            name.push(format!(".{}-{number}.tmp", std::process::id()));
            let path = path.with_file_name(name);
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((Self { path, kept: false }, created?)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a file that cannot be removed either.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for `room` more bytes.
    struct FullDisk {
        file: File,
        room: usize,
    }

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= bytes.len();
            self.file.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in ["one", "two"] {
            write(&path, |out| Ok(out.write_all(text.as_bytes())?)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["state.json"]);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, "old").unwrap();
        // Full at once, in the middle, and only at the final flush of a short file.
        for (room, n_bytes) in [(0, 100_000), (50_000, 100_000), (5, 10)] {
            let wrap = |file| FullDisk { file, room };
            let fill = |out: &mut dyn Write| {
                for _ in 0..n_bytes {
                    out.write_all(b"x")?;
                }
                Ok(())
            };
            let error = write_through(&path, Durability::Flushed, wrap, fill).unwrap_err();
            assert_eq!(
                error.to_string().rsplit('/').next().unwrap(),
                "model.safetensors: cannot save, no storage space (hint: free some space, the old \
                 file is intact)"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(names(folder.path()), ["model.safetensors"]);
        }
    }

    #[test]
    fn a_failing_writer_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let error = write(&path, |_| anyhow::bail!("tensor w: not finite")).unwrap_err();
        assert!(error.to_string().ends_with("new: cannot save, tensor w: not finite"), "{error}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_named_in_the_hint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent/file");
        let error = write(&path, |_| Ok(())).unwrap_err().to_string();
        assert!(error.ends_with("(hint: does the folder exist)"), "{error}");
    }
}
