//! Where `ptxas` comes from: a path that was given, or the pinned package, fetched once.
//!
//! The package is a wheel that `pip` downloads by version and hash; only the assembler and its
//! licence are unpacked, into `target/cuda-tools/VERSION/`. No driver and no toolkit is needed.
//! The binaries may not be handed on, so they are fetched and never committed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output};

use crate::workspace;

/// The requirements file that pins the package, from the root.
const REQUIREMENTS: &str = "kernels/requirements-assembler.txt";
/// Packed size of the wheel for x86-64, for the message before the wait.
const WHEEL_MB: u32 = 37;
/// What helps where the pinned assembler cannot be had.
const OTHERWISE: &str = "or name an assembler that is installed: --ptxas PATH";

/// Takes the assembler and its licence out of the wheel, flat, into a folder.
const UNPACK: &str = "\
import os, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
for name in wheel.namelist():
    if name.endswith(('/bin/ptxas', '/License.txt')):
        with open(os.path.join(sys.argv[2], os.path.basename(name)), 'wb') as file:
            file.write(wheel.read(name))
";

/// A `ptxas` that has answered.
#[derive(Debug)]
pub struct Assembler {
    /// The program.
    pub program: PathBuf,
    /// Its version, such as `13.0.88`.
    pub version: String,
}

/// Why there is no assembler.
#[derive(Debug, PartialEq, Eq)]
pub enum Lack {
    /// The machine cannot fetch it: no Python, no network, no package for the platform.
    Missing(String),
    /// Something is there and is not what it should be.
    Wrong(String),
}

/// The assembler at `path`; a bare name is looked up in `PATH`.
pub fn given(path: &Path) -> Result<Assembler, Lack> {
    let is_bare = path.components().count() == 1
        && matches!(path.components().next(), Some(Component::Normal(_)));
    let program = match path.is_file() || !is_bare {
        true => env::current_dir().unwrap_or_default().join(path),
        false => path.to_path_buf(),
    };
    Ok(Assembler { version: version(&program).map_err(Lack::Wrong)?, program })
}

/// The pinned assembler, fetched where it is not there yet.
pub fn pinned(root: &Path) -> Result<Assembler, Lack> {
    let package = Package::read(root).map_err(Lack::Wrong)?;
    let home = workspace::target_dir(root).join("cuda-tools").join(&package.version);
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    Fetch { package, home, python, platform: platform() }.assembler()
}

/// The version that the requirements name.
pub fn pinned_version(root: &Path) -> Result<String, String> {
    Package::read(root).map(|package| package.version)
}

/// The pinned package.
#[derive(Debug)]
struct Package {
    /// The requirements file.
    file: PathBuf,
    /// Its text; equal text, equal package.
    text: String,
    version: String,
}

impl Package {
    fn read(root: &Path) -> Result<Self, String> {
        let file = root.join(REQUIREMENTS);
        let text = fs::read_to_string(&file).map_err(|error| format!("{REQUIREMENTS}: {error}"))?;
        let mut pins = text.lines().filter(|line| !line.starts_with('#'));
        let version = pins.find_map(|line| line.split_once("==")).and_then(|(_, rest)| {
            let version = rest.split([' ', '\\']).next()?;
            let is_plain = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            (is_plain && !version.is_empty()).then(|| version.to_owned())
        });
        let version = version.ok_or_else(|| {
            format!("{REQUIREMENTS}: no version, expected `PACKAGE==1.2.3 \\` and hashes")
        })?;
        Ok(Self { file, text, version })
    }
}

/// The platform tag of the wheels that fit this machine, if there are any.
fn platform() -> Option<&'static str> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Some("manylinux2014_x86_64"),
        ("linux", "aarch64") => Some("manylinux2014_aarch64"),
        _ => None,
    }
}

/// All that decides how the package is fetched.
struct Fetch {
    package: Package,
    /// The folder that holds the assembler in the end.
    home: PathBuf,
    python: OsString,
    platform: Option<&'static str>,
}

