//! `tokenizer.json` through the `tokenizers` crate: text to ids and back.

use std::path::Path;

use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{EncodeInput, PostProcessor};

use crate::error::{ErrorKind, Result, ZooError};
use crate::json;

const FILE: &str = "tokenizer.json";

/// A text tokenizer of any kind that `tokenizer.json` can describe.
///
/// Padding and truncation stored in the file are switched off: a batch is padded where it is
/// made, and [`encode_within`](Self::encode_within) truncates.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Opens `dir/tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when the file is absent or malformed.
    pub fn open(dir: &Path) -> Result<Self> {
        let hint =
            "transformers writes it with AutoTokenizer.from_pretrained(..).save_pretrained(..)";
        json::expect_file(dir, FILE, ErrorKind::Tokenizer, hint)?;
        let path = dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(|e| ZooError::io(&path, e))?;
        Self::from_bytes(&bytes).map_err(|e| e.at(path.display().to_string()))
    }

    /// Parses the text of a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when it is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| {
            let detail = format!("not a tokenizer as the tokenizers library writes it: {e}");
            ZooError::new(ErrorKind::Tokenizer, "tokenizer", detail)
                .hint("was the file downloaded or copied as a whole")
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        Ok(Self { inner })
    }

    /// Writes `dir/tokenizer.json`; an old one is replaced as a whole.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| ZooError::io(dir, e))?;
        json::replace(&dir.join(FILE), &self.inner.to_string(false).map_err(failed)?)
    }

    /// Ids of `text`; `add_special` adds what the file's post-processor says, such as `[CLS]`
    /// and `[SEP]`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when the text has no encoding.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, add_special).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// As [`encode`](Self::encode) with special tokens, cut at the text's end so that at most
    /// `max_tokens` ids result, special ones included.
    ///
    /// # Errors
    ///
    /// [`Option`](ErrorKind::Option) when `max_tokens` leaves no room for the text.
    pub fn encode_within(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        let special = self.inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_tokens <= special {
            let detail = format!("max_tokens is {max_tokens}, expected more than {special}");
            return Err(ZooError::option("encode", detail));
        }
        let input = EncodeInput::Single(text.into());
        let mut encoding = self.inner.encode_fast(input, false).map_err(failed)?;
        encoding.truncate(max_tokens - special, 0, TruncationDirection::Right);
        let encoding = self.inner.post_process(encoding, None, true).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`; `skip_special` leaves out special tokens.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when the file's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(failed)
    }

    /// Id of a token by its exact text.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Text of a token by its id.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Succeeds when all ids are below a model's `vocab_size`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) otherwise: the model has no embedding for some token.
    pub fn expect_within(&self, vocab_size: usize) -> Result<()> {
        let largest = self.inner.get_vocab(true).into_values().max();
        match largest.filter(|&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => {
                let detail = format!("largest id is {id}, expected below vocab_size {vocab_size}");
                let hint = "do tokenizer.json and config.json belong to the same model";
                Err(ZooError::new(ErrorKind::Tokenizer, "tokenizer", detail).hint(hint))
            }
        }
    }

    /// Ids of all special tokens, ascending.
    pub fn special_ids(&self) -> Vec<u32> {
        let added = self.inner.get_added_tokens_decoder();
        let mut ids: Vec<u32> =
            added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Id of the padding token.
    pub fn pad_id(&self) -> Option<u32> {
        self.first_of(&["[PAD]", "<pad>", "<|pad|>", "<|endoftext|>"])
    }

    /// Id of the token that hides another.
    pub fn mask_id(&self) -> Option<u32> {
        self.first_of(&["[MASK]", "<mask>"])
    }

    /// Id of the token that ends a transcript.
    pub fn eos_id(&self) -> Option<u32> {
        self.first_of(&["<|endoftext|>", "</s>", "[SEP]"])
    }

    fn first_of(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| self.inner.token_to_id(name))
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

fn failed(error: tokenizers::Error) -> ZooError {
    ZooError::new(ErrorKind::Tokenizer, "tokenizer", error.to_string())
}
