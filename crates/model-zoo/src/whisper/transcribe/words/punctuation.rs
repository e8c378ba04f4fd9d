//! Punctuation belongs to the word beside it.

use super::Aligned;

/// Marks that join the word behind them.
const PREPENDED: &str = "\"'“¿([{-";
/// Marks that join the word before them.
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";

/// Joins punctuation to its word, whose times stay as they are; what was joined has no text left.
///
/// # Source
///
/// `merge_punctuations` in `whisper/timing.py` of openai-whisper 20250625.
pub(super) fn merge(words: &mut [Aligned]) {
    let mut following = words.len().saturating_sub(1);
    for k in (0..following).rev() {
        let mark = &words[k].word;
        if mark.starts_with(' ') && PREPENDED.contains(mark.trim()) {
            let (word, n_tokens) = take(&mut words[k]);
            words[following].word.insert_str(0, &word);
            words[following].n_tokens += n_tokens;
        } else {
            following = k;
        }
    }
    let mut previous = 0;
    for k in 1..words.len() {
        if !words[previous].word.ends_with(' ') && APPENDED.contains(&words[k].word) {
            let (word, n_tokens) = take(&mut words[k]);
            words[previous].word.push_str(&word);
            words[previous].n_tokens += n_tokens;
        } else {
            previous = k;
        }
    }
}

fn take(word: &mut Aligned) -> (String, usize) {
    (std::mem::take(&mut word.word), std::mem::take(&mut word.n_tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_join_their_words() {
        let mut words: Vec<Aligned> = [" So", ",", " \"", "stop", "!", "\"", " he", " said", "."]
            .iter()
            .map(|word| Aligned {
                word: (*word).to_owned(),
                n_tokens: 1,
                start: 0.0,
                end: 1.0,
                probability: 1.0,
            })
            .collect();
        merge(&mut words);
        let left: Vec<(&str, usize)> = words
            .iter()
            .filter(|word| !word.word.is_empty())
            .map(|word| (word.word.as_str(), word.n_tokens))
            .collect();
        assert_eq!(left, [(" So,", 2), (" \"stop!\"", 4), (" he", 1), (" said.", 2)]);
        merge(&mut []);
    }
}
