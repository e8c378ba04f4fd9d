//! A cache of computed features on disk, keyed by the content they were computed from.
//!
//! The key is a hash of everything the features depend on (audio bytes, segment, weights, layer),
//! so an entry is never stale and needs no bookkeeping. One file an entry:
//!
//! ```text
//! "CFC1"   blake3 of the payload (32 bytes)   payload
//! ```
//!
//! An entry whose checksum does not hold (a crash, a full disk, a flipped bit) is removed and
//! counts as a miss. When the cache grows over its cap the oldest entries go first.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Context;

use crate::atomic;

const MAGIC: &[u8; 4] = b"CFC1";
const HEADER_LEN: usize = MAGIC.len() + blake3::OUT_LEN;
const EXTENSION: &str = "features";

/// Name of an entry; prints as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(blake3::Hash);

impl Key {
    /// The key of `parts`, each of which goes in with its length, so that moving a byte from one
    /// part to the next gives another key.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A folder of entries with a size cap; may be shared between threads.
#[derive(Debug)]
pub struct FeatureCache {
    folder: PathBuf,
    cap_bytes: u64,
    index: Mutex<Index>,
}

/// Sizes of the entries on disk, and their order of age.
#[derive(Debug, Default)]
struct Index {
    /// Size and age rank of each entry.
    entries: HashMap<String, (u64, u64)>,
    /// Entries by age rank, which only grows.
    oldest_first: BTreeMap<u64, String>,
    /// Size of all entries, headers included.
    bytes: u64,
}

impl FeatureCache {
    /// Opens the cache in `folder`, which is made if need be, and brings it under `cap_bytes`.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or read.
    pub fn open(folder: impl Into<PathBuf>, cap_bytes: u64) -> anyhow::Result<Self> {
        let folder = folder.into();
        let index = scan(&folder)
            .with_context(|| format!("{}: cannot open feature cache", folder.display()))?;
        let cache = Self { folder, cap_bytes, index: Mutex::new(index) };
        cache.evict(&mut cache.lock());
        Ok(cache)
    }

    /// The payload of `key`, or `None` when it is not there or damaged.
    ///
    /// # Errors
    ///
    /// When the file is there but cannot be read.
    fn get(&self, key: &Key) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Another process may have evicted it.
                self.lock().forget(&key.to_string());
                return Ok(None);
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}: cannot read cached features", path.display()));
            }
        };
        if !is_intact(&bytes) {
            // If it cannot be removed it will be found damaged again, which is harmless.
            let _ = std::fs::remove_file(&path);
            self.lock().forget(&key.to_string());
            return Ok(None);
        }
        bytes.drain(..HEADER_LEN);
        Ok(Some(bytes))
    }

    /// Stores `payload` under `key`, then removes the oldest entries until the cap holds. A
    /// payload that is over the cap by itself is not stored.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the cache stays usable.
    fn put(&self, key: &Key, payload: &[u8]) -> anyhow::Result<()> {
        let size = (HEADER_LEN + payload.len()) as u64;
        if size > self.cap_bytes {
            return Ok(());
        }
        let checksum = blake3::hash(payload);
        atomic::write_cached(&self.path(key), |out| {
            out.write_all(MAGIC)?;
            out.write_all(checksum.as_bytes())?;
            Ok(out.write_all(payload)?)
        })?;
        let mut index = self.lock();
        index.remember(key.to_string(), size);
        self.evict(&mut index);
        Ok(())
    }

    /// The payload of `key`, computed and stored if need be.
    ///
    /// Two threads that miss the same key both compute it; the results are the same bytes.
    ///
    /// # Errors
    ///
    /// Those of `compute`; and when an entry cannot be read or written, after which the cache stays
    /// usable.
    pub fn get_or_compute(
        &self,
        key: &Key,
        compute: impl FnOnce() -> anyhow::Result<Vec<u8>>,
    ) -> anyhow::Result<Vec<u8>> {
        if let Some(payload) = self.get(key)? {
            return Ok(payload);
        }
        let payload = compute()?;
        self.put(key, &payload)?;
        Ok(payload)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.to_string()).with_extension(EXTENSION)
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // The index is only a summary of the folder, so a panic elsewhere does not spoil it.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn evict(&self, index: &mut Index) {
        while index.bytes > self.cap_bytes {
            let Some(name) = index.oldest_first.values().next().cloned() else { return };
            // A file that is gone already is as good as removed.
            let _ = std::fs::remove_file(self.folder.join(&name).with_extension(EXTENSION));
            index.forget(&name);
        }
    }
}

impl Index {
    fn remember(&mut self, name: String, size: u64) {
        self.forget(&name);
        let rank = self.oldest_first.keys().next_back().map_or(0, |newest| newest + 1);
        self.bytes += size;
        self.entries.insert(name.clone(), (size, rank));
        self.oldest_first.insert(rank, name);
    }

    fn forget(&mut self, name: &str) {
        if let Some((size, rank)) = self.entries.remove(name) {
            self.bytes -= size;
            self.oldest_first.remove(&rank);
        }
    }
}

fn is_intact(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN
        && bytes.starts_with(MAGIC)
        && blake3::hash(&bytes[HEADER_LEN..]).as_bytes() == &bytes[MAGIC.len()..HEADER_LEN]
}

