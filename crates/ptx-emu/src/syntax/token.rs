//! Tokens: what the text is cut into.

use std::fmt;

use super::ast::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A name: opcode, register, label, variable, or `_`.
    Word,
    /// A word behind a dot: directive, type or modifier. `.L1::no_allocate` is one token, because
    /// nothing may stand between its halves.
    Dotted,
    /// A whole number without its sign.
    Integer(u64),
    /// The bits of `0f3F800000`.
    F32(u32),
    /// The bits of `0d3FF0000000000000`. PTX has no sign before the hex forms.
    F64(u64),
    /// A number with a point or an exponent, without its sign.
    Decimal(f64),
    /// Text in quotes.
    Quoted,
    /// Any other character, by itself.
    Mark(char),
    /// The end of the file.
    End,
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'s> {
    pub kind: Kind,
    /// As written, without the dot of [`Kind::Dotted`] and the quotes of [`Kind::Quoted`].
    pub text: &'s str,
    pub span: Span,
}

/// As an error quotes it.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Dotted => write!(f, "`.{}`", self.text),
            Kind::Quoted => write!(f, "`\"{}\"`", self.text),
            Kind::End => write!(f, "the end of the file"),
            _ => write!(f, "`{}`", self.text),
        }
    }
}
