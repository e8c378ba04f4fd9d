//! Text normalisers, applied alike to reference and hypothesis before a score.
//!
//! A score means nothing without the normaliser behind it, so each has a name and a version
//! that reports carry (`basic-1`). A change of behaviour is a new version, never an edit.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::{ErrorKind, MetricError};
use crate::punctuation::is_punctuation;

/// What is done to a text before it is split into words or characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Normalizer {
    /// Nothing: case and punctuation count.
    #[default]
    None,
    /// Lower-case, delete punctuation, strip, and join white space to single spaces.
    ///
    /// Punctuation is every character of a Unicode category `P*`, so `don't` becomes `dont` and
    /// `well-known` becomes `wellknown`; symbols such as `$ + < = > ^ | ~` stay.
    Basic,
}

impl Normalizer {
    /// Every normaliser, for help texts.
    pub const ALL: [Self; 2] = [Self::None, Self::Basic];

    /// The name that a recipe uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "basic",
        }
    }

    /// The version of this behaviour; it rises whenever some text would come out differently.
    pub fn version(self) -> u32 {
        match self {
            Self::None | Self::Basic => 1,
        }
    }

    /// Normalises one text; borrows where nothing is to be done.
    ///
    /// # Source
    ///
    /// `basic`: the evaluator of arXiv:2412.15712 (lower-case, remove category `P*`, strip,
    /// collapse spaces); case mapping is Unicode's full one, as `str.lower` in Python.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::None => Cow::Borrowed(text),
            Self::Basic => Cow::Owned(basic(text)),
        }
    }
}

/// Writes `name-version`, the form that reports carry.
impl fmt::Display for Normalizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name(), self.version())
    }
}

/// Reads `basic` or `basic-1`.
impl FromStr for Normalizer {
    type Err = MetricError;

    fn from_str(text: &str) -> Result<Self, MetricError> {
        let known = Self::ALL.into_iter().find(|n| text == n.name() || text == n.to_string());
        known.ok_or_else(|| {
            let names: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            MetricError::new(
                "normalizer",
                ErrorKind::Name,
                format!("no normaliser `{text}`, expected one of {}", names.join(", ")),
            )
            .hint("the version may be left out")
        })
    }
}

fn basic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pending_space = false;
    // Lower-casing the whole text, not each character, keeps Greek final sigma right.
    for character in text.to_lowercase().chars() {
        if is_space(character) {
            pending_space = true;
        } else if !is_punctuation(character) {
            if pending_space && !out.is_empty() {
                out.push(' ');
            }
            pending_space = false;
            out.push(character);
        }
    }
    out
}

/// White space as Python's `str.isspace`: Unicode's, and the four information separators.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_lowers_strips_and_joins() {
        let cases = [
            ("", ""),
            ("  ...  ", ""),
            ("Hello,  World!", "hello world"),
            ("Don't stop - well-known", "dont stop wellknown"),
            ("¿Qué?\t«Sí»\n", "qué sí"),
            ("5 + 3 = $8 ~ 50%", "5 + 3 = $8 ~ 50"),
            ("ΟΔΟΣ", "οδος"),
            ("這是。「好」", "這是好"),
        ];
        for (text, expected) in cases {
            assert_eq!(Normalizer::Basic.apply(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_and_versions_round_trip() {
        for normalizer in Normalizer::ALL {
            assert_eq!(normalizer.name().parse(), Ok(normalizer));
            assert_eq!(normalizer.to_string().parse(), Ok(normalizer));
        }
        let error = "basic-9".parse::<Normalizer>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Name);
        assert_eq!(
            error.to_string(),
            "normalizer: no normaliser `basic-9`, expected one of none-1, basic-1 \
             (hint: the version may be left out)"
        );
    }
}
