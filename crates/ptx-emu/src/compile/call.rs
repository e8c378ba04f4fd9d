//! `call`: the body of the function is put in place of the call.
//!
//! Parameters in `.param` space share the storage of the caller's variable; those in registers are
//! copied. A function that calls itself is put in place to a depth; deeper is a fault when it runs.

use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Lower, Symbol, planes_of};
use crate::machine::access::Access;
use crate::machine::registers::{Plane, Registers};
use crate::program::{Action, Flow};
use crate::syntax::ast::{Instruction, Operand, Space, Statement, Type, Variable};

/// How often a function that calls itself once may stand inside itself.
const DEPTH: usize = 16;
/// Copies of a function that calls itself at several places: their number grows as a power.
const MOST_COPIES: usize = 4096;

impl<'a> Lower<'a> {
    pub(crate) fn call(&mut self, instruction: &'a Instruction) -> Result<(), PtxError> {
        if instruction.modifiers.iter().any(|modifier| modifier != "uni") {
            return Err(self.fail("expected `call` or `call.uni`"));
        }
        let (returns, rest) = match instruction.operands.split_first() {
            Some((Operand::Group(returns), rest)) => (returns.as_slice(), rest),
            _ => (&[][..], instruction.operands.as_slice()),
        };
        let (name, args) = match rest {
            [Operand::Name(name)] => (name, &[][..]),
            [Operand::Name(name), Operand::Group(args)] => (name, args.as_slice()),
            _ => return Err(self.fail("expected `call (results), function, (arguments)`")),
        };
        let Some(function) = self.function(name) else {
            return Err(self.fail(format!("no function `{name}` with a body in this file")));
        };
        let inside = self.calls.iter().filter(|caller| *caller == name).count();
        if inside > 0 && inside == depth(function.body.as_deref().unwrap_or(&[]), name) {
            return self.too_deep(name, instruction, inside);
        }
        if args.len() != function.params.len() || returns.len() != function.returns.len() {
            return Err(self.fail(format!(
                "`{name}` takes {} arguments and gives {} results, got {} and {}",
                function.params.len(),
                function.returns.len(),
                args.len(),
                returns.len()
            )));
        }
        let over = self.new_label();
        if let Some((guard, negated)) = &instruction.guard {
            let guard = self.predicate_named(guard)?;
            self.emit(Some((guard, !negated)), Action::Branch(over), Class::Control);
        }
        let mut bound = Vec::new();
        for (formal, actual) in function.params.iter().zip(args) {
            bound.push((formal.name.as_str(), self.bind(formal, actual)?));
        }
        let mut results = Vec::new();
        for (formal, actual) in function.returns.iter().zip(returns) {
            let symbol = match formal.space {
                Space::Param => self.bind(formal, actual)?,
                _ => {
                    let plane = self.new_planes(&formal.name, planes_of(formal.ty));
                    let to = self.dst(actual, formal.ty)?;
                    results.push((to, plane, formal.ty));
                    Symbol::Register { plane, ty: formal.ty }
                }
            };
            bound.push((formal.name.as_str(), symbol));
        }
        let hidden = self.hide_scopes();
        self.enter();
        for (name, symbol) in bound {
            self.declare(name, symbol);
        }
        let end = self.new_label();
        self.calls.push(name.clone());
        self.returns.push(Some(end));
        self.block(function.body.as_deref().unwrap_or(&[]))?;
        self.returns.pop();
        self.calls.pop();
        self.place_label(end);
        self.restore_scopes(hidden);
        for (to, from, ty) in results {
            self.begin(instruction.span);
            self.copy(to, from, ty);
        }
        self.place_label(over);
        Ok(())
    }

    /// A call that only runs when the recursion is deeper than what was put in place.
    fn too_deep(
        &mut self,
        name: &str,
        instruction: &Instruction,
        depth: usize,
    ) -> Result<(), PtxError> {
        let guard = match &instruction.guard {
            Some((guard, negated)) => Some((self.predicate_named(guard)?, *negated)),
            None => None,
        };
        let detail = format!("`{name}` inside itself, expected at most {depth} deep");
        let body = move |access: &mut Access<'_>| -> Result<Flow, Trouble> {
            let lane = access.mask.trailing_zeros();
            Err(Trouble::at(FaultKind::Unsupported, lane, detail.clone()))
        };
        self.emit(guard, Action::Access(Box::new(body)), Class::Control);
        Ok(())
    }

    /// What a formal parameter stands for in this call.
    fn bind(&mut self, formal: &Variable, actual: &Operand) -> Result<Symbol, PtxError> {
        if let Operand::Name(name) = actual
            && let Some(symbol @ Symbol::Local { .. }) = self.lookup(name)
            && formal.space == Space::Param
        {
            return Ok(symbol.clone());
        }
        if formal.space == Space::Param {
            let message = format!("argument {} is not a .param variable", formal.name);
            return Err(self.fail(message));
        }
        let from = self.src(actual, formal.ty)?;
        let plane = self.new_planes(&formal.name, planes_of(formal.ty));
        self.copy(plane, from, formal.ty);
        Ok(Symbol::Register { plane, ty: formal.ty })
    }

    fn copy(&mut self, to: Plane, from: Plane, ty: Type) {
        let planes = planes_of(ty) as Plane;
        self.reads = (from..from + planes).collect();
        self.writes = (to..to + planes).collect();
        let body = move |registers: &mut Registers, mask| {
            for step in 0..planes {
                let value = *registers.plane(from + step);
                registers.set_plane(to + step, mask, &value);
            }
        };
        self.emit(None, Action::Lanes(Box::new(body)), Class::Move);
    }
}

/// How often `name` with this body may stand inside itself.
fn depth(body: &[Statement], name: &str) -> usize {
    let sites = calls_of(body, name);
    let copies = |depth: u32| sites.checked_pow(depth).unwrap_or(usize::MAX);
    (1..=DEPTH as u32).take_while(|&depth| copies(depth) <= MOST_COPIES).count().max(1)
}

/// Places where `name` is called.
fn calls_of(body: &[Statement], name: &str) -> usize {
    let named = |operand: &Operand| matches!(operand, Operand::Name(other) if other == name);
    body.iter()
        .map(|statement| match statement {
            Statement::Block(inner) => calls_of(inner, name),
            Statement::Instruction(instruction) if instruction.opcode == "call" => {
                usize::from(instruction.operands.iter().any(named))
            }
            _ => 0,
        })
        .sum()
}
