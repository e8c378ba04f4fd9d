//! The tree that the parser makes of a PTX file: what is written, before any name is resolved.

use std::fmt;

/// Where something stands in the file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A whole PTX file.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// `.version`, major and minor.
    pub version: (u32, u32),
    /// `.target` as written, first name only, such as `sm_80`.
    pub target: String,
    /// `.address_size`: 32 or 64; 64 where the file does not say.
    pub address_size: u32,
    /// Variables and functions in the order of the file.
    pub items: Vec<Item>,
}

/// What may stand outside a function.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A `.global`, `.const` or `.shared` variable of the module.
    Variable(Variable),
    /// An `.entry` or a `.func`.
    Function(Function),
}

/// A state space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Device memory.
    Global,
    /// Memory of a CTA.
    Shared,
    /// Memory of a thread.
    Local,
    /// Kernel parameters.
    Param,
    /// Constant bank.
    Const,
    /// A register: a parameter or return value that a `.func` declares with `.reg`.
    Reg,
    /// No space named: the address itself tells.
    Generic,
}

/// A fundamental type, without its leading dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are PTX's own")]
pub enum Type {
    B8,
    B16,
    B32,
    B64,
    B128,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    Bf16,
    Bf16x2,
    Tf32,
    F32,
    F64,
    Pred,
}

impl Type {
    /// The type of this name (no dot), if there is one.
    pub fn named(name: &str) -> Option<Type> {
        Some(match name {
            "b8" => Type::B8,
            "b16" => Type::B16,
            "b32" => Type::B32,
            "b64" => Type::B64,
            "b128" => Type::B128,
            "u8" => Type::U8,
            "u16" => Type::U16,
            "u32" => Type::U32,
            "u64" => Type::U64,
            "s8" => Type::S8,
            "s16" => Type::S16,
            "s32" => Type::S32,
            "s64" => Type::S64,
            "f16" => Type::F16,
            "f16x2" => Type::F16x2,
            "bf16" => Type::Bf16,
            "bf16x2" => Type::Bf16x2,
            "tf32" => Type::Tf32,
            "f32" => Type::F32,
            "f64" => Type::F64,
            "pred" => Type::Pred,
            _ => return None,
        })
    }

    /// Its name as PTX writes it, without the dot.
    pub fn name(self) -> &'static str {
        match self {
            Type::B8 => "b8",
            Type::B16 => "b16",
            Type::B32 => "b32",
            Type::B64 => "b64",
            Type::B128 => "b128",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F16 => "f16",
            Type::F16x2 => "f16x2",
            Type::Bf16 => "bf16",
            Type::Bf16x2 => "bf16x2",
            Type::Tf32 => "tf32",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Pred => "pred",
        }
    }

    /// Bytes that a value of it takes in memory; a predicate takes none.
    pub fn bytes(self) -> u32 {
        match self {
            Type::Pred => 0,
            Type::B8 | Type::U8 | Type::S8 => 1,
            Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => 2,
            Type::B64 | Type::U64 | Type::S64 | Type::F64 => 8,
            Type::B128 => 16,
            _ => 4,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.name())
    }
}

/// A variable in memory, a kernel parameter or a function's parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Where it lives.
    pub space: Space,
    /// `.align` in bytes, where given.
    pub align: Option<u32>,
    /// Type of an element.
    pub ty: Type,
    /// 1, 2 or 4, from `.v2` and `.v4`.
    pub vector: u32,
    /// Its name.
    pub name: String,
    /// Array extents, outermost first; `None` for `[]`. Empty for a scalar.
    pub extents: Vec<Option<u64>>,
    /// Values written with it.
    pub init: Option<Init>,
    /// `.extern`: its storage, or its size, comes from outside.
    pub external: bool,
    /// Where it is declared.
    pub span: Span,
}

impl Variable {
    /// Bytes that it takes; an extent that is left open counts none.
    pub fn bytes(&self) -> u64 {
        let each = u64::from(self.ty.bytes() * self.vector);
        each * self.extents.iter().map(|extent| extent.unwrap_or(0)).product::<u64>()
    }

