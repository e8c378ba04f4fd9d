//! The words of an instruction, ticked off as they are understood.

use super::Lower;
use crate::error::PtxError;
use crate::syntax::ast::{Instruction, Operand, Type};

/// An instruction whose modifiers are taken one by one; what is left over is not known.
pub(crate) struct Form<'a> {
    /// The instruction.
    pub(crate) instruction: &'a Instruction,
    left: Vec<&'a str>,
}

impl<'a> Form<'a> {
    pub(crate) fn new(instruction: &'a Instruction) -> Form<'a> {
        let left = instruction.modifiers.iter().map(String::as_str).collect();
        Form { instruction, left }
    }

    /// The word before the first dot.
    pub(crate) fn opcode(&self) -> &'a str {
        &self.instruction.opcode
    }

    /// Whether this modifier is there; it is ticked off.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        match self.left.iter().position(|word| *word == modifier) {
            Some(index) => {
                self.left.remove(index);
                true
            }
            None => false,
        }
    }

    /// The first of these modifiers that is there; it is ticked off.
    pub(crate) fn take_one(&mut self, modifiers: &[&str]) -> Option<&'a str> {
        let index = self.left.iter().position(|word| modifiers.contains(word))?;
        Some(self.left.remove(index))
    }

    /// Ticks off the first modifier that `accept` knows.
    pub(crate) fn take_as<T>(&mut self, accept: impl Fn(&str) -> Option<T>) -> Option<T> {
        let (index, value) =
            self.left.iter().enumerate().find_map(|(index, word)| Some((index, accept(word)?)))?;
        self.left.remove(index);
        Some(value)
    }

    /// The first type among the modifiers that are left.
    pub(crate) fn ty(&mut self, lower: &Lower<'_>) -> Result<Type, PtxError> {
        self.take_as(Type::named)
            .ok_or_else(|| lower.fail(format!("`{}` lacks a type", self.text())))
    }

    /// Exactly this many operands.
    pub(crate) fn operands<const N: usize>(
        &self,
        lower: &Lower<'_>,
    ) -> Result<&'a [Operand; N], PtxError> {
        let operands = &self.instruction.operands;
        operands.as_slice().try_into().map_err(|_| {
            lower.fail(format!("`{}` has {} operands, expected {N}", self.text(), operands.len()))
        })
    }

    /// The opcode with all its modifiers, as written.
    pub(crate) fn text(&self) -> String {
        let mut text = self.instruction.opcode.clone();
        for modifier in &self.instruction.modifiers {
            text.push('.');
            text.push_str(modifier);
        }
        text
    }

    /// An instruction or form that this interpreter does not have.
    pub(crate) fn unknown(&self, lower: &Lower<'_>) -> PtxError {
        lower.fail(format!("`{}` is not a form that the interpreter has", self.text()))
    }

    /// Fails where a modifier was not understood.
    pub(crate) fn done(&self, lower: &Lower<'_>) -> Result<(), PtxError> {
        match self.left.first() {
            None => Ok(()),
            Some(word) => Err(lower.fail(format!(
                "`{}`: modifier .{word} is not one that the interpreter has here",
                self.text()
            ))),
        }
    }
}
