//! `data tokenizer`: a tokenizer trained on the texts of manifests.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::dataset::template::Template;
use crate::manifest::read_all;
use crate::tokenizer_training::{TokenizerKind, TokenizerOptions, save, train_tokenizer};

/// Arguments of `data tokenizer`.
#[derive(Debug, Clone, Args)]
pub struct TokenizerArgs {
    /// Byte-level BPE (Whisper) or WordPiece (BERT)
    #[arg(long, value_enum)]
    pub kind: TokenizerKind,
    /// Pieces and special tokens together
    #[arg(long)]
    pub vocab_size: usize,
    /// Manifest with the texts; may be given more than once
    #[arg(long = "manifest", required = true)]
    pub manifests: Vec<String>,
    /// Folder that tokenizer.json is written to
    #[arg(long)]
    pub out: PathBuf,
    /// Text of a line, with `{field}` where fields of the line go; may be given more than once.
    /// What stands in special tokens is left out
    #[arg(long = "template", default_value = "{text}")]
    pub templates: Vec<String>,
    /// Lower-case texts, in training and in use
    #[arg(long)]
    pub lowercase: bool,
    /// Special token, in the order of ids; may be given more than once. Default: those of the
    /// model family
    #[arg(long = "special")]
    pub special_tokens: Vec<String>,
}

/// Runs `data tokenizer`.
pub(super) fn run(args: &TokenizerArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let utterances = read_all(&args.manifests)?;
    let mut texts = Vec::new();
    for written in &args.templates {
        let template = Template::parse(written)?;
        let before = texts.len();
        // A line without text teaches nothing; a field that no line has is a mistake.
        let filled = utterances.iter().map(|utterance| template.fill(utterance));
        let (found, missing): (Vec<_>, Vec<_>) = filled.partition(Result::is_ok);
        texts.extend(found.into_iter().flatten());
        if let (true, Some(Err(error))) = (texts.len() == before, missing.into_iter().next()) {
            return Err(error.context("no line fits (hint: --template)"));
        }
    }
    let special_tokens = match args.special_tokens.is_empty() {
        true => args.kind.default_special_tokens(),
        false => args.special_tokens.clone(),
    };
    let options = TokenizerOptions {
        kind: args.kind,
        vocab_size: args.vocab_size,
        lowercase: args.lowercase,
        special_tokens,
    };
    let texts = without_special(texts, &options.special_tokens);
    let tokenizer = train_tokenizer(texts.iter().map(String::as_str), &options)?;
    let path = save(&tokenizer, &args.out)?;
    let n_tokens: usize = texts
        .iter()
        .map(|text| tokenizer.encode(text.as_str(), false).map_or(0, |encoded| encoded.len()))
        .sum();
    let n_words: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    writeln!(
        out,
        "{}: {} pieces from {} texts, {:.2} tokens a word",
        path.display(),
        tokenizer.get_vocab_size(true),
        texts.len(),
        n_tokens as f64 / n_words.max(1) as f64
    )?;
    Ok(())
}

/// The stretches of texts between special tokens, which are never cut into pieces.
fn without_special(texts: Vec<String>, special_tokens: &[String]) -> Vec<String> {
    special_tokens.iter().fold(texts, |texts, token| {
        let parts = texts.iter().flat_map(|text| text.split(token.as_str()));
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    })
}
