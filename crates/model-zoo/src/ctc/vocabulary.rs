//! `vocab.json` of CTC models: one label a character.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{ErrorKind, Result, ZooError};
use crate::json;

const VOCAB: &str = "vocab.json";
const CONFIG: &str = "tokenizer_config.json";

/// What `tokenizer_config.json` says; defaults are those of `Wav2Vec2CTCTokenizer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Options {
    pad_token: TokenText,
    unk_token: TokenText,
    word_delimiter_token: Option<TokenText>,
    replace_word_delimiter_char: String,
    do_lower_case: bool,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A special token, as a string or as the object that older files have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum TokenText {
    Plain(String),
    Added { content: String },
}

impl TokenText {
    fn plain(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }

    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Added { content: text } => text,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pad_token: TokenText::plain("<pad>"),
            unk_token: TokenText::plain("<unk>"),
            word_delimiter_token: Some(TokenText::plain("|")),
            replace_word_delimiter_char: " ".to_owned(),
            do_lower_case: false,
            extra: Map::new(),
        }
    }
}

/// Characters of a CTC model by label; the padding token is the blank.
///
/// Text and labels correspond as in `Wav2Vec2CTCTokenizer` of `transformers`: one label a
/// character, the word delimiter for a space; with `do_lower_case` the vocabulary is upper case
/// and text is lower case. A character without a label is an error here, where `transformers`
/// takes the unknown token.
#[derive(Debug, Clone, PartialEq)]
pub struct CtcVocabulary {
    tokens: BTreeMap<u32, String>,
    ids: HashMap<String, u32>,
    options: Options,
    blank: u32,
}

