//! The GPU tests on a machine without a GPU: a drop-in `libcuda` that interprets the PTX stands
//! where the driver's library is looked for.

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
/// Orders in which warps are interleaved, each of which every test must pass.
pub const SEEDS: [u32; 3] = [0, 1, 2];
/// Test programs that need a device begin with this.
pub const PREFIX: &str = "gpu";

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

/// Points `command` at the library in `folder`, with one order of warps.
pub fn point(command: &mut Command, folder: &Path, seed: u32) {
    let mut paths = vec![folder.to_path_buf()];
    paths.extend(std::env::split_paths(&std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default()));
    let paths = std::env::join_paths(paths).unwrap_or_else(|_| folder.into());
    command.env("LD_LIBRARY_PATH", paths);
    command.env("PTX_EMU_SEED", seed.to_string()).env(SWITCH, "1");
}
