use super::*;

const TEXTS: &[&str] = &[
    "The school in Oslo is awful, but the food at the school is good.",
    "the food in Lisbon is good and the school is old",
    "A concert on Thursday was awful.",
    "Über Café 3.14!",
];

fn options(kind: TokenizerKind, vocab_size: usize, lowercase: bool) -> TokenizerOptions {
    let special_tokens = kind.default_special_tokens();
    TokenizerOptions { kind, vocab_size, lowercase, special_tokens }
}

fn train(kind: TokenizerKind, vocab_size: usize, lowercase: bool) -> Tokenizer {
    train_tokenizer(TEXTS.iter().copied(), &options(kind, vocab_size, lowercase)).unwrap()
}

fn tokens(tokenizer: &Tokenizer, text: &str, special: bool) -> Vec<String> {
    tokenizer.encode(text, special).unwrap().get_tokens().to_vec()
}

#[test]
fn the_same_texts_in_any_order_give_the_same_bytes() {
    for (kind, size) in [(TokenizerKind::Bpe, 300), (TokenizerKind::WordPiece, 120)] {
        let first = train(kind, size, true).to_string(true).unwrap();
        let again =
            train_tokenizer(TEXTS.iter().rev().copied(), &options(kind, size, true)).unwrap();
        assert_eq!(first, again.to_string(true).unwrap(), "{kind:?}");
    }
}

#[test]
fn byte_level_bpe_spells_every_text_and_back() {
    let tokenizer = train(TokenizerKind::Bpe, 300, false);
    for text in ["The food", " leading space", "日本語 🦀", "tab\tand\nline", ""] {
        let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
    }
    assert_eq!(tokens(&tokenizer, " the school", false), ["Ġthe", "Ġschool"]);
}

#[test]
fn special_tokens_of_bpe_come_after_all_pieces_and_wrap_the_text() {
    let tokenizer = train(TokenizerKind::Bpe, 300, false);
    let ids: Vec<u32> = TokenizerKind::Bpe
        .default_special_tokens()
        .iter()
        .map(|token| tokenizer.token_to_id(token).unwrap())
        .collect();
    // Few texts: pairs seen twice run out before 300 pieces are there.
    let n = tokenizer.get_vocab_size(true) as u32;
    assert!(n < 300);
    assert_eq!(ids, [n - 5, n - 4, n - 3, n - 2, n - 1]);
    assert_eq!(train(TokenizerKind::Bpe, 270, false).get_vocab_size(true), 270);
    let got = tokens(&tokenizer, " the", true);
    assert_eq!(
        got,
        [
            "<|startoftranscript|>",
            "<|en|>",
            "<|transcribe|>",
            "<|notimestamps|>",
            "Ġthe",
            "<|endoftext|>"
        ]
    );
}

#[test]
fn fewer_special_tokens_make_a_shorter_frame() {
    let few = TokenizerOptions {
        special_tokens: vec!["<|endoftext|>".into(), "<|pad|>".into()],
        ..options(TokenizerKind::Bpe, 290, true)
    };
    let tokenizer = train_tokenizer(TEXTS.iter().copied(), &few).unwrap();
    assert_eq!(tokens(&tokenizer, " THE", true), ["Ġthe", "<|endoftext|>"]);
    let none = TokenizerOptions { special_tokens: vec![], ..few };
    let tokenizer = train_tokenizer(TEXTS.iter().copied(), &none).unwrap();
    assert_eq!(tokens(&tokenizer, " the", true), ["Ġthe"]);
}

#[test]
fn word_pieces_are_wrapped_lower_cased_and_marked_within_words() {
    let tokenizer = train(TokenizerKind::WordPiece, 120, true);
    assert_eq!(tokens(&tokenizer, "The SCHOOL!", true), ["[CLS]", "the", "school", "!", "[SEP]"]);
    assert_eq!(tokens(&tokenizer, "café", false).concat().replace("##", ""), "cafe");
    let ids: Vec<Option<u32>> = TokenizerKind::WordPiece
        .default_special_tokens()
        .iter()
        .map(|token| tokenizer.token_to_id(token))
        .collect();
    assert_eq!(ids, [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    let pair = tokenizer.encode(("the", "food"), true).unwrap();
    assert_eq!(pair.get_type_ids(), [0, 0, 0, 1, 1]);
    let ids = tokenizer.encode("the old school", true).unwrap().get_ids().to_vec();
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "the old school");
}

#[test]
fn only_words_with_unseen_characters_are_unknown() {
    let tokenizer = train(TokenizerKind::WordPiece, 120, true);
    assert!(!tokens(&tokenizer, "zero xylophone", false).is_empty());
    assert_eq!(tokens(&tokenizer, "日", false), ["[UNK]"]);
    let seen: String = "dlsnitru".into();
    assert!(!tokens(&tokenizer, &seen, false).contains(&"[UNK]".to_string()));
}

#[test]
fn a_saved_tokenizer_loads_and_encodes_alike() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, size) in [(TokenizerKind::Bpe, 300), (TokenizerKind::WordPiece, 120)] {
        let tokenizer = train(kind, size, false);
        let path = save(&tokenizer, &folder.path().join(format!("{kind:?}"))).unwrap();
        let loaded = Tokenizer::from_file(path).unwrap();
        for text in TEXTS {
            assert_eq!(tokens(&loaded, text, true), tokens(&tokenizer, text, true));
        }
    }
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let refused = |texts: &[&'static str], options: TokenizerOptions| {
        train_tokenizer(texts.iter().copied(), &options).unwrap_err().to_string()
    };
    assert_eq!(
        refused(TEXTS, options(TokenizerKind::Bpe, 260, false)),
        "tokenizer: vocab size is 260, expected at least 261: 5 special tokens and 256 pieces of \
         one character"
    );
    assert_eq!(
        refused(&["  "], options(TokenizerKind::WordPiece, 100, false)),
        "tokenizer: no text to train on, expected at least one word"
    );
    let twice = TokenizerOptions {
        special_tokens: vec!["<a>".into(), "<a>".into()],
        ..options(TokenizerKind::Bpe, 300, false)
    };
    assert_eq!(
        refused(TEXTS, twice),
        "tokenizer: special token `<a>` is there twice, expected each once"
    );
    let lacking = TokenizerOptions {
        special_tokens: vec!["[UNK]".into(), "[CLS]".into()],
        ..options(TokenizerKind::WordPiece, 300, false)
    };
    assert_eq!(
        refused(TEXTS, lacking),
        "tokenizer: no special token `[SEP]`, expected it for wordpiece"
    );
}