impl Fetch {
    fn assembler(&self) -> Result<Assembler, Lack> {
        if !self.is_current() {
            self.fetch()?;
        }
        let program = self.home.join("ptxas");
        let version = version(&program).map_err(Lack::Wrong)?;
        if version != self.package.version {
            return Err(Lack::Wrong(format!(
                "{}: version, expected {}, got {version} (hint: delete the folder, and it is \
                 fetched again)",
                program.display(),
                self.package.version
            )));
        }
        Ok(Assembler { program, version })
    }

    /// What the stamp says when the folder holds what the requirements name, whole.
    fn stamp(&self, home: &Path) -> Option<String> {
        let bytes = fs::metadata(home.join("ptxas")).ok()?.len();
        Some(format!("{}\nptxas {bytes} bytes\n", self.package.text))
    }

    fn is_current(&self) -> bool {
        let found = fs::read_to_string(self.home.join("stamp")).ok();
        found.is_some() && found == self.stamp(&self.home)
    }

    /// Downloads and unpacks beside the final folder, so that a half-done one is never taken for
    /// whole, and two fetches at once do not meet.
    fn fetch(&self) -> Result<(), Lack> {
        let Some(platform) = self.platform else {
            return Err(Lack::Missing(format!(
                "ptxas: no package for {} on {}, expected Linux on x86_64 or aarch64 (hint: run it \
                 in a Linux container, {OTHERWISE})",
                env::consts::OS,
                env::consts::ARCH
            )));
        };
        println!(
            "kernels: fetching ptxas {} ({WHEEL_MB} MB) into {}",
            self.package.version,
            self.home.display()
        );
        let part = format!("{}.part-{}", self.package.version, std::process::id());
        let part = self.home.with_file_name(part);
        let done = self.fill(&part, platform).and_then(|()| self.settle(&part));
        // What is left of it is of no use to anyone, and the reason of a failure is `done`.
        let _ = fs::remove_dir_all(&part);
        done
    }

