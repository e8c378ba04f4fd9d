//! Trains a tokenizer on the texts of a manifest and saves it as `tokenizer.json`.
//!
//! | kind | splits | pieces | special tokens |
//! |---|---|---|---|
//! | BPE | GPT-2's pattern, bytes as characters | 256 bytes, then merges | after the pieces, as in Whisper |
//! | WordPiece | BERT's white space and punctuation | characters, `##` characters, then merges | before the pieces, as in BERT |
//!
//! Splitting, normalising, encoding and the file format are those of the `tokenizers` crate. The
//! merges are learnt here rather than by that crate's trainers, which walk hash maps
//! with random seeds: their WordPiece ids differ from run to run, while here the same texts give
//! the same file, byte for byte.

mod merges;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Lowercase};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer,
};

use crate::atomic;

use self::merges::{Learnt, learn};

/// What BERT's tokenizers put before a piece that continues a word.
const CONTINUING_PREFIX: &str = "##";

/// What LLaMA 3's tokenizers put before a text.
const LLAMA_START: &str = "<|begin_of_text|>";

/// Which pieces words are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenizerKind {
    /// Byte-level BPE, as Whisper and GPT-2 have it. Every text can be encoded.
    Bpe,
    /// WordPiece, as BERT has it. Characters never seen become `[UNK]`.
    #[value(name = "wordpiece")]
    WordPiece,
}

impl TokenizerKind {
    /// The special tokens of the models that use this kind.
    pub fn default_special_tokens(self) -> Vec<String> {
        let tokens: &[&str] = match self {
            Self::Bpe => &[
                "<|endoftext|>",
                "<|startoftranscript|>",
                "<|en|>",
                "<|transcribe|>",
                "<|notimestamps|>",
            ],
            Self::WordPiece => &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        };
        tokens.iter().map(ToString::to_string).collect()
    }
}

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerOptions {
    /// BPE or WordPiece.
    pub kind: TokenizerKind,
    /// Pieces and special tokens together, at most; texts that repeat little give fewer.
    pub vocab_size: usize,
    /// Lower-case texts, in training and whenever the tokenizer is used.
    pub lowercase: bool,
    /// Special tokens in the order of their ids. WordPiece needs `[UNK]`, `[CLS]` and `[SEP]`.
    pub special_tokens: Vec<String>,
}

/// Trains a tokenizer on `texts`. The order of the texts does not matter.
///
/// Encoding with special tokens wraps a text as the model family expects: `[CLS] text [SEP]` for
/// WordPiece; for BPE `<|startoftranscript|> ... text <|endoftext|>`, with those of the special
/// tokens of [`TokenizerKind::default_special_tokens`] that are there, and LLaMA 3's
/// `<|begin_of_text|>` before a text where it is.
///
/// # Errors
///
/// When there is no text, `vocab_size` has no room for the alphabet and the special tokens, or a
/// special token is missing or there twice.
pub fn train_tokenizer<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    options: &TokenizerOptions,
) -> anyhow::Result<Tokenizer> {
    check_special_tokens(options)?;
    let words = count_words(texts, options)?;
    anyhow::ensure!(
        !words.is_empty(),
        "tokenizer: no text to train on, expected at least one word"
    );
    let alphabet = match options.kind {
        TokenizerKind::Bpe => byte_alphabet(),
        TokenizerKind::WordPiece => word_piece_alphabet(&words),
    };
    let least = alphabet.len() + options.special_tokens.len();
    anyhow::ensure!(
        options.vocab_size >= least,
        "tokenizer: vocab size is {}, expected at least {least}: {} special tokens and {} pieces \
         of one character",
        options.vocab_size,
        options.special_tokens.len(),
        alphabet.len()
    );
    let n_pieces = options.vocab_size - options.special_tokens.len();
    let tokenizer = match options.kind {
        TokenizerKind::Bpe => byte_level_bpe(learn(&words, alphabet, "", n_pieces), options),
        TokenizerKind::WordPiece => {
            word_piece(learn(&words, alphabet, CONTINUING_PREFIX, n_pieces), options)
        }
    };
    tokenizer.map_err(foreign)
}

