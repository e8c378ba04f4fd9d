//! From the tree of a file to code: statements, calls, and where branches go.

mod call;

use crate::class::Class;
use crate::error::PtxError;
use crate::isa::{Lowered, lower_instruction};
use crate::lower::{Form, Lower, Symbol};
use crate::param::Param;
use crate::program::{Action, Code, Step};
use crate::syntax::ast::{File, Function, Instruction, Item, Space, Statement, Variable};

/// Lowers an `.entry` with all that it calls.
pub(crate) fn lower_function(
    file_name: &str,
    file: &File,
    function: &Function,
    params: &[Param],
) -> Result<Code, PtxError> {
    let mut lower = Lower::new(file_name, file);
    for item in &file.items {
        if let Item::Variable(variable) = item {
            let symbol = match variable.space {
                Space::Shared => Symbol::ModuleShared(variable.clone()),
                _ => Symbol::Module { space: variable.space },
            };
            lower.declare(&variable.name, symbol);
        }
    }
    lower.enter();
    for param in params {
        lower.declare(&param.name, Symbol::Param { offset: u64::from(param.offset) });
    }
    let end = lower.new_label();
    lower.returns.push(None);
    lower.block(function.body.as_deref().unwrap_or(&[]))?;
    lower.place_label(end);
    lower.leave();
    lower.finish(function)
}

impl<'a> Lower<'a> {
    /// Lowers the statements of a scope.
    pub(crate) fn block(&mut self, statements: &'a [Statement]) -> Result<(), PtxError> {
        self.enter();
        for statement in statements {
            match statement {
                Statement::Label(name, span) => {
                    let label = self.new_label();
                    self.declare_label(name, *span, Symbol::Label(label))?;
                }
                Statement::Targets { name, labels, span } => {
                    self.declare_label(name, *span, Symbol::Targets(labels.clone()))?;
                }
                _ => {}
            }
        }
        for statement in statements {
            match statement {
                Statement::Registers { ty, vector, names, span } => {
                    if *vector != 1 {
                        return Err(self.error(*span, "vector registers, expected scalars"));
                    }
                    for (name, count) in names {
                        match count {
                            None => self.declare_register(name, *ty),
                            Some(count) => (0..*count).for_each(|index| {
                                self.declare_register(&format!("{name}{index}"), *ty);
                            }),
                        }
                    }
                }
                Statement::Variable(variable) => self.variable(variable)?,
                Statement::Label(name, _) => {
                    let label = self.label_named(name)?;
                    self.place_label(label);
                }
                Statement::Targets { .. } => {}
                Statement::UsedBytes(mask) => self.used_bytes = Some(*mask),
                Statement::Instruction(instruction) => self.instruction(instruction)?,
                Statement::Block(inner) => self.block(inner)?,
            }
        }
        self.leave();
        Ok(())
    }

    /// A variable declared in a body.
    fn variable(&mut self, variable: &Variable) -> Result<(), PtxError> {
        let (bytes, align) = (variable.bytes(), variable.alignment());
        let symbol = match variable.space {
            Space::Shared if variable.external => Symbol::ModuleShared(variable.clone()),
            Space::Shared => Symbol::Shared { offset: self.place_shared(bytes, align) },
            // Parameters of calls live with the locals of the thread.
            Space::Local | Space::Param => Symbol::Local { offset: self.place_local(bytes, align) },
            _ => {
                let message =
                    format!("variable {} in a body, expected .shared or .local", variable.name);
                return Err(self.error(variable.span, &message));
            }
        };
        self.declare(&variable.name, symbol);
        Ok(())
    }

    fn instruction(&mut self, instruction: &'a Instruction) -> Result<(), PtxError> {
        self.begin(instruction.span);
        if instruction.opcode == "call" {
            return self.call(instruction);
        }
        let guard = match &instruction.guard {
            Some((name, negated)) => Some((self.predicate_named(name)?, *negated)),
            None => None,
        };
        let mut form = Form::new(instruction);
        let Lowered { action, class } = lower_instruction(self, &mut form)?;
        form.done(self)?;
        if self.used_bytes.take().is_some() {
            return Err(self.fail("`used_bytes_mask` stands before a load, expected `ld` here"));
        }
        self.emit(guard, action, class);
        Ok(())
    }

    fn finish(mut self, function: &Function) -> Result<Code, PtxError> {
        // Falling off the end is an exit.
        self.begin(function.span);
        self.emit(None, Action::Exit, Class::Control);
        let places = std::mem::take(&mut self.labels);
        let mut steps: Vec<Step> = std::mem::take(&mut self.steps);
        for step in &mut steps {
            match &mut step.action {
                Action::Branch(target) => *target = places[*target],
                Action::BranchIndexed(_, targets) => {
                    targets.iter_mut().for_each(|target| *target = places[*target]);
                }
                _ => {}
            }
        }
        Ok(self.into_code(steps))
    }
}
