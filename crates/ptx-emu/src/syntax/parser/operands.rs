//! Operands of instructions.

use super::{Parsed, Parser};
use crate::syntax::ast::Operand;
use crate::syntax::token::{Kind, Token};

/// Components of vectors and of special registers such as `%tid`.
const COMPONENTS: &[&str] = &["x", "y", "z", "w", "r", "g", "b", "a"];

impl Parser<'_> {
    /// Operands up to and with `;`. Only a call has groups in parentheses; elsewhere these are
    /// arithmetic.
    pub(super) fn operands(&mut self, call: bool) -> Parsed<Vec<Operand>> {
        let mut operands = Vec::new();
        if self.take(';') {
            return Ok(operands);
        }
        loop {
            if call && self.take('(') {
                operands.push(Operand::Group(self.list(')', Self::operand)?));
            } else {
                operands.push(self.operand()?);
            }
            if self.take(';') {
                return Ok(operands);
            }
            if !self.take(',') {
                return Err(self.unexpected("`,` or `;`"));
            }
        }
    }

    fn operand(&mut self) -> Parsed<Operand> {
        let token = self.token();
        match token.kind {
            Kind::Word if token.text != "WARP_SZ" => self.named(),
            Kind::Mark('[') => self.address(),
            Kind::Mark('{') => {
                self.bump();
                if self.at('}') {
                    return Err(self.unexpected("an operand"));
                }
                self.nested(|parser| parser.list('}', Self::operand)).map(Operand::Vector)
            }
            Kind::Mark('!') => {
                self.bump();
                let name = self.word("a predicate behind `!`")?;
                Ok(Operand::Not(Box::new(Operand::Name(name.text.to_owned()))))
            }
            Kind::Mark('-') if self.ahead(1).kind == Kind::Word => {
                self.bump();
                let word = self.bump();
                let name = self.with_component(word)?;
                Ok(Operand::Negative(Box::new(Operand::Name(name))))
            }
            Kind::Dotted if token.text.starts_with(|c: char| c.is_ascii_digit()) => Err(self
                .unexpected("an operand")
                .with_hint(format!("write a digit before the point, as in `0.{}`", token.text))),
            Kind::Word
            | Kind::Integer(_)
            | Kind::F32(_)
            | Kind::F64(_)
            | Kind::Decimal(_)
            | Kind::Mark('-' | '~' | '(') => self.constant(),
            _ => Err(self.unexpected("an operand")),
        }
    }

    /// An operand that begins with a name: `%r1`, `%tid.x`, `tile+16`, `%p|%q` or `_`.
    fn named(&mut self) -> Parsed<Operand> {
        let first = self.name_or_sink()?;
        if self.take('|') {
            if self.token().kind != Kind::Word {
                return Err(self.unexpected("a register behind `|`"));
            }
            let second = self.name_or_sink()?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        let Operand::Name(name) = first else {
            return Ok(first);
        };
        if self.at('[') {
            return Err(self
                .unexpected("`,` or `;`")
                .with_hint(format!("the address of an element reads `[{name}+4]`, in bytes")));
        }
        Ok(match self.offset("a name")? {
            Some(offset) => Operand::Sum(name, offset),
            None => Operand::Name(name),
        })
    }

    fn name_or_sink(&mut self) -> Parsed<Operand> {
        let word = self.bump();
        if word.text == "_" {
            return Ok(Operand::Sink);
        }
        self.with_component(word).map(Operand::Name)
    }

    /// The name with the `.x` that may follow it.
    fn with_component(&mut self, word: Token<'_>) -> Parsed<String> {
        match self.dotted() {
            None => Ok(word.text.to_owned()),
            Some(component) if COMPONENTS.contains(&component) => {
                self.bump();
                Ok(format!("{}.{component}", word.text))
            }
            Some(component) => Err(self
                .error(format!("`{}` has no component `.{component}`", word.text))
                .with_hint("components are .x, .y, .z and .w")),
        }
    }

    /// `[base+offset, more, ...]`
    fn address(&mut self) -> Parsed<Operand> {
        self.bump();
        let base = match self.token().kind {
            Kind::Word => {
                let word = self.bump();
                Operand::Name(self.with_component(word)?)
            }
            Kind::Integer(_) => Operand::Integer(self.integer()?),
            _ => return Err(self.unexpected("a register, a variable or a number behind `[`")),
        };
        let offset = self.offset("an address")?.unwrap_or(0);
        let more = if self.take(',') {
            self.nested(|parser| parser.list(']', Self::operand))?
        } else if self.take(']') {
            Vec::new()
        } else {
            return Err(self.unexpected("`]`"));
        };
        Ok(Operand::Address { base: Box::new(base), offset, more })
    }
}
