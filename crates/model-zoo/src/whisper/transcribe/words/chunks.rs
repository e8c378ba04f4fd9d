//! Words of a transcript that was joined from chunks.

use super::attach::{median_duration, round_to_centi, shorten_at_sentence_ends};
use super::{TokenTime, Word, punctuation};
use crate::error::Result;
use crate::whisper::transcribe::merge::Heard;
use crate::whisper::transcribe::transcriber::Transcriber;

impl Transcriber<'_> {
    /// Words of `tokens` with their times in the recording: each token has that of the chunk it was
    /// taken from, of which `times` holds all and `offsets` the start in seconds. No word begins
    /// before `last_word`, since two chunks may disagree where they meet.
    ///
    /// # Source
    ///
    /// The pipeline of `transformers` 5.23 with `return_timestamps="word"` joins tokens with their
    /// times likewise; what becomes of words is as in [`attach_words`](Self::attach_words).
    pub(in crate::whisper::transcribe) fn words_of_chunks(
        &self,
        tokens: &[Heard],
        times: &[Vec<TokenTime>],
        offsets: &[f64],
        language: &str,
        last_word: f64,
    ) -> Result<Vec<Word>> {
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let timed: Vec<TokenTime> = tokens
            .iter()
            .filter_map(|token| {
                let time = times[token.chunk].get(token.place)?;
                let offset = offsets[token.chunk];
                Some(TokenTime { start: offset + time.start, end: offset + time.end, ..*time })
            })
            .collect();
        let mut aligned = self.words_of(&ids, &timed, language)?;
        let longest = 2.0 * median_duration(&aligned);
        shorten_at_sentence_ends(&mut aligned, longest);
        punctuation::merge(&mut aligned);
        let mut earliest = last_word;
        let spoken = aligned.into_iter().filter(|word| !word.word.is_empty());
        Ok(spoken
            .map(|word| {
                let start = round_to_centi(word.start).max(earliest);
                let end = round_to_centi(word.end).max(start);
                earliest = end;
                Word { word: word.word, start, end, probability: word.probability }
            })
            .collect())
    }
}