impl CtcVocabulary {
    /// Opens `dir/vocab.json` and, where there is one, `dir/tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when the vocabulary is absent, nested by language,
    /// names a label twice or lacks the padding token.
    pub fn open(dir: &Path) -> Result<Self> {
        let hint = "Wav2Vec2CTCTokenizer of transformers writes it";
        json::expect_file(dir, VOCAB, ErrorKind::Tokenizer, hint)?;
        let path = dir.join(VOCAB);
        let config = dir.join(CONFIG);
        let options = if config.is_file() { json::read(&config)? } else { Options::default() };
        let found: Map<String, Value> = json::read(&path)?;
        let place = path.display().to_string();
        let mut tokens = Vec::with_capacity(found.len());
        for (token, id) in found {
            let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                let detail = format!("`{token}` is {id}, expected a label");
                let hint = "take one language out of a vocabulary that holds several";
                return Err(ZooError::new(ErrorKind::Tokenizer, place, detail).hint(hint));
            };
            tokens.push((token, id));
        }
        Self::build(tokens, options).map_err(|e| e.at(place))
    }

    /// A vocabulary of its own: label 0 is the blank `<pad>`, label 1 the unknown token `<unk>`,
    /// label 2 the word delimiter `|`, and then come `characters` in their order.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when a character comes twice or is the delimiter.
    pub fn from_characters(characters: impl IntoIterator<Item = char>) -> Result<Self> {
        let special = ["<pad>", "<unk>", "|"].into_iter().map(str::to_owned);
        let all = special.chain(characters.into_iter().map(String::from));
        Self::build(all.zip(0..).collect(), Options::default())
    }

    fn build(found: Vec<(String, u32)>, options: Options) -> Result<Self> {
        let failed = |detail| ZooError::new(ErrorKind::Tokenizer, "ctc vocabulary", detail);
        let (mut tokens, mut ids) = (BTreeMap::new(), HashMap::new());
        for (token, id) in found {
            if let Some(before) = tokens.insert(id, token.clone()) {
                let detail = format!("label {id} is `{before}` and `{token}`, expected one token");
                return Err(failed(detail));
            }
            if ids.insert(token.clone(), id).is_some() {
                return Err(failed(format!("`{token}` has two labels, expected one")));
            }
        }
        let pad = options.pad_token.text();
        let Some(&blank) = ids.get(pad) else {
            return Err(failed(format!(
                "no `{pad}`, expected the padding token, which is the blank"
            )));
        };
        Ok(Self { tokens, ids, options, blank })
    }

    /// Writes `dir/vocab.json` and `dir/tokenizer_config.json`, which `transformers` reads.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|e| ZooError::io(dir, e))?;
        let vocab: Map<String, Value> =
            self.tokens.iter().map(|(&id, token)| (token.clone(), id.into())).collect();
        json::write(&dir.join(VOCAB), &vocab)?;
        let mut options = self.options.clone();
        let class = Value::from("Wav2Vec2CTCTokenizer");
        options.extra.entry("tokenizer_class").or_insert(class);
        // Without these `transformers` appends tokens of its own to the vocabulary.
        for token in ["bos_token", "eos_token"] {
            options.extra.entry(token).or_insert(Value::Null);
        }
        json::write(&dir.join(CONFIG), &options)
    }

    /// The blank: the label of the padding token.
    pub fn blank(&self) -> u32 {
        self.blank
    }

    /// The label between words.
    pub fn word_delimiter(&self) -> Option<u32> {
        let token = self.options.word_delimiter_token.as_ref()?;
        self.ids.get(token.text()).copied()
    }

    /// Number of labels, as the head of a model has them: one more than the highest.
    pub fn vocab_size(&self) -> usize {
        self.tokens.last_key_value().map_or(0, |(&id, _)| id as usize + 1)
    }

    /// Refuses a model whose head has fewer outputs than there are labels.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) when it has.
    pub fn check_fits(&self, vocab_size: usize) -> Result<()> {
        let needed = self.vocab_size();
        if needed <= vocab_size {
            return Ok(());
        }
        let detail = format!("{needed} labels, expected at most vocab_size {vocab_size}");
        let error = ZooError::new(ErrorKind::Tokenizer, "ctc vocabulary", detail);
        Err(error.hint("do vocab.json and config.json belong together"))
    }

    /// Labels of `text`, one a character.
    ///
    /// # Errors
    ///
    /// [`Tokenizer`](ErrorKind::Tokenizer) naming the characters that have no label.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let upper = self.options.do_lower_case.then(|| text.to_uppercase());
        let text = upper.as_deref().unwrap_or(text);
        let (mut ids, mut unknown) = (Vec::new(), Vec::new());
        for character in text.chars() {
            let label = match (character, self.word_delimiter()) {
                (' ', Some(delimiter)) => Some(delimiter),
                _ => self.ids.get(character.encode_utf8(&mut [0; 4])).copied(),
            };
            match label {
                Some(label) => ids.push(label),
                None if unknown.contains(&character) => {}
                None => unknown.push(character),
            }
        }
        if unknown.is_empty() {
            return Ok(ids);
        }
        let detail = format!("no label for {unknown:?}, expected characters of the vocabulary");
        let error = ZooError::new(ErrorKind::Tokenizer, "ctc vocabulary", detail);
        let has = |text: String| text.chars().all(|c| self.ids.contains_key(&String::from(c)));
        Err(if unknown.iter().all(|c| has(c.to_uppercase().collect())) {
            error.hint("the vocabulary is upper case")
        } else if unknown.iter().all(|c| has(c.to_lowercase().collect())) {
            error.hint("the vocabulary is lower case")
        } else {
            error
        })
    }

    /// Text of a labelling, which decoding has freed of repeats: blanks are dropped, delimiters
    /// become spaces, spaces at the ends fall away, a label without a token reads as the unknown
    /// token.
    pub fn decode(&self, ids: &[u32]) -> String {
        let unknown = self.options.unk_token.text();
        let labels = ids.iter().filter(|&&id| id != self.blank);
        let text: String = labels.map(|&id| self.text_of(id).unwrap_or(unknown)).collect();
        let text = text.trim();
        if self.options.do_lower_case { text.to_lowercase() } else { text.to_owned() }
    }

    /// What `id` reads as; the word delimiter is a space.
    pub(super) fn text_of(&self, id: u32) -> Result<&str> {
        if Some(id) == self.word_delimiter() {
            return Ok(&self.options.replace_word_delimiter_char);
        }
        self.tokens.get(&id).map(String::as_str).ok_or_else(|| {
            let detail = format!("no token for label {id}");
            ZooError::new(ErrorKind::Tokenizer, "ctc vocabulary", detail)
        })
    }
}
