//! `data describe`: what is in a manifest.

use std::io::Write;

use clap::Args;
use tokenizers::Tokenizer;

use crate::manifest::{describe, read};
use crate::recipe::resolve_path;

/// Arguments of `data describe`.
#[derive(Debug, Clone, Args)]
pub struct DescribeArgs {
    /// Manifest; `file.jsonl#split=train` describes the lines of one split
    pub manifest: String,
    /// Field that holds the text
    #[arg(long, default_value = "text")]
    pub text_field: String,
    /// Also list characters outside the alphabet of this tokenizer.json, or of the one in this
    /// folder
    #[arg(long)]
    pub tokenizer: Option<String>,
}

/// Runs `data describe`.
pub(super) fn run(args: &DescribeArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let utterances = read(&args.manifest)?;
    let tokenizer = args.tokenizer.as_deref().map(load_tokenizer).transpose()?;
    let knows = tokenizer.as_ref().map(|tokenizer| move |c: char| knows(tokenizer, c));
    let knows = knows.as_ref().map(|knows| knows as &dyn Fn(char) -> bool);
    write!(out, "{}", describe(&utterances, &args.text_field, knows))?;
    Ok(())
}

/// A tokenizer given by its file or its folder.
fn load_tokenizer(written: &str) -> anyhow::Result<Tokenizer> {
    let path = resolve_path(written);
    let path = if path.is_dir() { path.join("tokenizer.json") } else { path };
    anyhow::ensure!(
        path.is_file(),
        "{}: no such tokenizer, expected a tokenizer.json or a folder with one",
        path.display()
    );
    Tokenizer::from_file(&path)
        .map_err(|error| anyhow::anyhow!("{}: not a tokenizer, {error}", path.display()))
}

/// Whether a tokenizer has a piece for `c`; white space counts as known, since splitters drop it.
fn knows(tokenizer: &Tokenizer, c: char) -> bool {
    if c.is_whitespace() {
        return true;
    }
    let unknown = ["[UNK]", "<unk>", "<|unk|>"];
    tokenizer.encode(c.to_string(), false).is_ok_and(|encoded| {
        let tokens = encoded.get_tokens();
        !tokens.is_empty() && !tokens.iter().any(|token| unknown.contains(&token.as_str()))
    })
}
