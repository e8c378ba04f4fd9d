//! What is read and left out, because no result depends on it, and the one pragma that counts.

use super::{Parsed, Parser};
use crate::syntax::ast::Space;
use crate::syntax::token::Kind;

impl Parser<'_> {
    /// `.file 1 "name.cu", 1700000000, 4096`: the source that `.loc` counts lines of.
    pub(super) fn skip_file(&mut self) -> Parsed<()> {
        self.bump();
        self.number_u32("a file's number")?;
        self.quoted("a file's name in quotes")?;
        if self.take(',') {
            self.number("a time stamp", u64::MAX)?;
            self.expect(',', "after the time stamp")?;
            self.number("a file size", u64::MAX)?;
        }
        Ok(())
    }

    /// `.loc 1 24 16, function_name $L__info_string0, inlined_at 1 30 5`; no `;` ends it.
    pub(super) fn skip_loc(&mut self) -> Parsed<()> {
        self.bump();
        self.source_place()?;
        while self.take(',') {
            let word = self.word("`function_name` or `inlined_at`")?;
            match word.text {
                "function_name" => {
                    self.word("a label of a debug section")?;
                    if self.take('+') {
                        self.number("an offset", u64::MAX)?;
                    }
                }
                "inlined_at" => self.source_place()?,
                _ => {
                    self.next -= 1;
                    return Err(self.unexpected("`function_name` or `inlined_at`"));
                }
            }
        }
        Ok(())
    }

    /// File, line and column.
    fn source_place(&mut self) -> Parsed<()> {
        for what in ["a file's number", "a line", "a column"] {
            self.number_u32(what)?;
        }
        Ok(())
    }

    /// `.pragma "nounroll";`: advice to the assembler.
    pub(super) fn skip_pragma(&mut self) -> Parsed<()> {
        self.pragma().map(|_| ())
    }

    /// A pragma of a body. Of all of them, `"used_bytes_mask 61455"` alone has a meaning here: which
    /// bytes of the load behind it matter, so that the others may never have been written.
    pub(super) fn pragma(&mut self) -> Parsed<Option<u16>> {
        self.bump();
        let mut used = None;
        loop {
            let token = self.token();
            self.quoted("a pragma in quotes")?;
            if let Some(number) = token.text.strip_prefix("used_bytes_mask") {
                used = Some(used_bytes(number).ok_or_else(|| {
                    self.error_at(
                        token.span,
                        "expected `used_bytes_mask` with a number of at most 65535",
                    )
                })?);
            }
            if !self.take(',') {
                self.end_of("a pragma")?;
                return Ok(used);
            }
        }
    }

    /// `.section .debug_str { ... }`
    pub(super) fn skip_section(&mut self) -> Parsed<()> {
        self.bump();
        match self.dotted() {
            Some(name) if name.starts_with("debug_") => self.bump(),
            _ => {
                return Err(self
                    .unexpected("a debug section's name such as `.debug_info`")
                    .with_hint("no other section is known"));
            }
        };
        let open = self.expect('{', "before the section's bytes")?;
        while !self.take('}') {
            if self.token().kind == Kind::End {
                return Err(self.unexpected("`}`").with_hint(format!(
                    "the section opened in line {} does not end",
                    open.span.line
                )));
            }
            self.bump();
        }
        Ok(())
    }

    /// `.ptr .global .align 16`: what a kernel promises of the address in a parameter. Every
    /// access is checked by itself, so the promise adds nothing.
    pub(super) fn skip_pointer_promise(&mut self, space: Space) -> Parsed<()> {
        if space != Space::Param || !self.take_dotted("ptr") {
            return Ok(());
        }
        if matches!(self.dotted(), Some("global" | "const" | "local" | "shared")) {
            self.bump();
        }
        if self.take_dotted("align") {
            self.alignment()?;
        }
        Ok(())
    }

    fn quoted(&mut self, what: &str) -> Parsed<()> {
        match self.token().kind {
            Kind::Quoted => {
                self.bump();
                Ok(())
            }
            _ => Err(self.unexpected(what)),
        }
    }
}

/// The number behind `used_bytes_mask`, decimal or hexadecimal.
fn used_bytes(text: &str) -> Option<u16> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