    fn fill(&self, part: &Path, platform: &str) -> Result<(), Lack> {
        let disk = |error: std::io::Error| Lack::Wrong(format!("{}: {error}", part.display()));
        let wheels = part.join("wheels");
        fs::create_dir_all(&wheels).map_err(disk)?;
        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]);
        pip.args(["--no-deps", "--only-binary", ":all:", "--platform", platform]);
        pip.args(["--require-hashes", "--requirement"]).arg(&self.package.file);
        pip.arg("--dest").arg(&wheels);
        let output = self.run(&mut pip)?;
        if !output.status.success() {
            return Err(self.pip_fault(&text_of(&output)));
        }
        let entries = fs::read_dir(&wheels).map_err(disk)?;
        let wheel = entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
        let wheel = wheel.ok_or_else(|| {
            Lack::Wrong(format!("{}: pip ended well and left no wheel", wheels.display()))
        })?;
        let mut unpack = Command::new(&self.python);
        unpack.args(["-c", UNPACK]).arg(&wheel).arg(part);
        let output = self.run(&mut unpack)?;
        if !output.status.success() || !part.join("ptxas").is_file() {
            return Err(Lack::Wrong(format!(
                "{}: no ptxas in it, expected bin/ptxas{}",
                wheel.display(),
                indented(&text_of(&output))
            )));
        }
        fs::remove_dir_all(&wheels).map_err(disk)?;
        make_executable(&part.join("ptxas")).map_err(disk)?;
        let stamp = self.stamp(part).unwrap_or_default();
        fs::write(part.join("stamp"), stamp).map_err(disk)
    }

    /// Puts the filled folder in place of an older one.
    fn settle(&self, part: &Path) -> Result<(), Lack> {
        match fs::remove_dir_all(&self.home) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Lack::Wrong(format!("{}: {error}", self.home.display())));
            }
            _ => {}
        }
        match fs::rename(part, &self.home) {
            // Another run that fetched at the same time may have been first.
            Err(error) if !self.is_current() => {
                Err(Lack::Wrong(format!("{}: {error}", self.home.display())))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, command: &mut Command) -> Result<Output, Lack> {
        command.output().map_err(|error| {
            Lack::Missing(format!(
                "{}: {error} (hint: install Python 3 with pip, name one in PYTHON, {OTHERWISE})",
                self.python.to_string_lossy()
            ))
        })
    }

    /// What pip's own words come to.
    fn pip_fault(&self, said: &str) -> Lack {
        let python = self.python.to_string_lossy();
        let version = &self.package.version;
        // pip tells of each try in a line of its own; its last words are enough.
        let is_try = |line: &&str| line.starts_with("WARNING: Retrying");
        let words: Vec<&str> = said.lines().filter(|line| !is_try(line)).collect();
        let said_so = indented(&words.join("\n"));
        if said.contains("DO NOT MATCH THE HASHES") {
            return Lack::Wrong(format!(
                "{REQUIREMENTS}: the package's hash is not the pinned one (hint: do not use it; the \
                 index, a proxy or the cache has handed out another file){said_so}"
            ));
        }
        if said.contains("No module named pip") {
            return Lack::Missing(format!(
                "{python}: has no pip (hint: {python} -m ensurepip, or the package python3-pip, or \
                 another interpreter in PYTHON, {OTHERWISE})"
            ));
        }
        let unreachable = ["(from versions: none)", "onnection", "timed out", "ProxyError"];
        if unreachable.iter().any(|words| said.contains(words)) {
            return Lack::Missing(format!(
                "ptxas {version}: the package index was not reached (hint: it takes the network \
                 once; see `{python} -m pip config list` for the index and proxy in use, \
                 {OTHERWISE}){said_so}"
            ));
        }
        Lack::Missing(format!(
            "ptxas {version}: pip could not download it (hint: its words are below, \
             {OTHERWISE}){said_so}"
        ))
    }
}

/// The version that `ptxas --version` ends with: `..., release 13.0, V13.0.88`.
fn version(program: &Path) -> Result<String, String> {
    let shown = program.display();
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| {
        format!("{shown}: {error} (hint: expected a ptxas that runs here; it needs glibc)")
    })?;
    let text = text_of(&output);
    let words = text.split_whitespace();
    let version = words.filter_map(|word| word.strip_prefix('V')).find(|word| word.contains('.'));
    version.map(str::to_owned).ok_or_else(|| {
        format!("{shown}: not a ptxas, expected `..., V13.0.88` from --version{}", indented(&text))
    })
}

/// Everything a program printed.
pub fn text_of(output: &Output) -> String {
    let streams = [&output.stderr, &output.stdout];
    streams.map(|stream| String::from_utf8_lossy(stream)).concat()
}

/// The text as further lines of a message.
pub fn indented(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("\n    {line}"))
        .collect()
}

#[cfg(unix)]
fn make_executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_file: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::tests::{Folder, script};
    use super::*;

    /// A Python that downloads and unpacks without a network: a `ptxas` that tells its version.
    const PYTHON: &str = r#"#!/bin/sh
echo "$1" >> "$0.calls"
if [ "$1" = -m ]; then
    for last; do :; done
    : > "$last/tool.whl"
else
    printf '#!/bin/sh\necho "release 13.0, V13.0.88"\n' > "$4/ptxas"
