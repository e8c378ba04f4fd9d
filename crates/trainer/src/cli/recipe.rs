//! `recipe ls` and `recipe cp`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::recipe::Library;

/// Lists the shipped recipes and copies them to be edited.
#[derive(Debug, Clone, Subcommand)]
pub enum RecipeCommand {
    /// List the recipes that can be named.
    Ls,
    /// Copy a recipe to a new file.
    Cp(CpArgs),
}

/// Arguments of `recipe cp`.
#[derive(Debug, Clone, Args)]
pub struct CpArgs {
    /// Name of a listed recipe, or a path
    pub name: String,
    /// File to write; must not exist yet
    pub file: PathBuf,
}

impl RecipeCommand {
    /// Runs the command and writes its page to `out`.
    ///
    /// # Errors
    ///
    /// When a recipe cannot be found, read or written.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        self.run_in(&Library::standard(), out)
    }

    fn run_in(&self, library: &Library, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Ls => {
                let listed = library.list()?;
                let width = listed.iter().map(|recipe| recipe.name.len()).max().unwrap_or(0);
                for recipe in &listed {
                    let line = format!("{:<width$}  {}", recipe.name, recipe.about);
                    writeln!(out, "{}", line.trim_end())?;
                }
                Ok(())
            }
            Self::Cp(args) => {
                library.copy(&args.name, &args.file)?;
                writeln!(out, "{}: copied from {}", args.file.display(), args.name)?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_listed_in_columns_and_copied() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("long-name.toml"), "# Teaches.\n").unwrap();
        std::fs::write(folder.path().join("b.toml"), "seed = 1\n").unwrap();
        let library = Library::new(vec![folder.path().to_path_buf()]);
        let mut out = Vec::new();
        RecipeCommand::Ls.run_in(&library, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "b\nlong-name  Teaches.\n");

        let args = CpArgs { name: "b".into(), file: folder.path().join("mine.toml") };
        let mut out = Vec::new();
        RecipeCommand::Cp(args.clone()).run_in(&library, &mut out).unwrap();
        assert_eq!(std::fs::read_to_string(&args.file).unwrap(), "seed = 1\n");
        assert!(String::from_utf8(out).unwrap().ends_with("mine.toml: copied from b\n"));
    }
}
