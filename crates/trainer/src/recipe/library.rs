//! Where recipes and the files they name are found.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::hint::{did_you_mean, nearest};

/// One recipe that can be named without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The bare name: the file's stem.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// First comment line of the file.
    pub about: String,
}

/// Folders that are searched for bare recipe names, first match wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    folders: Vec<PathBuf>,
}

impl Library {
    /// `recipes/` in the current folder, then the recipes shipped with this crate.
    pub fn standard() -> Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        Self { folders: vec![PathBuf::from("recipes"), shipped] }
    }

    /// A library of other folders.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The recipes that can be named, sorted by name; a name found twice is listed once, as it
    /// would be found.
    ///
    /// # Errors
    ///
    /// When a folder exists but cannot be read.
    pub fn list(&self) -> anyhow::Result<Vec<Listed>> {
        let mut listed: Vec<Listed> = Vec::new();
        for folder in self.folders.iter().filter(|folder| folder.is_dir()) {
            let entries = std::fs::read_dir(folder)
                .with_context(|| format!("{}: cannot list recipes", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
                let is_recipe = path.extension().is_some_and(|extension| extension == "toml");
                if is_recipe && !listed.iter().any(|known| known.name == name) {
                    listed.push(Listed { name: name.into(), about: about(&path)?, path });
                }
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// The file of a recipe given by path or by bare name.
    ///
    /// # Errors
    ///
    /// When there is none, with the nearest name.
    pub fn find(&self, path_or_name: &str) -> anyhow::Result<PathBuf> {
        let path = resolve_path(path_or_name);
        if path.is_file() {
            return Ok(path);
        }
        let file = format!("{}.toml", path_or_name.trim_end_matches(".toml"));
        if let Some(found) =
            self.folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file())
        {
            return Ok(found);
        }
        let listed = self.list()?;
        let hint = match nearest(path_or_name, listed.iter().map(|known| known.name.as_str())) {
            Some(name) => did_you_mean(Some(name)),
            None => " (hint: recipe ls lists them)".to_string(),
        };
        anyhow::bail!("recipe: no file and no shipped recipe `{path_or_name}`{hint}")
    }

    /// Copies a recipe to `to`, to be edited there. An existing file is not overwritten.
    ///
    /// # Errors
    ///
    /// When there is no such recipe, `to` exists, or it cannot be written.
    pub fn copy(&self, name: &str, to: &Path) -> anyhow::Result<()> {
        let from = self.find(name)?;
        anyhow::ensure!(
            !to.exists(),
            "{}: file exists, expected a new name (hint: recipes are never overwritten)",
            to.display()
        );
        std::fs::copy(&from, to)
            .with_context(|| format!("{}: cannot copy to {}", from.display(), to.display()))?;
        Ok(())
    }
}

/// The file or folder a recipe means by `written`.
///
/// An absolute path is itself. A relative one is looked for below the current folder, then below
/// the workspace root, so that shipped recipes work from any folder of the workspace; when it is
/// in neither place it stays as written, so that the error about it names what the user wrote.
pub fn resolve_path(written: &str) -> PathBuf {
    let path = PathBuf::from(written);
    if written.is_empty() || path.is_absolute() || path.exists() {
        return path;
    }
    let in_workspace = workspace_root().join(&path);
    if in_workspace.exists() { in_workspace } else { path }
}

/// The folder that holds the workspace's `Cargo.toml`, as it was at build time.
fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).to_path_buf()
}

/// First comment line of a recipe, without its `#`.
fn about(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot read recipe", path.display()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(line.strip_prefix('#').unwrap_or_default().trim().to_string())
}
