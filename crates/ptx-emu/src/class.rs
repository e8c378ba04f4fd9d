//! Kinds of instructions.

/// Kinds of instructions that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Integer arithmetic and logic.
    Integer,
    /// f32 arithmetic; a fused multiply-add counts two operations.
    Float,
    /// f32 fused multiply-add.
    Fma,
    /// f16 and bf16 arithmetic.
    Half,
    /// f64 arithmetic.
    Double,
    /// Reciprocals, roots, exponentials and the like.
    Special,
    /// Conversions.
    Convert,
    /// Moves, selects and address conversions.
    Move,
    /// Loads, stores, atomics and copies.
    Memory,
    /// Branches, exits.
    Control,
    /// Barriers, fences.
    Sync,
    /// Shuffles, votes and matches.
    Shuffle,
    /// Products of tensor cores.
    Matrix,
}

impl Class {
    /// All classes in the order of their display.
    pub(crate) const ALL: [Class; 13] = [
        Class::Integer,
        Class::Float,
        Class::Fma,
        Class::Half,
        Class::Double,
        Class::Special,
        Class::Convert,
        Class::Move,
        Class::Memory,
        Class::Control,
        Class::Sync,
        Class::Shuffle,
        Class::Matrix,
    ];

    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Integer => "integer",
            Class::Float => "float",
            Class::Fma => "fma",
            Class::Half => "half",
            Class::Double => "double",
            Class::Special => "special",
            Class::Convert => "convert",
            Class::Move => "move",
            Class::Memory => "memory",
            Class::Control => "control",
            Class::Sync => "sync",
            Class::Shuffle => "shuffle",
            Class::Matrix => "matrix",
        }
    }
}
