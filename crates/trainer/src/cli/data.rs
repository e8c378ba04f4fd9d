//! `data validate`, `data describe`, `data tokenizer` and `data align`.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::dataset::template::Template;
use crate::manifest::{ManifestSpec, ValidationOptions, describe, read, read_all, validate};
use crate::recipe::resolve_path;
use crate::systems;
use crate::tokenizer_training::{TokenizerKind, TokenizerOptions, save, train_tokenizer};

/// Checks and describes manifests, and trains tokenizers on them.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Check every line and every sound file's header; list all problems by line.
    Validate(ValidateArgs),
    /// Show hours, lengths, casing, characters and fields.
    Describe(DescribeArgs),
    /// Train a tokenizer on the texts.
    Tokenizer(TokenizerArgs),
    /// Add the time at which each word ends, as the CTC head of an `asr` run hears it.
    Align(AlignArgs),
}

/// Arguments of `data align`.
#[derive(Debug, Clone, Args)]
pub struct AlignArgs {
    /// Run folder of the task `asr` whose recipe has a `loss.ctc_weight`
    pub run: PathBuf,
    /// Manifest; with `file.jsonl#split=train` the lines of one split get times
    #[arg(long)]
    pub manifest: String,
    /// Manifest to write: all lines, with `word_ends` in seconds
    #[arg(long)]
    pub out: PathBuf,
}

/// Arguments of `data validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// Manifest; `file.jsonl#split=train` checks the lines of one split
    pub manifest: String,
    /// Problems listed; further ones are counted
    #[arg(long, default_value_t = ValidationOptions::default().max_errors)]
    pub max_errors: usize,
}

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

impl DataCommand {
    /// Runs the command and writes its page to `out`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, and when `validate` found errors.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Validate(args) => run_validate(args, out),
            Self::Describe(args) => run_describe(args, out),
            Self::Tokenizer(args) => run_tokenizer(args, out),
            Self::Align(args) => run_align(args, out),
        }
    }
}

fn run_validate(args: &ValidateArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let options = ValidationOptions { max_errors: args.max_errors, ..Default::default() };
    let header = |path: &Path| match audio_frontend::info(path) {
        Ok(info) => Ok(info.duration_s),
        Err(error) => Err(error.to_string()),
    };
    let found = validate(&args.manifest, options, &header)?;
    for problem in &found.errors {
        writeln!(out, "error   {}", problem.message)?;
    }
    let more = found.n_errors - found.errors.len();
    if more > 0 {
        writeln!(out, "error   and {more} more (hint: --max-errors {})", found.n_errors)?;
    }
    for problem in found.warnings.iter().take(args.max_errors) {
        writeln!(out, "warning {}", problem.message)?;
    }
    let more = found.warnings.len().saturating_sub(args.max_errors);
    if more > 0 {
        writeln!(out, "warning and {more} more")?;
    }
    writeln!(
        out,
        "{} lines, {} sound files, {} errors, {} warnings",
        found.n_lines,
        found.n_files,
        found.n_errors,
        found.warnings.len()
    )?;
    anyhow::ensure!(found.is_ok(), "{}: {} errors, expected none", args.manifest, found.n_errors);
    Ok(())
}

fn run_describe(args: &DescribeArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let utterances = read(&args.manifest)?;
    let tokenizer = args.tokenizer.as_deref().map(load_tokenizer).transpose()?;
    let knows = tokenizer.as_ref().map(|tokenizer| move |c: char| knows(tokenizer, c));
    let knows = knows.as_ref().map(|knows| knows as &dyn Fn(char) -> bool);
    write!(out, "{}", describe(&utterances, &args.text_field, knows))?;
    Ok(())
}

