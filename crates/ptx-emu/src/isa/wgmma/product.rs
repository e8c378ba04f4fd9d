//! A product on its way: issued, and computed when its group is waited for.
//!
//! Operands in shared memory are read at the latest moment that the program allows, with the clock of
//! the moment of issue: whoever wrote them in between is found out.

use crate::fault::{FaultKind, Trouble};
use crate::machine::access::Access;
use crate::machine::matrix_descriptor::{Matrix, UNIT};
use crate::machine::products::{Element, Product, Rows};
use crate::machine::registers::{LANES, Lanes, Plane};
use crate::machine::warpgroups::WARPS;
use crate::memory::shared_race::Party;

/// Rows of a warp.
const ROWS: usize = 16;

impl Product {
    /// The accumulator after the product. Sums are exact up to the last rounding, where the hardware
    /// keeps fewer bits.
    pub(super) fn compute(&self, access: &mut Access<'_>) -> Result<Vec<Lanes>, Trouble> {
        if self.to.iter().any(|plane| access.registers.is_spoilt(*plane)) {
            return Err(self.touched("accumulator"));
        }
        let (depth, columns) = (self.element.depth(), self.columns());
        let a = self.rows(access)?;
        let b = self.read(access, self.b, self.b_transposed, 0, columns)?;
        let sign = if self.negated { -1.0 } else { 1.0 };
        let mut out = vec![[0; LANES]; self.to.len()];
        let mut sums = vec![0f64; columns];
        for row in 0..ROWS {
            // Two neighbours of each eight columns belong to a lane, rows 8 and up in its other half.
            let place = |column: usize| {
                let register = column / 8 * 4 + row / 8 * 2 + column % 2;
                (register, row % 8 * 4 + column % 8 / 2)
            };
            for (column, sum) in sums.iter_mut().enumerate() {
                let (register, lane) = place(column);
                let old = access.registers.plane(self.to[register])[lane];
                *sum = if self.accumulates { f64::from(f32::from_bits(old)) } else { 0.0 };
            }
            for k in 0..depth {
                let factor = sign * a[k * ROWS + row];
                for (sum, value) in sums.iter_mut().zip(&b[k * columns..]) {
                    *sum += factor * value;
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                let (register, lane) = place(column);
                let sum = *sum as f32;
                out[register][lane] = if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() };
            }
        }
        Ok(out)
    }

    /// The warp's sixteen rows of A, step of K by step.
    fn rows(&self, access: &mut Access<'_>) -> Result<Vec<f64>, Trouble> {
        let planes = match &self.a {
            Rows::Shared { matrix, transposed } => {
                let first = access.warp.index % WARPS * ROWS;
                return self.read(access, *matrix, *transposed, first, ROWS);
            }
            Rows::Registers(planes) => planes,
        };
        let changed = |(plane, value): &(Plane, Lanes)| access.registers.plane(*plane) != value;
        if planes.iter().any(changed) {
            return Err(self.touched("fragment of A"));
        }
        let depth = self.element.depth();
        let mut out = vec![0.0; depth * ROWS];
        for k in 0..depth {
            for row in 0..ROWS {
                let register = row / 8 + k / (depth / 2) * 2;
                let word = k % (depth / 2) * self.element.bytes() as usize / 4;
                let bits = planes[register].1[row % 8 * 4 + word];
                let high = self.element != Element::Tf32 && k % 2 == 1;
                out[k * ROWS + row] = self.element.value(if high { bits >> 16 } else { bits });
            }
        }
        Ok(out)
    }

    /// Rows or columns `first` to `first + count` of a matrix in shared memory, step by step.
    fn read(
        &self,
        access: &mut Access<'_>,
        matrix: Matrix,
        transposed: bool,
        first: usize,
        count: usize,
    ) -> Result<Vec<f64>, Trouble> {
        let depth = self.element.depth();
        let each = (UNIT / self.element.bytes()) as usize;
        let mut out = vec![0.0; depth * count];
        if transposed {
            for k in 0..depth {
                for unit in 0..count / each {
                    let at = matrix.along_mn((first / each + unit) as u32, k as u32);
                    let bytes = self.unit(access, at)?;
                    for (index, value) in self.element.values(&bytes).enumerate() {
                        out[k * count + unit * each + index] = value;
                    }
                }
            }
        } else {
            for mn in 0..count {
                for unit in 0..depth / each {
                    let at = matrix.along_k((first + mn) as u32, unit as u32);
                    let bytes = self.unit(access, at)?;
                    for (index, value) in self.element.values(&bytes).enumerate() {
                        out[(unit * each + index) * count + mn] = value;
                    }
                }
            }
        }
        Ok(out)
    }

    fn unit(&self, access: &mut Access<'_>, at: u32) -> Result<[u8; UNIT as usize], Trouble> {
        let warp = access.warp.index;
        let now = access.warp.clock.0[warp];
        let party = Party { index: warp, lane: 0, line: self.line };
        let shared = &mut access.cluster[access.rank].shared;
        let mut bytes = [0; UNIT as usize];
        let place = shared.place("matrix operand", at.into(), UNIT, UNIT, 0);
        place
            .and_then(|at| {
                shared.read_async(at, &mut bytes, party, &self.issued, Some((warp, now)))
            })
            .map_err(|trouble| {
                let detail = format!("the product of line {}: {}", self.line, trouble.detail);
                Trouble { detail, ..trouble }
            })?;
        Ok(bytes)
    }

    fn touched(&self, what: &str) -> Trouble {
        Trouble::at(
            FaultKind::Unsupported,
            0,
            format!(
                "a register of the {what} of the product of line {} was written before it was waited \
                 for (hint: wgmma.wait_group first)",
                self.line
            ),
        )
    }
}
