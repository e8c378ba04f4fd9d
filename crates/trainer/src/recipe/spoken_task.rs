//! `instruct.tasks`: what is asked about recordings.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// A spoken task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpokenTask {
    /// Transcription.
    Asr,
    /// Translation into the language of this code.
    St(String),
    /// Answering a question.
    Sqa,
}

impl FromStr for SpokenTask {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "asr" => Ok(Self::Asr),
            "sqa" => Ok(Self::Sqa),
            _ => match text.strip_prefix("st-") {
                Some(code) => language(code).map(|_| Self::St(code.to_owned())),
                None => bail!("`{text}`, expected `asr`, `st-XX` or `sqa`"),
            },
        }
    }
}

impl fmt::Display for SpokenTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asr => f.write_str("asr"),
            Self::St(code) => write!(f, "st-{code}"),
            Self::Sqa => f.write_str("sqa"),
        }
    }
}

/// Codes and names of languages, as prompts write them.
const LANGUAGES: [(&str, &str); 24] = [
    ("ar", "arabic"),
    ("cs", "czech"),
    ("da", "danish"),
    ("de", "german"),
    ("el", "greek"),
    ("en", "english"),
    ("es", "spanish"),
    ("fa", "persian"),
    ("fi", "finnish"),
    ("fr", "french"),
    ("hi", "hindi"),
    ("hu", "hungarian"),
    ("it", "italian"),
    ("ja", "japanese"),
    ("ko", "korean"),
    ("nl", "dutch"),
    ("pl", "polish"),
    ("pt", "portuguese"),
    ("ro", "romanian"),
    ("ru", "russian"),
    ("sv", "swedish"),
    ("tr", "turkish"),
    ("vi", "vietnamese"),
    ("zh", "chinese"),
];

/// Name of the language of a code.
///
/// # Errors
///
/// Lists the codes that have one.
pub fn language(code: &str) -> anyhow::Result<&'static str> {
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name).with_context(|| {
        let known: Vec<&str> = LANGUAGES.iter().map(|(code, _)| *code).collect();
        format!("language `{code}` has no name for a prompt, expected one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_without_a_name_is_refused_with_those_that_have_one() {
        for text in ["asr", "sqa", "st-de", "st-zh"] {
            assert_eq!(text.parse::<SpokenTask>().unwrap().to_string(), text);
        }
        let error = "st-tlh".parse::<SpokenTask>().unwrap_err().to_string();
        assert!(error.starts_with("language `tlh` has no name for a prompt, expected one of ar"));
        let error = "asr-de".parse::<SpokenTask>().unwrap_err().to_string();
        assert_eq!(error, "`asr-de`, expected `asr`, `st-XX` or `sqa`");
    }
}
