//! `encoder.layer`: which hidden states of a speech encoder are read.

use anyhow::bail;

/// Which hidden states of the encoder are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderLayer {
    /// After the encoder's last norm.
    Last,
    /// One of them; 0 is what the first layer reads.
    Index(usize),
    /// All of them, for a learned average.
    Weighted,
}

impl EncoderLayer {
    /// Reads `encoder.layer` of a recipe.
    ///
    /// # Errors
    ///
    /// Says what it may be.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "last" => Ok(Self::Last),
            "weighted" => Ok(Self::Weighted),
            index => match index.parse() {
                Ok(index) => Ok(Self::Index(index)),
                Err(_) => bail!("`{text}`, expected `last`, `weighted` or the index of a state"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_by_name_or_number() {
        assert_eq!(EncoderLayer::parse("last").unwrap(), EncoderLayer::Last);
        assert_eq!(EncoderLayer::parse("weighted").unwrap(), EncoderLayer::Weighted);
        assert_eq!(EncoderLayer::parse("12").unwrap(), EncoderLayer::Index(12));
        let error = EncoderLayer::parse("-1").unwrap_err().to_string();
        assert_eq!(error, "`-1`, expected `last`, `weighted` or the index of a state");
    }
}
