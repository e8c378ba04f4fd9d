//! What generation costs: tokens, seconds, memory.

use std::fmt;

/// Tokens and seconds of the two parts of the work.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Tokens read at once.
    pub(crate) prompt_tokens: usize,
    pub(crate) prefill_s: f64,
    /// Tokens read one by one, those of all beams and samples together. The first token of a text
    /// follows from the prompt alone, and its last is not read.
    pub(crate) new_tokens: usize,
    pub(crate) decode_s: f64,
}

impl Usage {
    /// Adds what another prompt cost.
    pub(crate) fn add(&mut self, other: &Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.prefill_s += other.prefill_s;
        self.new_tokens += other.new_tokens;
        self.decode_s += other.decode_s;
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, tokens: usize, seconds: f64| {
            let rate = match tokens > 0 && seconds > 0.0 {
                true => format!(", {:.1} tokens/s", tokens as f64 / seconds),
                false => String::new(),
            };
            format!("{name} {tokens} tokens in {seconds:.2} s{rate}")
        };
        let prefill = part("prefill", self.prompt_tokens, self.prefill_s);
        write!(f, "{prefill}; {}", part("decode", self.new_tokens, self.decode_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_told_where_there_are_some() {
        let mut usage = Usage { prompt_tokens: 6, prefill_s: 0.5, new_tokens: 0, decode_s: 0.0 };
        assert_eq!(
            usage.to_string(),
            "prefill 6 tokens in 0.50 s, 12.0 tokens/s; decode 0 tokens in 0.00 s"
        );
        usage.add(&Usage { prompt_tokens: 4, prefill_s: 0.5, new_tokens: 30, decode_s: 2.0 });
        assert_eq!(
            usage.to_string(),
            "prefill 10 tokens in 1.00 s, 10.0 tokens/s; decode 30 tokens in 2.00 s, 15.0 tokens/s"
        );
    }
}
