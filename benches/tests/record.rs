//! The estimates that the repository quotes are of the kernels that it has.

use std::fs;
use std::path::{Path, PathBuf};

/// What a folder holds, in the order of names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_newest_estimates_have_a_row_of_every_kernel() {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Names begin with the date, and go on with a letter on the same day.
    let newest = entries(&benches.join("record/emulated")).pop().expect("a record");
    let text = fs::read_to_string(&newest).expect("it is text");
    let folders = entries(&benches.join("../kernels")).into_iter().filter(|path| path.is_dir());
    let files: Vec<PathBuf> = folders.flat_map(|folder| entries(&folder)).collect();
    let kernels = files.iter().filter(|path| path.extension().is_some_and(|end| end == "ptx"));
    let names = kernels.map(|path| path.file_stem().expect("a name").to_string_lossy());
    let missing: Vec<_> =
        names.filter(|name| !text.contains(&format!(",kernel,{name},"))).collect();
    assert!(
        missing.is_empty(),
        "{}: no row of {missing:?} (hint: a case in benches/src/device/cases, then cargo xtask \
         bench-kernels --device emu --record)",
        newest.display()
    );
}