fi
"#;

    fn fetch(folder: &Folder, python: &str) -> Fetch {
        let text = "# Pins.\ntool==13.0.88 \\\n    --hash=sha256:00\n".to_owned();
        Fetch {
            package: Package { file: folder.path("pins.txt"), text, version: "13.0.88".into() },
            home: folder.path("tools/13.0.88"),
            python: script(&folder.path("python"), python).into(),
            platform: Some("manylinux2014_x86_64"),
        }
    }

    fn reason(lack: Lack) -> String {
        match lack {
            Lack::Missing(text) => format!("missing: {text}"),
            Lack::Wrong(text) => format!("wrong: {text}"),
        }
    }

    #[test]
    fn a_package_is_fetched_once_while_its_pins_and_file_are_unchanged() {
        let folder = Folder::new("fetched-once");
        let mut fetch = fetch(&folder, PYTHON);
        let calls = || fs::read_to_string(folder.path("python.calls")).unwrap().lines().count();
        for _ in 0..2 {
            let assembler = fetch.assembler().unwrap();
            assert_eq!(assembler.version, "13.0.88");
            assert_eq!(calls(), 2, "one for pip, one to unpack");
        }
        let left = fs::read_dir(folder.path("tools")).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside the folder");
        fetch.package.text.push_str("# Another hash.\n");
        fetch.assembler().unwrap();
        assert_eq!(calls(), 4, "other pins, another package");
        fs::write(folder.path("tools/13.0.88/ptxas"), "cut").unwrap();
        fetch.assembler().unwrap();
        assert_eq!(calls(), 6, "a file of another size is not the one that was unpacked");
    }

    #[test]
    fn another_version_than_the_pinned_one_is_refused() {
        let folder = Folder::new("other-version");
        let fetch = fetch(&folder, &PYTHON.replace("V13.0.88", "V12.9.86"));
        let reason = reason(fetch.assembler().unwrap_err());
        assert!(reason.contains("ptxas: version, expected 13.0.88, got 12.9.86"), "{reason}");
    }

    #[test]
    fn what_pip_says_becomes_a_reason_with_a_hint() {
        let folder = Folder::new("pip-says");
        for (said, expected) in [
            (
                "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
                "wrong: kernels/requirements-assembler.txt: the package's hash is not the pinned",
            ),
            (
                "ERROR: Could not find a version that satisfies the requirement (from versions: none)",
                "missing: ptxas 13.0.88: the package index was not reached (hint: it takes the",
            ),
            ("/usr/bin/python3: No module named pip", "missing: "),
            ("ERROR: odd", "missing: ptxas 13.0.88: pip could not download it (hint: "),
        ] {
            let python = format!("#!/bin/sh\necho '{said}' >&2\nexit 1\n");
            let reason = reason(fetch(&folder, &python).assembler().unwrap_err());
            assert!(reason.starts_with(expected), "{reason}");
            assert!(reason.contains("hint: "), "{reason}");
        }
        assert!(!folder.path("tools/13.0.88").exists());
    }

    #[test]
    fn no_python_and_no_package_for_the_platform_are_told() {
        let folder = Folder::new("no-python");
        let mut fetch = fetch(&folder, PYTHON);
        fetch.python = "no-such-python-here".into();
        let told = reason(fetch.assembler().unwrap_err());
        assert!(told.starts_with("missing: no-such-python-here: "), "{told}");
        assert!(told.contains("(hint: install Python 3 with pip"), "{told}");
        fetch.platform = None;
        let told = reason(fetch.assembler().unwrap_err());
        assert!(told.contains("expected Linux on x86_64 or aarch64 (hint: "), "{told}");
    }

    #[test]
    fn a_given_program_that_is_no_assembler_is_refused() {
        let told = |path: &Path| reason(given(path).unwrap_err());
        assert!(told(Path::new("/nowhere/ptxas")).starts_with("wrong: /nowhere/ptxas: "));
        assert!(told(Path::new("echo")).contains("echo: not a ptxas"));
    }

    #[test]
    fn the_pins_of_the_workspace_name_a_version_and_a_hash_for_each_platform() {
        let package = Package::read(&workspace::root()).unwrap();
        assert_eq!(package.text.matches("--hash=sha256:").count(), 2);
        assert_eq!(package.version.split('.').count(), 3, "{}", package.version);
    }
}
