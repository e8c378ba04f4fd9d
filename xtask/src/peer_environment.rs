//! Python environments of the peers, made once for each list of requirements.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, spawn};

/// The requirements that an environment was made from are kept in it: equal text, equal packages.
fn stamp(folder: &Path) -> PathBuf {
    folder.join("requirements.txt")
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// Whether the environment in `folder` was made from `requirements`.
pub fn is_current(folder: &Path, requirements: &Path) -> Result<bool> {
    let wanted = fs::read_to_string(requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let made = fs::read_to_string(stamp(folder)).is_ok_and(|made| made == wanted);
    Ok(made && interpreter(folder).exists())
}

/// The interpreter of an environment that has the requirements, making it where it is not there.
pub fn environment(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let python = interpreter(folder);
    if is_current(folder, requirements)? {
        return Ok(python);
    }
    let base = env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    println!("peers: making an environment in {}", folder.display());
    // The stamp of an older one must not outlive a pip that fails half way.
    if stamp(folder).exists() {
        fs::remove_file(stamp(folder))?;
    }
    let hint = "hint: install Python 3.11 or newer with its venv module, or name one in PYTHON";
    let mut venv = Command::new(&base);
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    if !spawn::wait(&mut venv).map_err(|error| format!("{error} ({hint})"))?.success() {
        return Err(format!("`{base} -m venv` failed ({hint})").into());
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements);
    if !spawn::wait(&mut pip)?.success() {
        let text = format!(
            "pip could not install {} (hint: its messages are above; it needs the network)",
            requirements.display()
        );
        return Err(text.into());
    }
    fs::copy(requirements, stamp(folder))?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_current_while_the_requirements_are_its_own() {
        let folder = env::temp_dir().join(format!("peer-environment-test-{}", std::process::id()));
        let requirements = folder.join("wanted.txt");
        let python = interpreter(&folder);
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        fs::write(&requirements, "a==1\n").unwrap();
        assert!(!is_current(&folder, &requirements).unwrap());
        fs::copy(&requirements, stamp(&folder)).unwrap();
        assert!(!is_current(&folder, &requirements).unwrap(), "it has no interpreter");
        fs::write(&python, "").unwrap();
        assert!(is_current(&folder, &requirements).unwrap());
        fs::write(&requirements, "a==2\n").unwrap();
        assert!(!is_current(&folder, &requirements).unwrap());
        fs::remove_dir_all(&folder).unwrap();
        assert!(is_current(&folder, &requirements).is_err());
    }
}