/// The entries of a folder, oldest first by modification time and then by name.
fn scan(folder: &Path) -> anyhow::Result<Index> {
    std::fs::create_dir_all(folder)?;
    let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let (Some(name), true) = (stem, path.extension().is_some_and(|e| e == EXTENSION)) else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => found.push((metadata.modified()?, name.to_string(), metadata.len())),
            // Another process evicted it since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    let mut index = Index::default();
    for (_, name, size) in found {
        index.remember(name, size);
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: u64 = (HEADER_LEN + 100) as u64;

    fn open(cap: u64) -> (tempfile::TempDir, FeatureCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(folder.path().join("cache"), cap).unwrap();
        (folder, cache)
    }

    /// Entries of a cache and their bytes, which are those on disk.
    fn held(cache: &FeatureCache) -> (usize, u64) {
        let (ours, theirs) = (cache.lock(), scan(&cache.folder).unwrap());
        assert_eq!((ours.entries.len(), ours.bytes), (theirs.entries.len(), theirs.bytes));
        (ours.entries.len(), ours.bytes)
    }

    fn key(i: u32) -> Key {
        Key::of(&[&i.to_le_bytes()])
    }

    #[test]
    fn what_was_put_is_got_and_computed_only_once() {
        let (_folder, cache) = open(1 << 20);
        let mut computed = 0;
        for _ in 0..3 {
            let got = cache.get_or_compute(&key(1), || {
                computed += 1;
                Ok(vec![1, 2, 3])
            });
            assert_eq!(got.unwrap(), [1, 2, 3]);
        }
        assert_eq!(computed, 1);
        cache.put(&key(2), &[]).unwrap();
        assert_eq!(cache.get(&key(2)).unwrap(), Some(vec![]));
        assert_eq!(held(&cache), (2, 2 * HEADER_LEN as u64 + 3));
    }

    #[test]
    fn keys_differ_when_a_byte_moves_between_parts() {
        assert_ne!(Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
        assert_ne!(Key::of(&[b"abc"]), Key::of(&[b"abc", b""]));
        assert_eq!(Key::of(&[b"a"]).to_string().len(), 64);
    }

    #[test]
    fn the_oldest_entries_go_first_when_the_cap_is_reached() {
        let (_folder, cache) = open(3 * ENTRY);
        for i in 0..5 {
            cache.put(&key(i), &[i as u8; 100]).unwrap();
        }
        // Written again, so 2 is now younger than 3 and 4.
        cache.put(&key(2), &[2; 100]).unwrap();
        cache.put(&key(5), &[5; 100]).unwrap();
        let there: Vec<u32> = (0..6).filter(|&i| cache.get(&key(i)).unwrap().is_some()).collect();
        assert_eq!(there, [2, 4, 5]);
        assert_eq!(held(&cache), (3, 3 * ENTRY));
        cache.put(&key(9), &[0; 1000]).unwrap();
        assert_eq!(cache.get(&key(9)).unwrap(), None, "over the cap by itself");
        assert_eq!(held(&cache), (3, 3 * ENTRY));
    }

    #[test]
    fn damaged_entries_are_removed_and_computed_again() {
        for damage in [
            (|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1) as fn(&mut Vec<u8>),
            |bytes| bytes[0] ^= 1,
            |bytes| bytes.truncate(HEADER_LEN - 1),
            |bytes| bytes.truncate(HEADER_LEN + 50),
            |bytes| bytes.clear(),
        ] {
            let (_folder, cache) = open(1 << 20);
            cache.put(&key(1), &[7; 100]).unwrap();
            let path = cache.path(&key(1));
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(cache.get(&key(1)).unwrap(), None);
            assert!(!path.exists());
            assert_eq!(cache.get_or_compute(&key(1), || Ok(vec![7; 100])).unwrap(), [7; 100]);
            assert_eq!(held(&cache), (1, ENTRY));
        }
    }

    #[test]
    fn a_reopened_cache_has_its_entries_and_obeys_a_smaller_cap() {
        let (folder, cache) = open(10 * ENTRY);
        for i in 0..4 {
            cache.put(&key(i), &[0; 100]).unwrap();
        }
        std::fs::write(folder.path().join("cache/notes.txt"), "not an entry").unwrap();
        drop(cache);
        let cache = FeatureCache::open(folder.path().join("cache"), 2 * ENTRY).unwrap();
        assert_eq!(held(&cache), (2, 2 * ENTRY));
        assert!(folder.path().join("cache/notes.txt").exists());
    }

    #[test]
    fn an_entry_that_another_process_removed_is_a_miss() {
        let (_folder, cache) = open(1 << 20);
        cache.put(&key(1), &[1]).unwrap();
        std::fs::remove_file(cache.path(&key(1))).unwrap();
        assert_eq!(cache.get(&key(1)).unwrap(), None);
        assert_eq!(held(&cache), (0, 0));
    }

    #[test]
    fn an_error_of_the_computation_is_passed_on_and_nothing_is_stored() {
        let (_folder, cache) = open(1 << 20);
        let error = cache.get_or_compute(&key(1), || anyhow::bail!("a.wav: truncated"));
        assert_eq!(error.unwrap_err().to_string(), "a.wav: truncated");
        assert_eq!(held(&cache), (0, 0));
    }
}