/// Writes `tokenizer.json` into `folder`, which is made if need be; returns its path.
///
/// # Errors
///
/// When the folder or the file cannot be written.
pub fn save(tokenizer: &Tokenizer, folder: &Path) -> anyhow::Result<PathBuf> {
    let text = tokenizer.to_string(true).map_err(foreign)?;
    std::fs::create_dir_all(folder)
        .map_err(|error| anyhow::anyhow!("{}: cannot make folder, {error}", folder.display()))?;
    let path = folder.join("tokenizer.json");
    atomic::write(&path, |out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(path)
}

/// An error of the `tokenizers` crate under our name.
fn foreign(error: tokenizers::Error) -> anyhow::Error {
    anyhow::anyhow!("tokenizer: {error}")
}

fn check_special_tokens(options: &TokenizerOptions) -> anyhow::Result<()> {
    let tokens = &options.special_tokens;
    for (i, token) in tokens.iter().enumerate() {
        anyhow::ensure!(
            !tokens[..i].contains(token),
            "tokenizer: special token `{token}` is there twice, expected each once"
        );
    }
    let needed: &[&str] = match options.kind {
        TokenizerKind::Bpe => &[],
        TokenizerKind::WordPiece => &["[UNK]", "[CLS]", "[SEP]"],
    };
    for &token in needed {
        anyhow::ensure!(
            tokens.iter().any(|known| known == token),
            "tokenizer: no special token `{token}`, expected it for wordpiece"
        );
    }
    Ok(())
}

/// How often each word occurs, words being what the kind's splitter makes of the texts.
fn count_words<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    options: &TokenizerOptions,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for text in texts {
        let mut text = NormalizedString::from(text);
        match (options.kind, options.lowercase) {
            (TokenizerKind::WordPiece, lowercase) => {
                bert_normalizer(lowercase).normalize(&mut text)
            }
            (TokenizerKind::Bpe, true) => Lowercase.normalize(&mut text),
            (TokenizerKind::Bpe, false) => Ok(()),
        }
        .map_err(foreign)?;
        let mut split = PreTokenizedString::from(text);
        match options.kind {
            TokenizerKind::Bpe => byte_level().pre_tokenize(&mut split),
            TokenizerKind::WordPiece => BertPreTokenizer.pre_tokenize(&mut split),
        }
        .map_err(foreign)?;
        for (word, _, _) in split.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            *counts.entry(word.to_string()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// The 256 characters that stand for bytes, in the order of their code points.
fn byte_alphabet() -> Vec<String> {
    let mut characters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    characters.sort_unstable();
    characters.into_iter().map(String::from).collect()
}

/// Every character seen, both at the start of a word and within one, so that no word of known
/// characters is `[UNK]`.
fn word_piece_alphabet(words: &BTreeMap<String, u64>) -> Vec<String> {
    let mut characters: Vec<char> = words.keys().flat_map(|word| word.chars()).collect();
    characters.sort_unstable();
    characters.dedup();
    let first = characters.iter().map(|&c| String::from(c));
    let within = characters.iter().map(|c| format!("{CONTINUING_PREFIX}{c}"));
    first.chain(within).collect()
}

fn byte_level() -> ByteLevel {
    ByteLevel::default().add_prefix_space(false)
}

/// Accents go with the case, as in BERT's uncased models.
fn bert_normalizer(lowercase: bool) -> BertNormalizer {
    BertNormalizer::new(true, true, None, lowercase)
}

fn vocab(pieces: impl IntoIterator<Item = String>) -> Vocab {
    pieces.into_iter().zip(0..).collect()
}

fn byte_level_bpe(
    learnt: Learnt,
    options: &TokenizerOptions,
) -> Result<Tokenizer, tokenizers::Error> {
    let model = BPE::builder().vocab_and_merges(vocab(learnt.pieces), learnt.merges).build()?;
    let mut tokenizer = Tokenizer::new(model);
    if options.lowercase {
        tokenizer.with_normalizer(Some(Lowercase))?;
    }
    tokenizer.with_pre_tokenizer(Some(byte_level())).with_decoder(Some(byte_level()));
    tokenizer.add_special_tokens(special(options))?;

    let known = |token: &str| options.special_tokens.iter().any(|known| known == token);
    let [end, prompt @ ..] = &TokenizerKind::Bpe.default_special_tokens()[..] else {
        return Ok(tokenizer);
    };
    let before = std::iter::once(LLAMA_START).chain(prompt.iter().map(String::as_str));
    let mut template: Vec<String> =
        before.filter(|token| known(token)).map(str::to_owned).collect();
    template.push("$A".into());
    template.extend(known(end).then(|| end.clone()));
    let ids = ids_of(&tokenizer, template.iter().filter(|token| *token != "$A"));
    let template =
        TemplateProcessing::builder().try_single(template)?.special_tokens(ids).build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

fn word_piece(learnt: Learnt, options: &TokenizerOptions) -> Result<Tokenizer, tokenizers::Error> {
    let pieces = options.special_tokens.iter().cloned().chain(learnt.pieces);
    let model = WordPiece::builder()
        .vocab(vocab(pieces))
        .unk_token("[UNK]".into())
        .continuing_subword_prefix(CONTINUING_PREFIX.into())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(bert_normalizer(options.lowercase)))?;
    let decoder = tokenizers::decoders::wordpiece::WordPiece::new(CONTINUING_PREFIX.into(), true);
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer)).with_decoder(Some(decoder));
    tokenizer.add_special_tokens(special(options))?;
    let ends = ["[CLS]".to_string(), "[SEP]".to_string()];
    let template = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")?
        .try_pair("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")?
        .special_tokens(ids_of(&tokenizer, &ends))
        .build()?;
    tokenizer.with_post_processor(Some(template));
    Ok(tokenizer)
}

fn special(options: &TokenizerOptions) -> impl Iterator<Item = AddedToken> + '_ {
    options.special_tokens.iter().map(|token| AddedToken::from(token.clone(), true))
}

fn ids_of<'a>(
    tokenizer: &Tokenizer,
    tokens: impl IntoIterator<Item = &'a String>,
) -> Vec<(String, u32)> {
    let with_id = |token: &String| Some((token.clone(), tokenizer.token_to_id(token)?));
    tokens.into_iter().filter_map(with_id).collect()
}
