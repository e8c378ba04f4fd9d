//! Names and what they stand for while a kernel is lowered.

use std::collections::HashMap;

use crate::class::Class;
use crate::error::PtxError;
use crate::machine::registers::{Plane, Predicate};
use crate::program::{Action, Code, Special, Step};
use crate::syntax::ast::{File, Function, Item, Space, Span, Type, Variable};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(crate) enum Symbol {
    /// A register; `plane` is the first of two for 64 bits.
    Register { plane: Plane, ty: Type },
    /// A predicate register.
    Predicate(Predicate),
    /// A kernel parameter, by its place in the parameter block.
    Param { offset: u64 },
    /// Shared memory of the CTA.
    Shared { offset: u64 },
    /// Shared memory of the module, placed when it is first named.
    ModuleShared(Variable),
    /// Local memory of the thread.
    Local { offset: u64 },
    /// A `.global` or `.const` variable of the module.
    Module { space: Space },
    /// A place in the code.
    Label(usize),
    /// Places that `brx.idx` picks from.
    Targets(Vec<String>),
}

/// A kernel on its way to code.
pub(crate) struct Lower<'a> {
    file_name: String,
    pub(crate) file: &'a File,
    scopes: Vec<HashMap<String, Symbol>>,
    /// Functions that are being inlined, innermost last, and the label after each call.
    pub(crate) calls: Vec<String>,
    pub(crate) returns: Vec<Option<usize>>,
    pub(crate) steps: Vec<Step>,
    /// The step at which each label stands.
    pub(crate) labels: Vec<usize>,
    planes: usize,
    predicates: usize,
    plane_names: Vec<String>,
    predicate_names: Vec<String>,
    constants: HashMap<u64, Plane>,
    narrow_constants: HashMap<u32, Plane>,
    specials: HashMap<Special, Plane>,
    addresses: HashMap<(String, i64), Plane>,
    /// Planes that hold the start of dynamic shared memory plus an offset.
    dynamic: HashMap<i64, Plane>,
    dynamic_align: u32,
    /// The carry flag, once an instruction has used it.
    carry: Option<Predicate>,
    shared_bytes: u64,
    local_bytes: u64,
    /// What `.pragma "used_bytes_mask"` says of the load that follows it.
    pub(crate) used_bytes: Option<u16>,
    // What the present instruction touches.
    span: Span,
    pub(crate) reads: Vec<Plane>,
    pub(super) read_predicates: Vec<Predicate>,
    pub(crate) writes: Vec<Plane>,
    pub(super) write_predicates: Vec<Predicate>,
}

