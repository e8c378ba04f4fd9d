//! The tokenizer `13a` of machine translation's scores: that of `mteval-v13a`, of WMT.

use crate::normalize::is_space;

/// Splits a segment into tokens.
///
/// Symbols and punctuation stand alone, save hyphens, apostrophes, and the stops and commas between
/// digits; a hyphen behind a digit stands alone too.
///
/// # Source
///
/// `tokenizer_13a` of sacrebleu 2.6: its four rules, each once over the text from left to right.
///
/// # Examples
///
/// ```
/// let tokens = speech_metrics::tokenize_13a("It's 3.14, isn't it?");
/// assert_eq!(tokens, ["It's", "3.14", ",", "isn't", "it", "?"]);
/// ```
pub fn tokenize_13a(segment: &str) -> Vec<String> {
    let segment = segment.trim_end_matches(is_space);
    let mut text = segment.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(entity, character);
    }
    let text: Vec<char> = format!(" {text} ").chars().collect();

    let mut apart = Vec::with_capacity(2 * text.len());
    for character in text {
        match stands_alone(character) {
            true => apart.extend([' ', character, ' ']),
            false => apart.push(character),
        }
    }
    let is_stop = |character: char| matches!(character, '.' | ',');
    let digit = |character: char| character.is_ascii_digit();
    let text = pairs(&apart, |a, b| !digit(a) && is_stop(b), |a, b| [a, ' ', b, ' ']);
    let text = pairs(&text, |a, b| is_stop(a) && !digit(b), |a, b| [' ', a, ' ', b]);
    let text = pairs(&text, |a, b| digit(a) && b == '-', |a, b| [a, ' ', b, ' ']);
    let words = text.split(|&character| is_space(character));
    words.filter(|word| !word.is_empty()).map(|word| word.iter().collect()).collect()
}

/// ASCII's symbols and punctuation without `' , - .`
fn stands_alone(character: char) -> bool {
    matches!(character, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Replaces neighbours that match; what was replaced is not looked at again.
fn pairs(
    text: &[char],
    matches: impl Fn(char, char) -> bool,
    replaced: impl Fn(char, char) -> [char; 4],
) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match after {
            [second, after @ ..] if matches(*first, *second) => {
                out.extend(replaced(*first, *second));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_between_digits_and_letters_of_words_stay() {
        for (text, expected) in [
            (
                "It's 3.14, isn't it? (yes) U.S.-based &quot;x&quot; end.",
                "It's 3.14 , isn't it ? ( yes ) U . S . -based \" x \" end .",
            ),
            ("1,000 km/h -- 5-year; café’s «test»", "1,000 km / h -- 5 - year ; café’s «test»"),
            ("line-\nbreak\nhere <skipped>", "linebreak here"),
            ("a.,b ...", "a . , b . . ."),
            ("", ""),
            ("\u{3000}x\u{1f}", "x"),
        ] {
            assert_eq!(tokenize_13a(text).join(" "), expected, "{text:?}");
        }
    }
}
