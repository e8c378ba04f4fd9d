//! How a word is spelt in the letters of a vocabulary.

use model_zoo::ctc::CtcVocabulary;

/// What a letter is written as where the vocabulary lacks it.
const EXPANSIONS: &[(char, &str)] =
    &[('ä', "ae"), ('ö', "oe"), ('ü', "ue"), ('ß', "ss"), ('’', "'"), ('‘', "'")];

/// Labels of a word, in the vocabulary's case, without what the vocabulary has no label for.
///
/// In the vocabulary of the published models, capitals and the apostrophe, `Müller's,` is spelt
/// `MUELLER'S`, and `42` is spelt by nothing.
pub(super) fn spell(vocabulary: &CtcVocabulary, word: &str) -> Vec<u32> {
    word.chars().flat_map(|letter| labels_of(vocabulary, letter).unwrap_or_default()).collect()
}

fn labels_of(vocabulary: &CtcVocabulary, letter: char) -> Option<Vec<u32>> {
    let in_any_case = |text: &str| {
        let forms = [text.to_owned(), text.to_uppercase(), text.to_lowercase()];
        forms.iter().find_map(|form| encode(vocabulary, form))
    };
    let mut plain = [0; 4];
    in_any_case(letter.encode_utf8(&mut plain)).or_else(|| {
        let lower = letter.to_lowercase().next()?;
        let (_, expansion) = EXPANSIONS.iter().find(|(from, _)| *from == lower)?;
        in_any_case(expansion)
    })
}

/// Labels of characters that are neither special nor the word delimiter.
fn encode(vocabulary: &CtcVocabulary, text: &str) -> Option<Vec<u32>> {
    let labels = vocabulary.encode(text).ok()?;
    let is_letter = |label: &u32| Some(*label) != vocabulary.word_delimiter();
    labels.iter().all(is_letter).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(characters: &str, word: &str) -> String {
        let vocabulary = CtcVocabulary::from_characters(characters.chars()).unwrap();
        vocabulary.decode(&spell(&vocabulary, word))
    }

    #[test]
    fn words_are_spelt_in_the_letters_that_there_are() {
        let capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'";
        for (word, expected) in [
            ("Müller’s,", "MUELLER'S"),
            ("weiß", "WEISS"),
            ("café", "CAF"),
            ("42", ""),
            ("|—|", ""),
            ("U.S.", "US"),
        ] {
            assert_eq!(spelt(capitals, word), expected, "{word}");
        }
        // A German model has its own letters, and they stay.
        assert_eq!(spelt("abcdefghijklmnopqrstuvwxyzäöüß", "Groß-Örtchen"), "großörtchen");
        assert_eq!(spelt("aAbB1", "Ab1ß"), "Ab1");
    }
}
