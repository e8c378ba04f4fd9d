//! What a launch, or a host call, can fail with.

use std::fmt;

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// An access outside every allocation, or past the end of one.
    OutOfBounds,
    /// An address that is not a multiple of the access's size.
    Misaligned,
    /// An access to memory that was freed.
    UseAfterFree,
    /// A read of memory or of a register that nothing has written.
    Uninitialised,
    /// Two warps, or two lanes, touch the same shared memory without a barrier between.
    SharedRace,
    /// Two CTAs touch the same global memory without synchronisation.
    GlobalRace,
    /// Lanes of a warp wait at different barriers, or at a barrier that others cannot reach.
    BarrierDivergence,
    /// Every warp waits for something that cannot come.
    Deadlock,
    /// `trap`, or a failed device-side check.
    Trap,
    /// The launch itself is not possible: sizes, arguments, limits of the device.
    Launch,
    /// The launch ran past [`Options::instruction_limit`](crate::Options::instruction_limit).
    Limit,
    /// An operand that this interpreter, or the hardware, does not take at run time.
    Unsupported,
    /// A host call on memory that is not there, or no memory left.
    Memory,
}

/// A failed launch or host call: where, and what was expected and got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The category.
    pub kind: FaultKind,
    /// The PTX file.
    pub file: Option<String>,
    /// The kernel.
    pub kernel: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// The CTA, `%ctaid`.
    pub cta: Option<[u32; 3]>,
    /// The warp of the CTA.
    pub warp: Option<u32>,
    /// The lane of the warp.
    pub lane: Option<u32>,
    /// What happened.
    pub detail: String,
}

impl Fault {
    /// A fault of the host's side.
    pub(crate) fn host(kind: FaultKind, detail: impl Into<String>) -> Fault {
        Fault {
            kind,
            file: None,
            kernel: None,
            line: None,
            cta: None,
            warp: None,
            lane: None,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            write!(f, " ")?;
        }
        if let Some(kernel) = &self.kernel {
            write!(f, "{kernel}: ")?;
        }
        if let Some([x, y, z]) = self.cta {
            write!(f, "cta ({x},{y},{z})")?;
            if let Some(warp) = self.warp {
                write!(f, " warp {warp}")?;
            }
            if let Some(lane) = self.lane {
                write!(f, " lane {lane}")?;
            }
            write!(f, ": ")?;
        }
        write!(f, "{}", self.detail)
    }
}

impl std::error::Error for Fault {}

/// A fault as the instruction sees it, before the place is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: FaultKind,
    pub(crate) lane: Option<u32>,
    pub(crate) detail: String,
}

impl Trouble {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<String>) -> Trouble {
        Trouble { kind, lane: None, detail: detail.into() }
    }

    pub(crate) fn at(kind: FaultKind, lane: u32, detail: impl Into<String>) -> Trouble {
        Trouble { kind, lane: Some(lane), detail: detail.into() }
    }
}