    /// Its alignment in bytes.
    pub fn alignment(&self) -> u32 {
        self.align.unwrap_or(self.ty.bytes() * self.vector).max(1)
    }
}

/// Initial values of a variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Init {
    /// `{ ... }`, nested for arrays of arrays.
    List(Vec<Init>),
    /// A number.
    Value(Operand),
    /// The address of another variable, with `generic(name)` or plain, and an offset.
    Address {
        /// Whose address.
        name: String,
        /// Bytes added to it.
        offset: i64,
        /// Written as `generic(name)`.
        generic: bool,
    },
}

/// An `.entry` or `.func`.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// An `.entry`, which the host may launch.
    pub entry: bool,
    /// Its name.
    pub name: String,
    /// Parameters in order, all in `Space::Param` (or `Space::Reg`, for a `.func` that says so).
    pub params: Vec<Variable>,
    /// Return values of a `.func`.
    pub returns: Vec<Variable>,
    /// `.maxntid` and its like, in order.
    pub directives: Vec<Directive>,
    /// The body; a declaration has none.
    pub body: Option<Vec<Statement>>,
    /// Where its name stands.
    pub span: Span,
}

/// A performance or launch directive, such as `.maxntid 128, 1, 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Name without the dot.
    pub name: String,
    /// Its numbers.
    pub values: Vec<u32>,
    /// Where it stands.
    pub span: Span,
}

/// What may stand in a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `.reg` of one type.
    Registers {
        /// Their type.
        ty: Type,
        /// 1, 2 or 4, from `.v2` and `.v4`.
        vector: u32,
        /// Each name with its count: `%r<5>` is `("%r", Some(5))`, standing for `%r0` to `%r4`.
        names: Vec<(String, Option<u32>)>,
        /// Where the declaration stands.
        span: Span,
    },
    /// `.shared`, `.local`, `.param` and so on.
    Variable(Variable),
    /// `NAME:`.
    Label(String, Span),
    /// `NAME: .branchtargets A, B;`, the list that `brx.idx` picks from.
    Targets {
        /// What `brx.idx` calls it.
        name: String,
        /// Its labels in order.
        labels: Vec<String>,
        /// Where it stands.
        span: Span,
    },
    /// `.pragma "used_bytes_mask N";`: a bit for each byte of the next load whose value matters.
    UsedBytes(u16),
    /// An instruction.
    Instruction(Instruction),
    /// `{ ... }`, a scope of its own.
    Block(Vec<Statement>),
}

/// An instruction as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// `@%p` or `@!%p`: the register, and whether it is negated.
    pub guard: Option<(String, bool)>,
    /// The word before the first dot, such as `ld`.
    pub opcode: String,
    /// The words after it in order, without dots, such as `global`, `L1::no_allocate`, `v4`, `f32`.
    pub modifiers: Vec<String>,
    /// Operands in order.
    pub operands: Vec<Operand>,
    /// Where the opcode stands.
    pub span: Span,
}

/// An operand as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A register, label, variable or special register; `%tid.x` is one name.
    Name(String),
    /// An integer; negative numbers in two's complement.
    Integer(i128),
    /// `0f3F800000`: the bits.
    F32(u32),
    /// `0d3FF0000000000000`, or a decimal number such as `1.5`: the bits.
    F64(u64),
    /// `{a, b}`.
    Vector(Vec<Operand>),
    /// `[base+offset]`, and `[base+offset, {coordinates}]` or `[base, [mbarrier]]`-like forms with
    /// more inside.
    Address {
        /// A register, variable or integer.
        base: Box<Operand>,
        /// Bytes added to it.
        offset: i64,
        /// What follows a comma inside the brackets.
        more: Vec<Operand>,
    },
    /// `%p|%q`.
    Pair(Box<Operand>, Box<Operand>),
    /// `!%p`.
    Not(Box<Operand>),
    /// `-%r`, which a few forms allow.
    Negative(Box<Operand>),
    /// `name+4`, an address as a value.
    Sum(String, i64),
    /// `(a, b)` of a call.
    Group(Vec<Operand>),
    /// `_`.
    Sink,
}
