//! Bodies: declarations, labels, scopes, instructions.

use super::{Parsed, Parser};
use crate::error::PtxError;
use crate::syntax::ast::{Instruction, Space, Statement};
use crate::syntax::token::Kind;

/// Directives that a body may not hold, each with the way out.
const REFUSED: &[(&str, &str)] = &[
    ("branchtargets", "a list of targets has a label in front of it"),
    ("calltargets", "calls through a pointer are not supported; call a function by its name"),
    ("callprototype", "calls through a pointer are not supported; call a function by its name"),
    ("extern", "declare it at module level"),
    ("visible", "declare it at module level"),
    ("weak", "declare it at module level"),
    ("entry", "functions do not nest; is a `}` missing further up"),
    ("func", "functions do not nest; is a `}` missing further up"),
    ("align", "`.align` stands behind the state space, as in `.shared .align 16 .b8 tile[64]`"),
    ("maxntid", "launch directives stand between the parameters and the body"),
    ("reqntid", "launch directives stand between the parameters and the body"),
    ("minnctapersm", "launch directives stand between the parameters and the body"),
    ("maxnreg", "launch directives stand between the parameters and the body"),
];

impl Parser<'_> {
    /// `{ ... }`
    pub(super) fn block(&mut self) -> Parsed<Vec<Statement>> {
        let open = self.bump().span.line;
        self.nested(|parser| {
            let mut statements = Vec::new();
            while !parser.take('}') {
                if parser.token().kind == Kind::End {
                    let hint = format!("the `{{` of line {open} is not closed");
                    return Err(parser.unexpected("`}`").with_hint(hint));
                }
                parser.statement(&mut statements)?;
            }
            Ok(statements)
        })
    }

    /// One statement, which may declare several variables or nothing.
    fn statement(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        let token = self.token();
        let statement = match token.kind {
            Kind::Mark('{') => Statement::Block(self.block()?),
            Kind::Mark('@') => Statement::Instruction(self.instruction()?),
            Kind::Word if self.ahead(1).kind == Kind::Mark(':') => {
                self.next += 2;
                let name = token.text.to_owned();
                match self.token() {
                    list if list.kind == Kind::Dotted && list.text == "branchtargets" => {
                        self.bump();
                        let labels = self.targets()?;
                        Statement::Targets { name, labels, span: token.span }
                    }
                    _ => Statement::Label(name, token.span),
                }
            }
            Kind::Word => Statement::Instruction(self.instruction()?),
            Kind::Dotted => return self.directive(statements),
            Kind::Mark(';') => {
                return Err(self
                    .error("an empty statement")
                    .with_hint("take the `;` away; labels and `}` have none behind them"));
            }
            _ => return Err(self.unexpected("a statement")),
        };
        statements.push(statement);
        Ok(())
    }

    /// `A, B, C;` of `.branchtargets`
    fn targets(&mut self) -> Parsed<Vec<String>> {
        let mut labels = Vec::new();
        loop {
            labels.push(self.word("a label")?.text.to_owned());
            if self.take(';') {
                return Ok(labels);
            }
            self.expect(',', "between labels")?;
        }
    }

    /// A statement that begins with a dot.
    fn directive(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        let token = self.token();
        let space = match token.text {
            "reg" => {
                self.bump();
                let registers = self.registers(token.span)?;
                statements.push(registers);
                return Ok(());
            }
            "loc" => return self.skip_loc(),
            "pragma" => {
                statements.extend(self.pragma()?.map(Statement::UsedBytes));
                return Ok(());
            }
            "shared" => Space::Shared,
            "local" => Space::Local,
            "param" => Space::Param,
            "global" => Space::Global,
            "const" => Space::Const,
            name => return Err(self.no_directive(name)),
        };
        self.bump();
        let variables = self.variables(space, false)?;
        statements.extend(variables.into_iter().map(Statement::Variable));
        Ok(())
    }

    fn no_directive(&self, name: &str) -> PtxError {
        match REFUSED.iter().find(|row| row.0 == name) {
            Some((_, hint)) => {
                self.error(format!("`.{name}` may not stand in a body")).with_hint(*hint)
            }
            None => self.error(format!("`.{name}` is not a directive of a body")).with_hint(
                "known are .reg, .shared, .local, .param, .global, .const, .loc and .pragma",
            ),
        }
    }

    /// `@!%p opcode.modifier.type operand, operand;`
    fn instruction(&mut self) -> Parsed<Instruction> {
        let guard = if self.take('@') {
            let negated = self.take('!');
            Some((self.word("a predicate behind `@`")?.text.to_owned(), negated))
        } else {
            None
        };
        let opcode = self.token();
        if opcode.kind != Kind::Word || !opcode.text.starts_with(|c: char| c.is_ascii_lowercase()) {
            let error = self.unexpected("an instruction");
            return Err(match opcode.kind {
                Kind::Word => error.with_hint("a label ends with `:`"),
                _ => error,
            });
        }
        self.bump();
        let mut modifiers = Vec::new();
        while let Some(modifier) = self.dotted() {
            modifiers.push(modifier.to_owned());
            self.bump();
        }
        let operands = self.operands(opcode.text == "call")?;
        let (opcode, span) = (opcode.text.to_owned(), opcode.span);
        Ok(Instruction { guard, opcode, modifiers, operands, span })
    }
}
