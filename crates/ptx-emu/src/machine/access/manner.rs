//! How a load or store is done.

use crate::fault::Trouble;

/// How a load or store is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Volatile, relaxed or ordered at a scope that others of the same memory share: such accesses
    /// do not race with each other.
    pub(crate) strong: bool,
    /// A bit for each byte of a load that is used; the others may be unwritten.
    pub(crate) used: u16,
}

impl Manner {
    /// Visits the used ones of bytes `from..from + count` in aligned pieces of up to `largest`.
    #[inline(always)]
    pub(crate) fn pieces(
        self,
        from: u32,
        count: u32,
        largest: u32,
        visit: &mut impl FnMut(u32, u32) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if self.used != u16::MAX {
            return self.used_pieces(from, count, largest, visit);
        }
        if count <= largest {
            return visit(from, count);
        }
        let mut at = from;
        while at < from + count {
            visit(at, largest)?;
            at += largest;
        }
        Ok(())
    }

    #[cold]
    fn used_pieces(
        self,
        from: u32,
        count: u32,
        largest: u32,
        visit: &mut dyn FnMut(u32, u32) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let bits = (self.used >> from) & (u16::MAX >> (16 - count));
        if bits == 0 {
            return Ok(());
        }
        if count <= largest && bits.count_ones() == count {
            return visit(from, count);
        }
        self.used_pieces(from, count / 2, largest, visit)?;
        self.used_pieces(from + count / 2, count / 2, largest, visit)
    }
}
