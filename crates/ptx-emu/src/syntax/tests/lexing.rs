//! Tokens: comments, words, numbers, places.

use super::super::lexer::tokens;
use super::super::token::Kind;
use super::at;

#[track_caller]
fn lexed(text: &str) -> Vec<(Kind, &str)> {
    let tokens = tokens("test.ptx", text).expect("the text is well formed");
    let (end, tokens) = tokens.split_last().expect("the end is a token");
    assert_eq!(end.kind, Kind::End);
    tokens.iter().map(|token| (token.kind, token.text)).collect()
}

#[track_caller]
fn number(text: &str) -> Kind {
    match lexed(text).as_slice() {
        [(kind, whole)] if *whole == text => *kind,
        other => panic!("expected one number, got {other:?}"),
    }
}

#[test]
fn words_take_percent_dollar_and_underscore() {
    let text = "%r1 $L__BB0_2 _Z3fooPf _ %tid.x $str$1 DONE";
    let words: Vec<_> = lexed(text).into_iter().map(|(_, text)| text).collect();
    assert_eq!(words, ["%r1", "$L__BB0_2", "_Z3fooPf", "_", "%tid", "x", "$str$1", "DONE"]);
}

#[test]
fn dotted_words_keep_their_double_colons() {
    let text = "ld.global.L1::no_allocate.L2::128B.mbarrier::complete_tx::bytes.2d";
    let words: Vec<_> = lexed(text).into_iter().map(|(_, text)| text).collect();
    assert_eq!(
        words,
        ["ld", "global", "L1::no_allocate", "L2::128B", "mbarrier::complete_tx::bytes", "2d"]
    );
}

#[test]
fn comments_and_blanks_part_tokens_and_are_gone() {
    let text = "a // b\n/* c\n ** d */ e/**/f\r\n\tg /* umlaut: \u{e4} */ h // no end of line";
    let words: Vec<_> = lexed(text).into_iter().map(|(_, text)| text).collect();
    assert_eq!(words, ["a", "e", "f", "g", "h"]);
}

#[test]
fn places_count_characters_from_one() {
    let tokens = tokens("test.ptx", "ab\n\t%c /* \u{e4}\u{e4} */ d\r\n  /*\n*/ e").unwrap();
    let places: Vec<_> = tokens.iter().map(|token| (token.text, token.span)).collect();
    assert_eq!(
        places,
        [("ab", at(1, 1)), ("%c", at(2, 2)), ("d", at(2, 14)), ("e", at(4, 4)), ("", at(4, 5))]
    );
}

#[test]
fn integers_are_decimal_hexadecimal_binary_or_octal() {
    let table = [
        ("0", 0),
        ("0U", 0),
        ("7", 7),
        ("12U", 12),
        ("4294967295", 0xFFFF_FFFF),
        ("0x1F", 31),
        ("0Xff", 255),
        ("0xABCU", 2748),
        ("0xffffffffffffffff", u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("0b101", 5),
        ("0B11U", 3),
        ("017", 15),
        ("0777U", 511),
        ("0x1e5", 0x1E5),
    ];
    for (text, value) in table {
        assert_eq!(number(text), Kind::Integer(value), "{text}");
    }
}

#[test]
fn floats_are_bits_or_decimal() {
    assert_eq!(number("0f3F800000"), Kind::F32(1.0_f32.to_bits()));
    assert_eq!(number("0FfF800000"), Kind::F32(f32::NEG_INFINITY.to_bits()));
    assert_eq!(number("0f7fc0000e"), Kind::F32(0x7FC0_000E));
    assert_eq!(number("0d3FF0000000000000"), Kind::F64(1.0_f64.to_bits()));
    assert_eq!(number("0DC000000000000000"), Kind::F64((-2.0_f64).to_bits()));
    for (text, value) in
        [("1.5", 1.5), ("0.1", 0.1), ("2.", 2.0), ("1e5", 1e5), ("1.5e-3", 1.5e-3), ("2E+4", 2e4)]
    {
        assert_eq!(number(text), Kind::Decimal(value), "{text}");
    }
}

#[test]
fn sign_behind_a_hexadecimal_e_is_an_operator() {
    let kinds: Vec<_> = lexed("0x1e-3").into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::Integer(0x1E), Kind::Mark('-'), Kind::Integer(3)]);
}
