//! The GPU tests on a machine without a GPU: a drop-in `libcuda` that interprets the PTX stands
//! where the driver's library is looked for.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, spawn, workspace};

/// The package of the drop-in library, and the file that cargo makes of it. The file has another
/// name than the driver's, so that no test finds it by accident in cargo's own folders.
const PACKAGE: &str = "ptx-emu-cuda";
const LIBRARY: &str = "libptx_emu_cuda.so";
/// Names under which programs look for the driver.
const DRIVER_NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];
/// Variable that turns the GPU tests on: they then fail where there is no device.
pub const SWITCH: &str = "CONSONANCE_GPU_TESTS";
/// Every test passes in each of these: three orders of warps, both generations of cards and so both
/// variants of a kernel that has two, and the worst results that `.approx` instructions may have.
pub const ROUNDS: [Round; 3] = [
    Round { seed: 0, card: "h200", approx: "nearest" },
    Round { seed: 1, card: "a100", approx: "nearest" },
    Round { seed: 2, card: "h200", approx: "worst" },
];
/// Test programs that need a device begin with this.
pub const PREFIX: &str = "gpu";

/// How the interpreter plays a card.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Order in which warps are interleaved.
    pub seed: u32,
    /// The card.
    pub card: &'static str,
    /// Results of `.approx` instructions.
    pub approx: &'static str,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, {}, approximations {}", self.seed, self.card, self.approx)
    }
}

/// Builds the library and puts it under the driver's names into a folder, which is returned.
pub fn library(root: &Path) -> Result<PathBuf> {
    if !cfg!(target_os = "linux") {
        return Err("emulate: the drop-in driver is built on Linux only (hint: run it in a Linux \
                    container, or use a real GPU)"
            .into());
    }
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--package", PACKAGE]).current_dir(root);
    if !spawn::wait(&mut build)?.success() {
        return Err(format!("emulate: {PACKAGE} does not build").into());
    }
    let target = workspace::target_dir(root);
    let folder = target.join("emulator");
    let file = target.join("debug").join(LIBRARY);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in DRIVER_NAMES {
        // A copy beside and a rename: a program that has the old one open keeps it.
        let (fresh, place) = (folder.join(format!("{name}.new")), folder.join(name));
        fs::copy(&file, &fresh)
            .and_then(|_| fs::rename(&fresh, &place))
            .map_err(|error| format!("{} to {}: {error}", file.display(), place.display()))?;
    }
    Ok(folder)
}

/// Points `command` at the library in `folder`.
pub fn point(command: &mut Command, folder: &Path, round: Round) {
    let mut paths = vec![folder.to_path_buf()];
    paths.extend(std::env::split_paths(&std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default()));
    let paths = std::env::join_paths(paths).unwrap_or_else(|_| folder.into());
    command.env("LD_LIBRARY_PATH", paths);
    command.env("PTX_EMU_SEED", round.seed.to_string()).env("PTX_EMU_DEVICE", round.card);
    command.env("PTX_EMU_APPROX", round.approx).env(SWITCH, "1");
}

/// Which kernels the tests launched: the interpreter writes a line for each.
pub struct Launches {
    log: PathBuf,
}

impl Launches {
    /// An empty log beside the library.
    pub fn start(folder: &Path) -> Result<Self> {
        let log = folder.join(format!("launches-{}.jsonl", std::process::id()));
        fs::write(&log, "").map_err(|error| format!("{}: {error}", log.display()))?;
        Ok(Self { log })
    }

    /// Has the tests of `command` write to it.
    pub fn note(&self, command: &mut Command) {
        command.env("PTX_EMU_COUNTERS", &self.log);
    }

    /// Kernels below `kernels/` that no line names. A kernel has the name of its file, as `tidy` sees to.
    pub fn missing(&self, root: &Path) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.log)
            .map_err(|error| format!("{}: {error}", self.log.display()))?;
        let launched: BTreeSet<&str> = text.lines().filter_map(launched).collect();
        let mut missing = Vec::new();
        for folder in fs::read_dir(root.join("kernels"))?.flatten() {
            let Ok(files) = fs::read_dir(folder.path()) else { continue };
            for path in files.flatten().map(|file| file.path()) {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                if path.extension().is_some_and(|ending| ending == "ptx")
                    && !launched.contains(name.as_ref())
                {
                    missing.push(name.into_owned());
                }
            }
        }
        missing.sort();
        Ok(missing)
    }
}

impl Drop for Launches {
    fn drop(&mut self) {
        // What is left behind is overwritten or forgotten with the folder.
        let _ = fs::remove_file(&self.log);
    }
}

/// The kernel of a line of the log.
fn launched(line: &str) -> Option<&str> {
    line.split_once("\"kernel\":\"")?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_no_test_launched_are_named() {
        let root = std::env::temp_dir().join(format!("emulate-test-{}", std::process::id()));
        fs::create_dir_all(root.join("kernels/op")).unwrap();
        for name in ["a_f32.ptx", "b_f32.ptx", "README.md"] {
            fs::write(root.join("kernels/op").join(name), "").unwrap();
        }
        let launches = Launches::start(&root).unwrap();
        let line = "{\"file\":\"x.ptx\",\"kernel\":\"a_f32\",\"grid\":[1, 1, 1]}\n";
        fs::write(&launches.log, line).unwrap();
        assert_eq!(launches.missing(&root).unwrap(), ["b_f32"]);
        drop(launches);
        fs::remove_dir_all(&root).unwrap();
    }
}