impl<'a> Lower<'a> {
    pub(crate) fn new(file_name: &str, file: &'a File) -> Lower<'a> {
        Lower {
            file_name: file_name.to_owned(),
            file,
            scopes: vec![HashMap::new()],
            calls: Vec::new(),
            returns: Vec::new(),
            steps: Vec::new(),
            labels: Vec::new(),
            planes: 0,
            predicates: 0,
            plane_names: Vec::new(),
            predicate_names: Vec::new(),
            constants: HashMap::new(),
            narrow_constants: HashMap::new(),
            specials: HashMap::new(),
            addresses: HashMap::new(),
            dynamic: HashMap::new(),
            dynamic_align: 16,
            carry: None,
            shared_bytes: 0,
            local_bytes: 0,
            used_bytes: None,
            span: Span::default(),
            reads: Vec::new(),
            read_predicates: Vec::new(),
            writes: Vec::new(),
            write_predicates: Vec::new(),
        }
    }

    /// An error at a place.
    pub(crate) fn error(&self, span: Span, message: &str) -> PtxError {
        PtxError::new(&self.file_name, span, message)
    }

    /// An error at the present instruction.
    pub(crate) fn fail(&self, message: impl AsRef<str>) -> PtxError {
        self.error(self.span, message.as_ref())
    }

    pub(crate) fn enter(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub(crate) fn leave(&mut self) {
        self.scopes.pop();
    }

    /// Hides all scopes but the module's, for the body of a function; gives them for later.
    pub(crate) fn hide_scopes(&mut self) -> Vec<HashMap<String, Symbol>> {
        self.scopes.split_off(1)
    }

    /// Brings hidden scopes back in place of those that are there.
    pub(crate) fn restore_scopes(&mut self, hidden: Vec<HashMap<String, Symbol>>) {
        self.scopes.truncate(1);
        self.scopes.extend(hidden);
    }

    pub(crate) fn declare(&mut self, name: &str, symbol: Symbol) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned(), symbol);
        }
    }

    /// Declares a label of the innermost scope, once.
    pub(crate) fn declare_label(
        &mut self,
        name: &str,
        span: Span,
        symbol: Symbol,
    ) -> Result<(), PtxError> {
        if self.scopes.last().is_some_and(|scope| scope.contains_key(name)) {
            return Err(self.error(span, &format!("label {name} is declared twice")));
        }
        self.declare(name, symbol);
        Ok(())
    }

    pub(crate) fn declare_register(&mut self, name: &str, ty: Type) {
        let symbol = match ty {
            Type::Pred => Symbol::Predicate(self.new_predicate(name)),
            _ => Symbol::Register { plane: self.new_planes(name, planes_of(ty)), ty },
        };
        self.declare(name, symbol);
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<&Symbol> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&'a Function> {
        self.file.items.iter().find_map(|item| match item {
            Item::Function(function) if function.name == name && function.body.is_some() => {
                Some(function)
            }
            _ => None,
        })
    }

    pub(crate) fn new_label(&mut self) -> usize {
        self.labels.push(usize::MAX);
        self.labels.len() - 1
    }

    pub(crate) fn place_label(&mut self, label: usize) {
        self.labels[label] = self.steps.len();
    }

    pub(crate) fn new_planes(&mut self, name: &str, count: usize) -> Plane {
        let first = self.planes as Plane;
        self.planes += count;
        self.plane_names.resize(self.planes, name.to_owned());
        first
    }

    pub(crate) fn new_predicate(&mut self, name: &str) -> Predicate {
        self.predicates += 1;
        self.predicate_names.push(name.to_owned());
        (self.predicates - 1) as Predicate
    }

    /// The carry flag as a source.
    pub(crate) fn src_carry(&mut self) -> Predicate {
        let carry = self.carry();
        self.read_predicates.push(carry);
        carry
    }

    /// The carry flag as a destination.
    pub(crate) fn dst_carry(&mut self) -> Predicate {
        let carry = self.carry();
        self.write_predicates.push(carry);
        carry
    }

    fn carry(&mut self) -> Predicate {
        if let Some(carry) = self.carry {
            return carry;
        }
        let carry = self.new_predicate("CC.CF");
        self.carry = Some(carry);
        carry
    }

    /// A plane that holds a constant.
    pub(crate) fn constant32(&mut self, value: u32) -> Plane {
        if let Some(plane) = self.narrow_constants.get(&value) {
            return *plane;
        }
        let plane = self.new_planes("a constant", 1);
        self.narrow_constants.insert(value, plane);
        plane
    }

    /// Two planes that hold a constant.
    pub(crate) fn constant64(&mut self, value: u64) -> Plane {
        if let Some(plane) = self.constants.get(&value) {
            return *plane;
        }
        let plane = self.new_planes("a constant", 2);
        self.constants.insert(value, plane);
        plane
    }

    /// The plane of a special register.
    pub(crate) fn special(&mut self, special: Special) -> Plane {
        if let Some(plane) = self.specials.get(&special) {
            return *plane;
        }
        let plane = self.new_planes("a special register", 1);
        self.specials.insert(special, plane);
        plane
    }

    /// Two planes that hold the address of a module's variable.
    pub(crate) fn module_address(&mut self, name: &str, offset: i64) -> Plane {
        let key = (name.to_owned(), offset);
        if let Some(plane) = self.addresses.get(&key) {
            return *plane;
        }
        let plane = self.new_planes(name, 2);
        self.addresses.insert(key, plane);
        plane
    }

    /// Two planes that hold the offset of a module's shared variable.
    pub(crate) fn module_shared(&mut self, variable: &Variable, offset: i64) -> Plane {
        let (bytes, align) = (variable.bytes(), variable.alignment());
        if variable.external {
            self.dynamic_align = self.dynamic_align.max(align);
            if let Some(plane) = self.dynamic.get(&offset) {
                return *plane;
            }
            let plane = self.new_planes(&variable.name, 2);
            self.dynamic.insert(offset, plane);
            return plane;
        }
        let at = self.place_shared(bytes, align);
        self.scopes[0].insert(variable.name.clone(), Symbol::Shared { offset: at });
        self.constant64(at.wrapping_add_signed(offset))
    }

    pub(crate) fn place_shared(&mut self, bytes: u64, align: u32) -> u64 {
        let at = self.shared_bytes.next_multiple_of(u64::from(align));
        self.shared_bytes = at + bytes;
        at
    }

    pub(crate) fn place_local(&mut self, bytes: u64, align: u32) -> u64 {
        let at = self.local_bytes.next_multiple_of(u64::from(align));
        self.local_bytes = at + bytes;
        at
    }

    /// Starts an instruction: nothing is read or written yet.
    pub(crate) fn begin(&mut self, span: Span) {
        self.span = span;
        self.reads.clear();
        self.read_predicates.clear();
        self.writes.clear();
        self.write_predicates.clear();
    }

    /// Adds the present instruction to the code.
    pub(crate) fn emit(&mut self, guard: Option<(Predicate, bool)>, action: Action, class: Class) {
        self.steps.push(Step {
            guard,
            action,
            reads: self.reads.as_slice().into(),
            read_predicates: self.read_predicates.as_slice().into(),
            writes: self.writes.as_slice().into(),
            write_predicates: self.write_predicates.as_slice().into(),
            class,
            line: self.span.line,
        });
    }

    pub(crate) fn into_code(self, steps: Vec<Step>) -> Code {
        let shared = self.shared_bytes.next_multiple_of(u64::from(self.dynamic_align));
        let shared = if self.dynamic.is_empty() { self.shared_bytes } else { shared };
        let mut constants: Vec<(Plane, u32)> =
            self.narrow_constants.iter().map(|(&value, &plane)| (plane, value)).collect();
        let dynamic = self
            .dynamic
            .iter()
            .map(|(&offset, &plane)| (shared.wrapping_add_signed(offset), plane));
        let wide = self.constants.iter().map(|(&value, &plane)| (value, plane));
        for (value, plane) in wide.chain(dynamic) {
            constants.push((plane, value as u32));
            constants.push((plane + 1, (value >> 32) as u32));
        }
        let addresses =
            self.addresses.into_iter().map(|((name, offset), plane)| (plane, name, offset));
        Code {
            steps,
            planes: self.planes,
            predicates: self.predicates,
            constants,
            addresses: addresses.collect(),
            specials: self.specials.into_iter().map(|(special, plane)| (plane, special)).collect(),
            plane_names: self.plane_names,
            predicate_names: self.predicate_names,
            shared_bytes: shared as u32,
            local_bytes: self.local_bytes as u32,
        }
    }
}

/// Planes that a register of a type takes.
pub(crate) fn planes_of(ty: Type) -> usize {
    ty.bytes().div_ceil(4).max(1) as usize
}
