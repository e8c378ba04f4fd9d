//! What a launch did, counted.

use std::fmt;
use std::ops::AddAssign;

use crate::class::Class;

/// Counts of a launch, over all its CTAs.
///
/// Instructions are PTX instructions: the assembler may unroll, fuse or drop some, so the hardware's
/// own counts differ. Sectors, wavefronts and matrix operations do not depend on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Instructions issued, once a warp.
    pub warp_instructions: u64,
    /// Instructions executed, once an active lane.
    pub lane_instructions: u64,
    by_class: [u64; Class::ALL.len()],
    lanes_by_class: [u64; Class::ALL.len()],
    /// Warp-wide loads from global memory.
    pub global_loads: u64,
    /// Warp-wide stores to global memory.
    pub global_stores: u64,
    /// Warp-wide atomics on global memory.
    pub global_atomics: u64,
    /// 32-byte sectors that loads touched.
    pub load_sectors: u64,
    /// 32-byte sectors that stores touched.
    pub store_sectors: u64,
    /// 32-byte sectors that atomics touched.
    pub atomic_sectors: u64,
    /// Bytes that the lanes asked for in loads.
    pub load_bytes: u64,
    /// Bytes that the lanes wrote in stores.
    pub store_bytes: u64,
    /// Warp-wide accesses of shared memory.
    pub shared_accesses: u64,
    /// Wavefronts that they took.
    pub shared_wavefronts: u64,
    /// Wavefronts beyond the fewest that their sizes allow: bank conflicts.
    pub bank_conflicts: u64,
    /// Floating-point operations of tensor cores, a multiply-add counting two.
    pub mma_flop: u64,
    /// Branches after which lanes of a warp went different ways.
    pub divergent_branches: u64,
    /// Barriers of a CTA, once a warp.
    pub barriers: u64,
}

impl Counters {
    pub(crate) fn issue(&mut self, class: Class, lanes: u32) {
        self.warp_instructions += 1;
        self.lane_instructions += u64::from(lanes);
        self.by_class[class as usize] += 1;
        self.lanes_by_class[class as usize] += u64::from(lanes);
    }

    /// Instructions of each class: name, warp instructions, lane instructions.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        Class::ALL.into_iter().map(|class| {
            (class.name(), self.by_class[class as usize], self.lanes_by_class[class as usize])
        })
    }

    /// Lane instructions of the class of this name, 0 where there is none.
    pub fn lanes_of(&self, class: &str) -> u64 {
        self.classes().find(|(name, ..)| *name == class).map_or(0, |(.., lanes)| lanes)
    }

    /// Floating-point operations outside tensor cores: f32, f64 and half, a multiply-add two.
    pub fn flop(&self) -> u64 {
        let lanes = |class: Class| self.lanes_by_class[class as usize];
        lanes(Class::Float) + 2 * lanes(Class::Fma) + lanes(Class::Half) + lanes(Class::Double)
    }

    /// Bytes that moved to and from global memory, whole sectors.
    pub fn global_bytes(&self) -> u64 {
        32 * (self.load_sectors + self.store_sectors + self.atomic_sectors)
    }

    /// The counts as one line of JSON.
    pub fn to_json(&self) -> String {
        let mut fields: Vec<String> =
            self.named().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let classes: Vec<String> = self
            .classes()
            .map(|(name, warps, lanes)| format!("\"{name}\":[{warps},{lanes}]"))
            .collect();
        fields.push(format!("\"classes\":{{{}}}", classes.join(",")));
        format!("{{{}}}", fields.join(","))
    }

    fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("warp_instructions", self.warp_instructions),
            ("lane_instructions", self.lane_instructions),
            ("global_loads", self.global_loads),
            ("global_stores", self.global_stores),
            ("global_atomics", self.global_atomics),
            ("load_sectors", self.load_sectors),
            ("store_sectors", self.store_sectors),
            ("atomic_sectors", self.atomic_sectors),
            ("load_bytes", self.load_bytes),
            ("store_bytes", self.store_bytes),
            ("shared_accesses", self.shared_accesses),
            ("shared_wavefronts", self.shared_wavefronts),
            ("bank_conflicts", self.bank_conflicts),
            ("mma_flop", self.mma_flop),
            ("divergent_branches", self.divergent_branches),
            ("barriers", self.barriers),
        ]
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Counters) {
        let pairs = self.by_class.iter_mut().zip(other.by_class);
        pairs.chain(self.lanes_by_class.iter_mut().zip(other.lanes_by_class)).for_each(
            |(mine, theirs)| {
                *mine += theirs;
            },
        );
        self.warp_instructions += other.warp_instructions;
        self.lane_instructions += other.lane_instructions;
        self.global_loads += other.global_loads;
        self.global_stores += other.global_stores;
        self.global_atomics += other.global_atomics;
        self.load_sectors += other.load_sectors;
        self.store_sectors += other.store_sectors;
        self.atomic_sectors += other.atomic_sectors;
        self.load_bytes += other.load_bytes;
        self.store_bytes += other.store_bytes;
        self.shared_accesses += other.shared_accesses;
        self.shared_wavefronts += other.shared_wavefronts;
        self.bank_conflicts += other.bank_conflicts;
        self.mma_flop += other.mma_flop;
        self.divergent_branches += other.divergent_branches;
        self.barriers += other.barriers;
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.named().iter().filter(|(_, value)| *value != 0) {
            writeln!(f, "{name:>20} {value}")?;
        }
        for (name, warps, lanes) in self.classes().filter(|(_, warps, _)| *warps != 0) {
            writeln!(f, "{name:>20} {warps} warp, {lanes} lane")?;
        }
        Ok(())
    }
}
