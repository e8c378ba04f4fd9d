//! From PTX text to a tree.
//!
//! [`lexer`] cuts the text into tokens, [`parser`] reads them by recursive descent into the tree
//! of [`ast`]. The parser knows the language's grammar but no instruction: whether `ld.global.f37`
//! exists is for the lowering to say. What the grammar here does not know is an error with its
//! line and column. Only what cannot change a result is read over: comments, debug sections,
//! `.file`, `.loc`, `.pragma`, the visibility of names, and the promises of `.ptr`.

pub(crate) mod ast;
mod lexer;
mod numbers;
mod parser;
#[cfg(test)]
mod tests;
mod token;

use crate::error::PtxError;

/// Reads a whole PTX file; `file_name` is only for the errors.
///
/// Trailing NULs are dropped: NVRTC hands out its text with one.
pub(crate) fn parse(file_name: &str, source: &str) -> Result<ast::File, PtxError> {
    let tokens = lexer::tokens(file_name, source.trim_end_matches('\0'))?;
    parser::file(file_name, tokens)
}
