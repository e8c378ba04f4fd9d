//! The registers of a warp, and how instructions see them.
//!
//! A register is one *plane* of 32 lanes of 32 bits, or two neighbouring planes for 64 bits, low
//! half first, as on the hardware. Constants and special registers are planes too, so that every
//! source operand is a plane and an instruction is a loop over 32 lanes without a branch.

/// Index of a plane.
pub(crate) type Plane = u32;
/// Index of a predicate register.
pub(crate) type Predicate = u32;
/// A bit for each lane.
pub(crate) type Mask = u32;
/// The lanes of a warp.
pub(crate) const LANES: usize = 32;
/// All lanes.
pub(crate) const FULL: Mask = u32::MAX;
/// 32 lanes of 32 bits.
pub(crate) type Lanes = [u32; LANES];

/// What one warp holds.
#[derive(Debug, Clone)]
pub(crate) struct Registers {
    planes: Vec<Lanes>,
    predicates: Vec<Mask>,
    /// Lanes that were ever written, a plane each.
    defined: Vec<Mask>,
    /// Planes whose values a matrix product has yet to deliver.
    held: Vec<bool>,
    defined_predicates: Vec<Mask>,
}

impl Registers {
    pub(crate) fn new(planes: usize, predicates: usize) -> Registers {
        Registers {
            planes: vec![[0; LANES]; planes],
            predicates: vec![0; predicates],
            defined: vec![0; planes],
            held: vec![false; planes],
            defined_predicates: vec![0; predicates],
        }
    }

