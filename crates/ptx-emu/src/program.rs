//! A kernel in the form that is executed: each instruction a closure over the planes it touches.

use crate::class::Class;
use crate::fault::Trouble;
use crate::machine::access::Access;
use crate::machine::registers::{Mask, Plane, Predicate, Registers};

/// Work on registers alone, for the lanes of a mask.
pub(crate) type LaneBody = Box<dyn Fn(&mut Registers, Mask) + Send + Sync>;
/// Work that reaches memory, counters or other lanes.
pub(crate) type AccessBody = Box<dyn Fn(&mut Access<'_>) -> Result<Flow, Trouble> + Send + Sync>;

/// What follows an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next instruction.
    Next,
    /// The next instruction, after other warps have had a turn: the thread may be spinning.
    Yield,
    /// The same instruction again, after other warps have had a turn.
    Again,
}

/// Lanes that a `.sync` instruction waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Members {
    /// All lanes that have not exited.
    All,
    /// The lanes that this plane names, the same for each of them.
    Plane(Plane),
    /// The same, and those lanes may stand at different instructions of this kind.
    Anywhere(Plane),
}

/// What an instruction does.
pub(crate) enum Action {
    /// Arithmetic and the like.
    Lanes(LaneBody),
    /// Memory and the like, each lane for itself.
    Access(AccessBody),
    /// An instruction that lanes execute together, once all members are there.
    Together(Members, AccessBody),
    /// To an instruction of this index.
    Branch(usize),
    /// To the instruction that the plane picks from the list.
    BranchIndexed(Plane, Box<[usize]>),
    /// The lane is done.
    Exit,
    /// A barrier of the CTA.
    Barrier(Barrier),
    /// A barrier of the cluster.
    ClusterBarrier(ClusterStep),
}

/// A step at a barrier of the CTA.
#[derive(Debug, Clone)]
pub(crate) struct Barrier {
    /// Its number, 0 to 15.
    pub(crate) id: Plane,
    /// Threads that it waits for; all of the CTA without.
    pub(crate) count: Option<Plane>,
    /// What the warp does there.
    pub(crate) step: BarrierStep,
}

/// What a warp does at a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarrierStep {
    /// Arrives and waits.
    Sync,
    /// Arrives and goes on.
    Arrive,
    /// Arrives, waits, and counts the threads with a true predicate.
    Count { to: Plane, source: Predicate, negated: bool },
    /// Arrives, waits, and learns whether all predicates are true.
    And { to: Predicate, source: Predicate, negated: bool },
    /// Arrives, waits, and learns whether any predicate is true.
    Or { to: Predicate, source: Predicate, negated: bool },
}

/// What a warp does at the barrier of its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClusterStep {
    /// Arrives and goes on.
    Arrive,
    /// Waits for all that arrived.
    Wait,
}

/// An instruction ready to run.
pub(crate) struct Step {
    /// The predicate that must be true, or false where the flag is set.
    pub(crate) guard: Option<(Predicate, bool)>,
    pub(crate) action: Action,
    /// Planes and predicates that must have been written, and those that are written.
    pub(crate) reads: Box<[Plane]>,
    pub(crate) read_predicates: Box<[Predicate]>,
    pub(crate) writes: Box<[Plane]>,
    pub(crate) write_predicates: Box<[Predicate]>,
    pub(crate) class: Class,
    /// Line in the file.
    pub(crate) line: u32,
}

/// A special register, whose value is known when a warp starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    Laneid,
    Warpid,
    Nwarpid,
    Smid,
    Nsmid,
    Gridid,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    DynamicSharedSize,
    TotalSharedSize,
    Clusterid(usize),
    Nclusterid(usize),
    ClusterCtaid(usize),
    ClusterNctaid(usize),
    ClusterCtarank,
    ClusterNctarank,
    IsExplicitCluster,
}

/// A kernel ready to run.
pub(crate) struct Code {
    pub(crate) steps: Vec<Step>,
    pub(crate) planes: usize,
    pub(crate) predicates: usize,
    /// Planes with a constant.
    pub(crate) constants: Vec<(Plane, u32)>,
    /// Planes with the address of a module's variable: low and high half, name, offset.
    pub(crate) addresses: Vec<(Plane, String, i64)>,
    /// Planes with a special register.
    pub(crate) specials: Vec<(Plane, Special)>,
    /// The name of each plane and predicate, for messages.
    pub(crate) plane_names: Vec<String>,
    pub(crate) predicate_names: Vec<String>,
    /// Bytes of shared memory with a fixed size; dynamic memory follows.
    pub(crate) shared_bytes: u32,
    /// Bytes of local memory of a thread.
    pub(crate) local_bytes: u32,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Code({} steps, {} planes)", self.steps.len(), self.planes)
    }
}
