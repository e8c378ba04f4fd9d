//! Cuts PTX text into tokens.

use super::ast::Span;
use super::numbers;
use super::token::{Kind, Token};
use crate::error::PtxError;

/// All tokens of a text; the last is [`Kind::End`].
pub(super) fn tokens<'s>(file: &'s str, source: &'s str) -> Result<Vec<Token<'s>>, PtxError> {
    let mut lexer = Lexer { file, source, at: 0, place: Span { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let token = lexer.token()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

const MARKS: &str = ",;:()[]{}<>=+-*/%&|^~!@?";

struct Lexer<'s> {
    file: &'s str,
    source: &'s str,
    /// Byte offset of the next character.
    at: usize,
    /// Its line and column.
    place: Span,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn next_is(&self, wanted: impl Fn(char) -> bool) -> bool {
        self.rest().chars().next().is_some_and(wanted)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.place = Span { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn bump_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.next_is(&wanted) {
            self.bump();
        }
    }

    fn error(&self, span: Span, message: String) -> PtxError {
        PtxError::new(self.file, span, message)
    }

    /// Passes white space and comments.
    fn skip_blanks(&mut self) -> Result<(), PtxError> {
        loop {
            self.bump_while(char::is_whitespace);
            if self.rest().starts_with("//") {
                self.bump_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                let start = self.place;
                self.bump();
                self.bump();
                while !self.rest().starts_with("*/") {
                    if self.bump().is_none() {
                        return Err(self
                            .error(start, "this comment does not end".to_owned())
                            .with_hint("close it with `*/`"));
                    }
                }
                self.bump();
                self.bump();
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token<'s>, PtxError> {
        let (start, span) = (self.at, self.place);
        let make = |kind, text| Ok(Token { kind, text, span });
        let Some(first) = self.bump() else {
            return make(Kind::End, "");
        };
        match first {
            'a'..='z' | 'A'..='Z' | '_' | '$' => {
                self.bump_while(in_word);
                make(Kind::Word, &self.source[start..self.at])
            }
            '%' if self.next_is(in_word) => {
                self.bump_while(in_word);
                make(Kind::Word, &self.source[start..self.at])
            }
            '.' => {
                self.dotted(span)?;
                make(Kind::Dotted, &self.source[start + 1..self.at])
            }
            '0'..='9' => {
                self.number();
                let text = &self.source[start..self.at];
                match numbers::literal(text) {
                    Ok(kind) => make(kind, text),
                    Err((message, hint)) => Err(self.error(span, message).with_hint(hint)),
                }
            }
            '"' => {
                self.bump_while(|c| c != '"' && c != '\n');
                let text = &self.source[start + 1..self.at];
                match self.bump() {
                    Some('"') => make(Kind::Quoted, text),
                    _ => Err(self
                        .error(span, "this text does not end".to_owned())
                        .with_hint("close it with `\"` on the same line")),
                }
            }
            mark if MARKS.contains(mark) => make(Kind::Mark(mark), &self.source[start..self.at]),
            '#' => Err(self
                .error(span, "`#` lines are not PTX".to_owned())
                .with_hint("run the text through a preprocessor first")),
            other => Err(self
                .error(span, format!("the character {other:?} has no meaning in PTX"))
                .with_hint("outside comments a PTX file holds only ASCII")),
        }
    }

    /// The rest of a dotted word, `::` and all.
    fn dotted(&mut self, span: Span) -> Result<(), PtxError> {
        loop {
            if !self.next_is(in_word) {
                return Err(self
                    .error(span, "there is no name behind this dot".to_owned())
                    .with_hint("modifiers and directives read `.name` or `.name::part`"));
            }
            self.bump_while(in_word);
            if !self.rest().starts_with("::") {
                return Ok(());
            }
            self.bump();
            self.bump();
        }
    }

    /// The rest of a number: digits, letters, one point, and a sign behind the exponent's `e`.
    fn number(&mut self) {
        let start = self.at - 1;
        self.bump_while(in_word);
        // An `e` at the end of these is a digit.
        if matches!(
            self.source.as_bytes().get(start + 1),
            Some(b'x' | b'X' | b'f' | b'F' | b'd' | b'D')
        ) {
            return;
        }
        if self.next_is(|c| c == '.') {
            self.bump();
            self.bump_while(in_word);
        }
        if self.source[start..self.at].ends_with(['e', 'E']) && self.next_is(|c| "+-".contains(c)) {
            self.bump();
            self.bump_while(in_word);
        }
    }
}

/// What a word may hold behind its first character.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}
