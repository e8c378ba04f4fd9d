//! Tokens to words.

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Languages without spaces between words: every character that tokens complete is a word.
const UNSPACED: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];

/// ASCII punctuation, in the order of its codes.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Words of text tokens: their texts and how many tokens each has.
///
/// # Source
///
/// `split_to_word_tokens` in `whisper/tokenizer.py` of openai-whisper 20250625.
pub(super) fn split(
    tokenizer: &Tokenizer,
    ids: &[u32],
    language: &str,
) -> Result<Vec<(String, usize)>> {
    let pieces = on_characters(tokenizer, ids)?;
    if UNSPACED.contains(&language) {
        return Ok(pieces);
    }
    let mut words: Vec<(String, usize)> = Vec::new();
    for (piece, n_tokens) in pieces {
        let begins = piece.starts_with(' ') || PUNCTUATION.contains(piece.trim());
        match words.last_mut() {
            Some((word, count)) if !begins => {
                word.push_str(&piece);
                *count += n_tokens;
            }
            _ => words.push((piece, n_tokens)),
        }
    }
    Ok(words)
}

/// The shortest runs of tokens whose bytes are whole characters.
fn on_characters(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Vec<(String, usize)>> {
    let whole: Vec<char> = tokenizer.decode(ids, false)?.chars().collect();
    let mut pieces = Vec::new();
    let mut first = 0;
    let mut seen = 0;
    for end in 1..=ids.len() {
        let text = tokenizer.decode(&ids[first..end], false)?;
        // A replacement character stands for half a character, unless the text has it there.
        let broken = text.chars().position(|c| c == char::REPLACEMENT_CHARACTER);
        let complete =
            broken.is_none_or(|at| whole.get(seen + at) == Some(&char::REPLACEMENT_CHARACTER));
        if complete {
            seen += text.chars().count();
            pieces.push((text, end - first));
            first = end;
        }
    }
    if first < ids.len() {
        // Bytes that never became a character still belong to some word.
        pieces.push((tokenizer.decode(&ids[first..], false)?, ids.len() - first));
    }
    Ok(pieces)
}
