//! What lies in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// A JSON file.
#[track_caller]
pub fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Every file below a folder with its bytes.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(root, root, &mut found);
    found
}

/// Fails with the names of files that differ or are there once.
#[track_caller]
pub fn assert_same_files(got: &Path, expected: &Path) {
    let (got, expected) = (files(got), files(expected));
    let names = got.keys().chain(expected.keys());
    let differing: Vec<&String> =
        names.filter(|name| got.get(*name) != expected.get(*name)).collect();
    assert!(differing.is_empty(), "differ: {differing:?}");
    assert!(!expected.is_empty());
}