    #[inline(always)]
    pub(crate) fn plane(&self, plane: Plane) -> &Lanes {
        &self.planes[plane as usize]
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn set_plane(&mut self, plane: Plane, mask: Mask, value: &Lanes) {
        let to = &mut self.planes[plane as usize];
        if mask == FULL {
            *to = *value;
        } else {
            for lane in 0..LANES {
                let keep = ((mask >> lane) & 1).wrapping_neg();
                to[lane] = (value[lane] & keep) | (to[lane] & !keep);
            }
        }
    }

    /// A plane that no instruction writes: a constant or a special register.
    pub(crate) fn preset(&mut self, plane: Plane, value: Lanes) {
        self.planes[plane as usize] = value;
        self.defined[plane as usize] = FULL;
    }

    /// Takes a plane away until its value is there.
    pub(crate) fn hold(&mut self, plane: Plane) {
        self.defined[plane as usize] = 0;
        self.held[plane as usize] = true;
    }

    /// Gives a plane that was held back, with a value in all lanes.
    pub(crate) fn release(&mut self, plane: Plane) {
        self.defined[plane as usize] = FULL;
        self.held[plane as usize] = false;
    }

    /// Whether an instruction wrote a plane that was held.
    pub(crate) fn is_spoilt(&self, plane: Plane) -> bool {
        self.held[plane as usize] && self.defined[plane as usize] != 0
    }

    pub(crate) fn is_held(&self, plane: Plane) -> bool {
        self.held[plane as usize]
    }

    /// The values of all planes.
    pub(crate) fn planes(&self) -> &[Lanes] {
        &self.planes
    }

    #[inline(always)]
    pub(crate) fn predicate(&self, predicate: Predicate) -> Mask {
        self.predicates[predicate as usize]
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn set_predicate(&mut self, predicate: Predicate, mask: Mask, value: Mask) {
        let to = &mut self.predicates[predicate as usize];
        *to = (value & mask) | (*to & !mask);
    }

    /// The first of `planes` with a lane of `mask` that was never written, and that lane.
    #[inline(always)]
    pub(crate) fn undefined(&self, planes: &[Plane], mask: Mask) -> Option<(Plane, u32)> {
        for &plane in planes {
            let missing = mask & !self.defined[plane as usize];
            if missing != 0 {
                return Some((plane, missing.trailing_zeros()));
            }
        }
        None
    }

    /// As [`Registers::undefined`], for predicates.
    #[inline(always)]
    pub(crate) fn undefined_predicate(
        &self,
        predicates: &[Predicate],
        mask: Mask,
    ) -> Option<(Predicate, u32)> {
        for &predicate in predicates {
            let missing = mask & !self.defined_predicates[predicate as usize];
            if missing != 0 {
                return Some((predicate, missing.trailing_zeros()));
            }
        }
        None
    }

    /// Takes the values of some lanes away again: what is there now means nothing.
    #[cold]
    pub(crate) fn undefine(&mut self, planes: &[Plane], mask: Mask) {
        for &plane in planes {
            self.defined[plane as usize] &= !mask;
        }
    }

    #[inline(always)]
    pub(crate) fn define(&mut self, planes: &[Plane], predicates: &[Predicate], mask: Mask) {
        for &plane in planes {
            self.defined[plane as usize] |= mask;
        }
        for &predicate in predicates {
            self.defined_predicates[predicate as usize] |= mask;
        }
    }

    /// The values of an operand, a value a lane.
    #[inline(always)]
    pub(crate) fn read<T: Word>(&self, plane: Plane) -> [T; LANES] {
        T::read(self, plane)
    }

    /// Writes the lanes of `mask` of a destination.
    #[inline(always)]
    pub(crate) fn write<T: Word>(&mut self, plane: Plane, mask: Mask, values: &[T; LANES]) {
        T::write(self, plane, mask, values);
    }
}

/// A type that a register can hold.
pub(crate) trait Word: Copy + Default {
    /// Reads one or two planes.
    fn read(registers: &Registers, plane: Plane) -> [Self; LANES];
    /// Writes one or two planes.
    fn write(registers: &mut Registers, plane: Plane, mask: Mask, values: &[Self; LANES]);
}

macro_rules! narrow_word {
    ($($type:ty, |$bits:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Word for $type {
            #[inline(always)]
            fn read(registers: &Registers, plane: Plane) -> [Self; LANES] {
                let from = registers.plane(plane);
                let mut out = [Self::default(); LANES];
                for lane in 0..LANES {
                    let $bits = from[lane];
                    out[lane] = $from;
                }
                out
            }
            #[inline(always)]
            fn write(registers: &mut Registers, plane: Plane, mask: Mask, values: &[Self; LANES]) {
                let mut out = [0u32; LANES];
                for lane in 0..LANES {
                    let $value = values[lane];
                    out[lane] = $to;
                }
                registers.set_plane(plane, mask, &out);
            }
        }
    )*};
}

// Registers of 16 bits and fewer live zero-extended in a plane.
narrow_word! {
    u8, |bits| bits as u8, |value| u32::from(value);
    i8, |bits| bits as i8, |value| u32::from(value as u8);
    u16, |bits| bits as u16, |value| u32::from(value);
    i16, |bits| bits as i16, |value| u32::from(value as u16);
    u32, |bits| bits, |value| value;
    i32, |bits| bits as i32, |value| value as u32;
    f32, |bits| f32::from_bits(bits), |value| value.to_bits();
    half::f16, |bits| half::f16::from_bits(bits as u16), |value| u32::from(value.to_bits());
    half::bf16, |bits| half::bf16::from_bits(bits as u16), |value| u32::from(value.to_bits());
}

macro_rules! wide_word {
    ($($type:ty, |$bits:ident| $from:expr, |$value:ident| $to:expr;)*) => {$(
        impl Word for $type {
            #[inline(always)]
            fn read(registers: &Registers, plane: Plane) -> [Self; LANES] {
                let (low, high) = (registers.plane(plane), registers.plane(plane + 1));
                let mut out = [Self::default(); LANES];
                for lane in 0..LANES {
                    let $bits = u64::from(low[lane]) | (u64::from(high[lane]) << 32);
                    out[lane] = $from;
                }
                out
            }
            #[inline(always)]
            fn write(registers: &mut Registers, plane: Plane, mask: Mask, values: &[Self; LANES]) {
                let (mut low, mut high) = ([0u32; LANES], [0u32; LANES]);
                for lane in 0..LANES {
                    let $value = values[lane];
                    let bits: u64 = $to;
                    low[lane] = bits as u32;
                    high[lane] = (bits >> 32) as u32;
                }
                registers.set_plane(plane, mask, &low);
                registers.set_plane(plane + 1, mask, &high);
            }
        }
    )*};
}

wide_word! {
    u64, |bits| bits, |value| value;
    i64, |bits| bits as i64, |value| value as u64;
    f64, |bits| f64::from_bits(bits), |value| value.to_bits();
}
