//! `tokenizer.json`: reading, special ids, Whisper's prompt.

use model_zoo::whisper::{Prompt, prompt_ids};
use model_zoo::{ErrorKind, Tokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A word-level tokenizer with these special tokens after four words.
fn tokenizer(special: &[&str]) -> Tokenizer {
    tokenizer_at(4, special)
}

/// As [`tokenizer`], the special tokens from id `first` on.
fn tokenizer_at(first: usize, special: &[&str]) -> Tokenizer {
    let mut vocab = serde_json::Map::new();
    let words = ["[UNK]", "the", "cat", "sat"];
    for (id, word) in words.iter().enumerate().chain((first..).zip(special)) {
        vocab.insert((*word).to_owned(), Value::from(id));
    }
    let added: Vec<Value> = special
        .iter()
        .enumerate()
        .map(|(k, content)| {
            json!({"id": first + k, "content": content, "special": true, "single_word": false,
                   "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let post = special.contains(&"[CLS]").then(|| {
        json!({"type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]],
               "cls": ["[CLS]", vocab["[CLS]"]]})
    });
    let file = json!({
        "version": "1.0",
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]"},
        "added_tokens": added, "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": post, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
    });
    Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
}

#[test]
fn missing_file_is_named_with_its_folder() {
    let dir = TempDir::new().unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: folder has no `tokenizer.json` (hint: transformers writes it with \
             AutoTokenizer.from_pretrained(..).save_pretrained(..))",
            dir.path().display()
        )
    );
    let absent = dir.path().join("nowhere");
    let text = Tokenizer::open(&absent).unwrap_err().to_string();
    let told = "nowhere: is not a folder, expected one that holds `tokenizer.json`";
    assert!(text.contains(told), "{text}");
}

#[test]
fn malformed_file_is_named() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), "{\"version\":").unwrap();
    let error = Tokenizer::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tokenizer);
    let path = dir.path().join("tokenizer.json");
    assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
}

#[test]
fn stored_padding_and_truncation_are_switched_off() {
    let tokenizer = tokenizer(&["[CLS]", "[SEP]", "[MASK]", "[PAD]"]);
    assert_eq!(tokenizer.encode("the cat sat the cat", true).unwrap(), [4, 1, 2, 3, 1, 2, 5]);
    assert_eq!(tokenizer.encode("cat dog", false).unwrap(), [2, 0]);
    assert_eq!(tokenizer.encode("", true).unwrap(), [4, 5]);
}

#[test]
fn truncation_keeps_the_special_tokens() {
    let tokenizer = tokenizer(&["[CLS]", "[SEP]"]);
    assert_eq!(tokenizer.encode_within("the cat sat", 4).unwrap(), [4, 1, 2, 5]);
    assert_eq!(tokenizer.encode_within("the cat sat", 5).unwrap(), [4, 1, 2, 3, 5]);
    assert_eq!(tokenizer.encode_within("the cat sat", 99).unwrap(), [4, 1, 2, 3, 5]);
    let text = tokenizer.encode_within("the", 2).unwrap_err().to_string();
    assert_eq!(text, "encode: max_tokens is 2, expected more than 2");
}

#[test]
fn special_tokens_are_found_by_name() {
    let tokenizer = tokenizer(&["[CLS]", "[SEP]", "[MASK]", "[PAD]"]);
    assert_eq!(tokenizer.special_ids(), [4, 5, 6, 7]);
    assert_eq!([tokenizer.mask_id(), tokenizer.pad_id()], [Some(6), Some(7)]);
    assert_eq!(tokenizer.vocab_size(), 8);
    assert_eq!(tokenizer.decode(&[4, 1, 2, 5], true).unwrap(), "the cat");
    assert_eq!(tokenizer.token_to_id("sat"), Some(3));
}

#[test]
fn saved_tokenizer_reads_back() {
    let tokenizer = tokenizer(&["[CLS]", "[SEP]"]);
    let dir = TempDir::new().unwrap();
    tokenizer.save(dir.path()).unwrap();
    let again = Tokenizer::open(dir.path()).unwrap();
    let text = "the cat sat";
    assert_eq!(again.encode(text, true).unwrap(), tokenizer.encode(text, true).unwrap());
}

#[test]
fn saving_replaces_a_file_and_never_writes_into_it() {
    let dir = TempDir::new().unwrap();
    tokenizer(&["[CLS]", "[SEP]"]).save(dir.path()).unwrap();
    let (path, link) = (dir.path().join("tokenizer.json"), dir.path().join("old.json"));
    std::fs::hard_link(&path, &link).unwrap();
    let before = std::fs::read(&path).unwrap();
    tokenizer(&["[CLS]", "[SEP]", "[MASK]"]).save(dir.path()).unwrap();
    assert_eq!(std::fs::read(&link).unwrap(), before);
    assert_ne!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn prompt_uses_the_tokens_that_exist() {
    let multilingual = tokenizer(&[
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|de|>",
        "<|transcribe|>",
        "<|translate|>",
        "<|notimestamps|>",
    ]);
    let ids = |prompt| prompt_ids(&multilingual, prompt).unwrap();
    assert_eq!(ids(Prompt::default()), [5, 6, 8, 10]);
    assert_eq!(ids(Prompt { language: "de", task: "translate", timestamps: true }), [5, 7, 9]);
    let absent = Prompt { language: "xx", ..Prompt::default() };
    assert_eq!(
        prompt_ids(&multilingual, absent).unwrap_err().to_string(),
        "whisper prompt: language is `xx`, expected a code that the vocabulary has as `<|xx|>` \
         (hint: codes are those of ISO 639-1, such as `en` and `de`)"
    );

    let small = tokenizer(&["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]);
    assert_eq!(prompt_ids(&small, Prompt::default()).unwrap(), [5, 6]);
    let none = tokenizer(&["<|endoftext|>"]);
    assert_eq!(
        prompt_ids(&none, Prompt::default()).unwrap_err().to_string(),
        "whisper prompt: vocabulary has no `<|startoftranscript|>`, expected that of a Whisper \
         model (hint: does tokenizer.json belong to this folder)"
    );
}

#[test]
fn published_english_only_models_are_told_neither_language_nor_task() {
    let english = tokenizer_at(
        50_256,
        &[
            "<|endoftext|>",
            "<|startoftranscript|>",
            "<|en|>",
            "<|de|>",
            "<|translate|>",
            "<|transcribe|>",
            "<|notimestamps|>",
        ],
    );
    assert_eq!(prompt_ids(&english, Prompt::default()).unwrap(), [50_257, 50_262]);
    let timed = Prompt { timestamps: true, ..Prompt::default() };
    assert_eq!(prompt_ids(&english, timed).unwrap(), [50_257]);
    let german = Prompt { language: "de", ..Prompt::default() };
    assert_eq!(
        prompt_ids(&english, german).unwrap_err().to_string(),
        "whisper prompt: vocabulary is English-only, expected `en` and `transcribe`, got `de` and \
         `transcribe` (hint: a model whose name does not end in .en knows other languages)"
    );
}
