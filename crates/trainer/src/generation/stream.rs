//! Text as it is made: what each new token adds to what was said.

use model_zoo::decoding::{Logits, TokenModel};
use model_zoo::{Result, Tokenizer};
use tensor_core::Context;

/// What `ids` say behind a prompt. White space at the seam is that of both together: alone, a
/// first word would lose the blank before it with some tokenizers.
pub(super) fn text_after(tokenizer: &Tokenizer, prompt_ids: &[u32], ids: &[u32]) -> Result<String> {
    let before = tokenizer.decode(prompt_ids, true)?;
    let all = tokenizer.decode(&[prompt_ids, ids].concat(), true)?;
    match all.strip_prefix(&before) {
        Some(text) => Ok(text.to_owned()),
        None => tokenizer.decode(ids, true),
    }
}

/// A model whose rows are watched: every token that a row gains is fed to it once.
pub(super) struct Watched<M, W> {
    model: M,
    watch: W,
    /// Tokens fed; `None` before the prompt was.
    tokens: Option<usize>,
}

impl<M: TokenModel, W: FnMut(&[Vec<u32>]) -> Result<()>> Watched<M, W> {
    /// `watch` is told the tokens of each step after the prompt, a list for each row.
    pub(super) fn new(model: M, watch: W) -> Self {
        Self { model, watch, tokens: None }
    }

    /// Tokens fed after the prompt, those of all rows together.
    pub(super) fn tokens(&self) -> usize {
        self.tokens.unwrap_or(0)
    }
}

impl<M: TokenModel, W: FnMut(&[Vec<u32>]) -> Result<()>> TokenModel for Watched<M, W> {
    fn next(&mut self, ctx: &Context, ids: &[Vec<u32>]) -> Result<Logits> {
        match &mut self.tokens {
            Some(tokens) => {
                *tokens += ids.iter().map(Vec::len).sum::<usize>();
                (self.watch)(ids)?;
            }
            before @ None => *before = Some(0),
        }
        self.model.next(ctx, ids)
    }

    fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.model.select(rows)
    }
}

/// Tells text piece by piece, each as soon as no later token can change it.
pub(super) struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    prompt_ids: &'a [u32],
    ids: Vec<u32>,
    /// Bytes of the text that were told.
    told: usize,
    tell: &'a mut dyn FnMut(&str) -> anyhow::Result<()>,
    /// The first failure of `tell`, after which nothing is told.
    failed: Option<anyhow::Error>,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        prompt_ids: &'a [u32],
        tell: &'a mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> Self {
        Self { tokenizer, prompt_ids, ids: Vec::new(), told: 0, tell, failed: None }
    }

    /// The row has gained `ids`.
    pub(super) fn push(&mut self, ids: &[u32]) -> Result<()> {
        self.ids.extend(ids);
        let text = text_after(self.tokenizer, self.prompt_ids, &self.ids)?;
        // The first bytes of a character stand as replacement characters until the rest comes.
        self.tell_up_to(text.trim_end_matches(char::REPLACEMENT_CHARACTER));
        Ok(())
    }

    /// The whole text is `text`.
    pub(super) fn finish(mut self, text: &str) -> anyhow::Result<()> {
        self.tell_up_to(text);
        self.failed.map_or(Ok(()), Err)
    }

    fn tell_up_to(&mut self, text: &str) {
        let Some(new) = text.get(self.told..).filter(|new| !new.is_empty()) else { return };
        if self.failed.is_none() {
            self.failed = (self.tell)(new).err();
            self.told = text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as tokens, decoded as the byte-level tokenizers of LLaMA 3 are.
    fn bytes() -> Tokenizer {
        let vocab: serde_json::Map<String, serde_json::Value> =
            [("a", 0), ("Ġ", 1), ("Ã", 2), ("¼", 3), ("b", 4)]
                .into_iter()
                .map(|(token, id)| (token.to_owned(), id.into()))
                .collect();
        let file = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": false},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": false},
            "model": {"type": "BPE", "vocab": vocab, "merges": []}
        });
        Tokenizer::from_bytes(file.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_character_is_told_when_all_of_its_bytes_are_there() {
        let tokenizer = bytes();
        let prompt = tokenizer.encode("a", false).unwrap();
        assert_eq!(prompt, [0]);
        let mut pieces = Vec::new();
        let mut tell = |piece: &str| {
            pieces.push(piece.to_owned());
            Ok(())
        };
        let mut stream = TextStream::new(&tokenizer, &prompt, &mut tell);
        for id in [1, 2, 3, 4, 2] {
            stream.push(&[id]).unwrap();
        }
        let all = text_after(&tokenizer, &prompt, &[1, 2, 3, 4, 2]).unwrap();
        stream.finish(&all).unwrap();
        assert_eq!(pieces, [" ", "ü", "b", "\u{fffd}"]);
    }

    #[test]
    fn the_first_failure_of_the_listener_is_told_at_the_end() {
        let tokenizer = bytes();
        let mut calls = 0;
        let mut tell = |_: &str| {
            calls += 1;
            anyhow::bail!("the pipe is closed")
        };
        let mut stream = TextStream::new(&tokenizer, &[0], &mut tell);
        stream.push(&[4]).unwrap();
        stream.push(&[4]).unwrap();
        let error = stream.finish("bb").unwrap_err().to_string();
        assert_eq!((error.as_str(), calls), ("the pipe is closed", 1));
    }
}