fn run_tokenizer(args: &TokenizerArgs, out: &mut dyn Write) -> anyhow::Result<()> {
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

fn run_align(args: &AlignArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let spec = ManifestSpec::parse(&args.manifest)?;
    anyhow::ensure!(
        spec.path.parent() == args.out.parent(),
        "{}: another folder than that of {}, expected the same (hint: paths of sound files count from it)",
        args.out.display(),
        spec.path.display()
    );
    let aligned = systems::align(&args.run, &args.manifest)?;
    let mut ends: HashMap<usize, Option<Vec<f64>>> =
        aligned.into_iter().map(|(utterance, ends)| (utterance.place.line, ends)).collect();
    let text = std::fs::read_to_string(&spec.path)
        .with_context(|| format!("{}: cannot read manifest", spec.path.display()))?;
    let (mut lines, mut with, mut without) = (String::new(), 0, 0);
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let Some(ends) = ends.remove(&(index + 1)) else {
            lines.push_str(line);
            lines.push('\n');
            continue;
        };
        let mut fields: Map<String, Value> = serde_json::from_str(line)?;
        match ends {
            // To 10 ms, the step of the features.
            Some(ends) => {
                let ends = ends.iter().map(|seconds| (seconds * 100.0).round() / 100.0);
                fields.insert("word_ends".into(), ends.collect::<Vec<f64>>().into());
                with += 1;
            }
            None => without += 1,
        }
        lines.push_str(&serde_json::to_string(&fields)?);
        lines.push('\n');
    }
    crate::atomic::write(&args.out, |file| Ok(file.write_all(lines.as_bytes())?))?;
    writeln!(
        out,
        "{}: {with} lines aligned, {without} whose text does not fit",
        args.out.display()
    )?;
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: DataCommand,
    }

    /// Runs `data ARGS`; the page, and the error if there is one.
    fn run(args: &[&str]) -> (String, Option<String>) {
        let cli = Cli::try_parse_from([&["data"], args].concat()).unwrap();
        let mut out = Vec::new();
        let error = cli.command.run(&mut out).err().map(|error| format!("{error:#}"));
        (String::from_utf8(out).unwrap(), error)
    }

    /// A manifest of three texts, one of them with a character that the others lack.
    fn texts() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let lines = ["the cat sat on the mat", "the cat and the hat", "the mat ø"];
        let lines: Vec<String> = lines.iter().map(|l| format!("{{\"text\": \"{l}\"}}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let path = path.to_str().unwrap().to_string();
        (folder, path)
    }

    /// A WAV file of `n` zeros at 8 kHz, one channel of 16 bits.
    fn silence(n: u32) -> Vec<u8> {
        let mut wav = Vec::new();
        wav.extend(b"RIFF");
        wav.extend((36 + 2 * n).to_le_bytes());
        wav.extend(b"WAVEfmt ");
        wav.extend(16u32.to_le_bytes());
        wav.extend([1, 0, 1, 0]);
        wav.extend(8000u32.to_le_bytes());
        wav.extend(16000u32.to_le_bytes());
        wav.extend([2, 0, 16, 0]);
        wav.extend(b"data");
        wav.extend((2 * n).to_le_bytes());
        wav.resize(wav.len() + 2 * n as usize, 0);
        wav
    }

    #[test]
    fn validate_reads_headers_lists_problems_and_fails() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wav"), silence(8000)).unwrap();
        std::fs::write(folder.path().join("b.wav"), b"not sound").unwrap();
        let path = folder.path().join("t.jsonl");
        let good = "{\"audio\": \"a.wav\", \"duration\": 1.0, \"text\": \"x\"}\n";
        std::fs::write(&path, good).unwrap();
        let path_text = path.to_str().unwrap();
        let (page, error) = run(&["validate", path_text]);
        assert_eq!(
            (page.as_str(), error),
            ("1 lines, 1 sound files, 0 errors, 0 warnings\n", None)
        );

        let bad =
            "{\"id\": 2, \"audio\": \"a.wav\", \"duration\": 1.5}\n{\"audio\": \"b.wav\"}\nx\n";
        std::fs::write(&path, format!("{good}{bad}")).unwrap();
        let (page, error) = run(&["validate", path_text, "--max-errors", "2"]);
        assert!(page.contains("t.jsonl:2: segment ends at 1.500 s, expected within the 1.000 s"));
        assert!(page.contains("t.jsonl:3: audio: ") && page.contains("b.wav"), "{page}");
        assert!(page.contains("error   and 1 more (hint: --max-errors 3)"), "{page}");
        assert!(page.ends_with("4 lines, 2 sound files, 3 errors, 2 warnings\n"), "{page}");
        assert!(error.unwrap().ends_with("t.jsonl: 3 errors, expected none"));
    }

    #[test]
    fn a_tokenizer_is_trained_and_its_alphabet_checked() {
        let (folder, manifest) = texts();
        let out = folder.path().join("tokenizer");
        let out = out.to_str().unwrap();
        let known = format!("{manifest}#id=line-1|line-2");
        let args =
            ["--kind", "wordpiece", "--vocab-size", "60", "--manifest", &known, "--out", out];
        let (page, error) = run(&[&["tokenizer"], &args[..]].concat());
        assert_eq!(error, None);
        assert!(page.contains("tokenizer.json: ") && page.contains(" from 2 texts, "), "{page}");
        let (page, error) = run(&["describe", &manifest, "--tokenizer", out]);
        assert_eq!(error, None);
        assert!(page.contains("outside the tokenizer's alphabet: 'ø' x1\n"), "{page}");
    }

    #[test]
    fn a_missing_tokenizer_or_field_is_named() {
        let (folder, manifest) = texts();
        let absent = folder.path().join("absent");
        let absent = absent.to_str().unwrap();
        let (_, error) = run(&["describe", &manifest, "--tokenizer", absent]);
        let expected = "no such tokenizer, expected a tokenizer.json or a folder with one";
        assert!(error.unwrap().ends_with(expected));
        let args =
            ["--kind", "bpe", "--vocab-size", "300", "--manifest", &manifest, "--out", absent];
        let field = ["--template", "{text_de}"];
        let (_, error) = run(&[&["tokenizer"], &args[..], &field].concat());
        let error = error.unwrap();
        assert!(error.contains("no line fits (hint: --template)"), "{error}");
        assert!(error.contains("t.jsonl:1: no field `text_de`"), "{error}");
    }
}
