//! Reads tokens by recursive descent.
//!
//! One file per kind of thing: [`items`] what stands in a module, [`variables`] declarations,
//! [`statements`] what stands in a body, [`operands`] and [`constants`] what stands in an
//! instruction. This file holds the cursor they share.

mod constants;
mod functions;
mod items;
mod operands;
mod skipped;
mod statements;
mod variables;

use super::ast::{File, Span};
use super::token::{Kind, Token};
use crate::error::PtxError;

type Parsed<T> = Result<T, PtxError>;

/// Blocks, lists and parentheses inside each other: enough for any compiler, and few enough that
/// the parser's own stack suffices.
const MAX_DEPTH: u32 = 64;

/// Reads a whole file from its tokens, the last of which is the end.
pub(super) fn file(file_name: &str, tokens: Vec<Token<'_>>) -> Parsed<File> {
    Parser { file: file_name, tokens, next: 0, depth: 0 }.module()
}

struct Parser<'s> {
    file: &'s str,
    tokens: Vec<Token<'s>>,
    /// Index of the token that is not yet read.
    next: usize,
    /// How many blocks, lists or parentheses are open.
    depth: u32,
}

impl<'s> Parser<'s> {
    /// The token that is not yet read.
    fn token(&self) -> Token<'s> {
        self.ahead(0)
    }

    /// The token `count` behind it; the end repeats for ever.
    fn ahead(&self, count: usize) -> Token<'s> {
        self.tokens[(self.next + count).min(self.tokens.len() - 1)]
    }

    fn bump(&mut self) -> Token<'s> {
        let token = self.token();
        self.next += 1;
        token
    }

    fn at(&self, mark: char) -> bool {
        self.token().kind == Kind::Mark(mark)
    }

    /// Passes `mark` if it is next.
    fn take(&mut self, mark: char) -> bool {
        let found = self.at(mark);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char, place: &str) -> Parsed<Token<'s>> {
        if self.at(mark) {
            return Ok(self.bump());
        }
        Err(self.unexpected(&format!("`{mark}` {place}")))
    }

    /// Passes the `;` that ends `what`.
    fn end_of(&mut self, what: &str) -> Parsed<()> {
        self.expect(';', &format!("after {what}")).map(|_| ())
    }

    /// The dotted word that is next.
    fn dotted(&self) -> Option<&'s str> {
        let token = self.token();
        (token.kind == Kind::Dotted).then_some(token.text)
    }

    /// Passes `.name` if it is next.
    fn take_dotted(&mut self, name: &str) -> bool {
        let found = self.dotted() == Some(name);
        self.next += usize::from(found);
        found
    }

    /// Passes a word, such as the name of `what`.
    fn word(&mut self, what: &str) -> Parsed<Token<'s>> {
        match self.token().kind {
            Kind::Word => Ok(self.bump()),
            _ => Err(self.unexpected(what)),
        }
    }

    /// Passes a plain whole number of at most `most`.
    fn number(&mut self, what: &str, most: u64) -> Parsed<u64> {
        match self.token().kind {
            Kind::Integer(value) if value <= most => {
                self.bump();
                Ok(value)
            }
            Kind::Integer(value) => {
                Err(self.error(format!("expected {what} of at most {most}, got {value}")))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn number_u32(&mut self, what: &str) -> Parsed<u32> {
        // `number` holds the value to the range of u32.
        self.number(what, u64::from(u32::MAX)).map(|value| value as u32)
    }

    /// `item, item, ...` up to and with `close`; the list may be empty.
    fn list<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close) {
                return Ok(items);
            }
            if !self.take(',') {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// Reads something that may hold itself, but not without end.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels inside each other")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// An error at the token that is not yet read.
    fn error(&self, message: impl Into<String>) -> PtxError {
        self.error_at(self.token().span, message)
    }

    fn error_at(&self, span: Span, message: impl Into<String>) -> PtxError {
        PtxError::new(self.file, span, message)
    }

    /// The token that is not yet read is not what the grammar wants.
    fn unexpected(&self, wanted: &str) -> PtxError {
        let token = self.token();
        let error = self.error(format!("expected {wanted}, got {token}"));
        let last = match self.next.checked_sub(1) {
            Some(index) => self.tokens[index.min(self.tokens.len() - 1)].span.line,
            None => return error,
        };
        if wanted.contains("`;`") && last < token.span.line {
            return error.with_hint(format!("is a `;` missing at the end of line {last}"));
        }
        error
    }
}
