//! `ldmatrix`, `stmatrix` and `movmatrix`: 8 by 8 tiles of 16-bit elements.
//!
//! Lane T holds two neighbours of row T / 4 of a tile, columns 2 (T % 4) and the next. Lanes 0 to 7
//! give the addresses of the rows of the first tile, the next eight those of the second, and so on.

use super::super::Lowered;
use super::super::moves::space;
use super::together;
use crate::class::Class;
use crate::error::PtxError;
use crate::fault::{FaultKind, Trouble};
use crate::lower::{Address, Form, Lower};
use crate::machine::access::Access;
use crate::machine::registers::{LANES, Lanes, Mask, Plane};
use crate::memory::address::from_generic;
use crate::memory::traffic::lanes;
use crate::syntax::ast::{Space, Type};

/// Bytes of a row.
const ROW: u32 = 16;

/// A tile by rows, two elements a word.
type Tile = [[u32; 4]; 8];

/// The tiles of an instruction and how they lie in memory.
struct Shape {
    count: usize,
    transposed: bool,
    space: Space,
}

fn shape(lower: &Lower<'_>, form: &mut Form<'_>) -> Result<Shape, PtxError> {
    let count = match form.take_one(&["x1", "x2", "x4"]) {
        Some("x1") => 1,
        Some("x2") => 2,
        Some(_) => 4,
        None => return Err(form.unknown(lower)),
    };
    let transposed = form.take("trans");
    let space = space(form).unwrap_or(Space::Generic);
    let shared = matches!(space, Space::Shared | Space::Generic);
    if !form.take("m8n8") || !shared || form.ty(lower)? != Type::B16 {
        return Err(form.unknown(lower));
    }
    Ok(Shape { count, transposed, space })
}

pub(super) fn load(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Shape { count, transposed, space } = shape(lower, form)?;
    let [to, from] = form.operands(lower)?;
    let (_, address) = lower.address(from, space)?;
    let to = lower
        .list_of(to, count)?
        .iter()
        .map(|to| lower.dst(to, Type::B32))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(together(Class::Memory, move |access| {
        let rows = rows(access, &address, space, count, "ldmatrix")?;
        for (index, &to) in to.iter().enumerate() {
            let tile = read_tile(access, &rows[8 * index..][..8], transposed)?;
            let out = if transposed { spread_transposed(&tile) } else { spread(&tile) };
            access.registers.set_plane(to, access.mask, &out);
        }
        Ok(())
    }))
}

pub(super) fn store(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let Shape { count, transposed, space } = shape(lower, form)?;
    let [to, from] = form.operands(lower)?;
    let (_, address) = lower.address(to, space)?;
    let from = lower
        .list_of(from, count)?
        .iter()
        .map(|from| lower.src(from, Type::B32))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(together(Class::Memory, move |access| {
        let rows = rows(access, &address, space, count, "stmatrix")?;
        for (index, &from) in from.iter().enumerate() {
            let mut tile = gather(access, from);
            if transposed {
                // What memory gets is the transpose, as transposing is its own inverse.
                tile = gather_lanes(&spread_transposed(&tile));
            }
            for (row, words) in tile.iter().enumerate() {
                for (word, value) in words.iter().enumerate() {
                    let [lane, _] = holders(row, word, transposed);
                    let at = rows[8 * index + row] + 4 * word as u64;
                    access.write_shared(at, &value.to_le_bytes(), lane)?;
                }
            }
        }
        Ok(())
    }))
}

pub(super) fn transpose(lower: &mut Lower<'_>, form: &mut Form<'_>) -> Result<Lowered, PtxError> {
    let known = form.take("m8n8") && form.take("trans");
    if !known || form.ty(lower)? != Type::B16 {
        return Err(form.unknown(lower));
    }
    let [to, from] = form.operands(lower)?;
    let (from, to) = (lower.src(from, Type::B32)?, lower.dst(to, Type::B32)?);
    Ok(together(Class::Move, move |access| {
        let out = spread_transposed(&gather(access, from));
        access.registers.set_plane(to, access.mask, &out);
        Ok(())
    }))
}

/// The shared addresses of all rows, checked, their bank conflicts counted.
fn rows(
    access: &mut Access<'_>,
    address: &Address,
    space: Space,
    count: usize,
    does: &str,
) -> Result<[u64; LANES], Trouble> {
    let mut rows = address.read(access.registers);
    let givers: Mask = Mask::MAX >> (LANES - 8 * count);
    for lane in lanes(givers) {
        if space == Space::Generic {
            let (found, inside) = from_generic(rows[lane]);
            if found != Space::Shared {
                let detail = format!("{does} at {:#x}, expected shared memory", rows[lane]);
                return Err(Trouble::at(FaultKind::OutOfBounds, lane as u32, detail));
            }
            rows[lane] = inside;
        }
        access.shared(does, rows[lane], ROW, ROW, lane)?;
    }
    // Eight rows of 16 bytes are a phase, as eight lanes of a 16-byte access are.
    access.count_shared(&rows, givers, ROW);
    Ok(rows)
}

/// The lanes that hold the two elements of a word of a row.
fn holders(row: usize, word: usize, transposed: bool) -> [usize; 2] {
    match transposed {
        false => [4 * row + word; 2],
        true => [8 * word + row / 2, 8 * word + 4 + row / 2],
    }
}

/// Reads a tile; each element counts as read by the lane that receives it.
fn read_tile(access: &mut Access<'_>, rows: &[u64], transposed: bool) -> Result<Tile, Trouble> {
    let mut tile = Tile::default();
    for (row, words) in tile.iter_mut().enumerate() {
        for (word, value) in words.iter_mut().enumerate() {
            let mut raw = [0; 4];
            let [first, second] = holders(row, word, transposed);
            let at = rows[row] + 4 * word as u64;
            access.read_shared(at, &mut raw, first)?;
            if second != first {
                access.read_shared(at, &mut raw, second)?;
            }
            *value = u32::from_le_bytes(raw);
        }
    }
    Ok(tile)
}

fn gather(access: &Access<'_>, from: Plane) -> Tile {
    gather_lanes(access.registers.plane(from))
}

fn gather_lanes(values: &Lanes) -> Tile {
    std::array::from_fn(|row| std::array::from_fn(|word| values[4 * row + word]))
}

fn spread(tile: &Tile) -> Lanes {
    std::array::from_fn(|lane| tile[lane / 4][lane % 4])
}

/// What each lane holds of the transpose: the elements of column T / 4, rows 2 (T % 4) and the next.
fn spread_transposed(tile: &Tile) -> Lanes {
    let element =
        |row: usize, column: usize| (tile[row][column / 2] >> (16 * (column % 2))) & 0xffff;
    std::array::from_fn(|lane| {
        let (row, column) = (2 * (lane % 4), lane / 4);
        element(row, column) | element(row + 1, column) << 16
    })
}
