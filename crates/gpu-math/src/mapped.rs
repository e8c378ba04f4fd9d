//! Products whose operands the copy engine of Hopper brings, by tensor maps.

use gpu_runtime::{Launch, Stream, Swizzle, TensorMap, Tiled, args};

use crate::error::Result;
use crate::matrix::{Element, Form, Matrix};
use crate::output::{Place, Scale};
use crate::products::Products;
use crate::rungs::{MAPPED_BF16, Wish};

/// Terms of a box, and rows of a box whose lines are terms: 128 bytes of bf16.
const LINE: u32 = 64;

/// One launch over all tiles, items and splits; CTAs go from tile to tile.
pub(crate) fn multiply<T: Element>(
    products: &Products,
    stream: &Stream,
    wish: &Wish,
    (a, b): (&Matrix<'_, T>, &Matrix<'_, T>),
    place: Place<'_>,
    scale: Scale,
    (splits, depth): (usize, usize),
) -> Result<()> {
    let [m, n, k] = wish.extents;
    let [rows, columns] = MAPPED_BF16.tile;
    let (a_map, a_items) = map(products, a, !a.is_turned, rows)?;
    let (b_map, b_items) = map(products, b, b.is_turned, columns)?;
    let tiles = (m.div_ceil(rows) * n.div_ceil(columns)).saturating_mul(wish.items * splits);
    let at_work = tiles.min(products.device().facts().sm_count as usize);
    let launch =
        Launch::linear(at_work as u32, MAPPED_BF16.threads).dynamic_shared(MAPPED_BF16.shared);
    let args = args![
        a_map.arg(),
        b_map.arg(),
        place.values,
        place.step as u64,
        m as u32,
        n as u32,
        k as u32,
        place.stride as u32,
        u32::from(a.is_turned) + 2 * u32::from(b.is_turned),
        splits as u32,
        depth as u32,
        wish.items as u32,
        a_items,
        b_items,
        u32::from(place.is_bf16),
        scale.alpha,
        scale.beta,
    ];
    let kernel = products.kernel(&MAPPED_BF16.variant, MAPPED_BF16.shared)?;
    // SAFETY: the maps hold the operands, which lie inside their values and fit each other; the place has
    // a matrix for each item and split; extents are below 2^30, tiles below 2^31 as was checked.
    unsafe { kernel.launch(stream, &launch, args)? };
    Ok(())
}

/// The map of an operand whose tile has so many rows, and its number of items. `is_lined`: terms are
/// neighbours.
fn map<T: Element>(
    products: &Products,
    matrix: &Matrix<'_, T>,
    is_lined: bool,
    tile_rows: usize,
) -> Result<(TensorMap, u32)> {
    let Form { rows, cols, stride, count, step } = matrix.form;
    let bytes = |elements: usize| (elements * size_of::<T>()) as u64;
    let (items, apart) = if step == 0 || count == 1 { (1, rows * stride) } else { (count, step) };
    let box_rows = if is_lined { tile_rows as u32 } else { LINE };
    let tensor = Tiled {
        address: matrix.values.address(),
        extents: &[cols as u64, rows as u64, items as u64],
        strides: &[bytes(stride), bytes(apart)],
        tile: &[LINE, box_rows, 1],
        swizzle: Swizzle::Bytes128,
    };
    Ok((TensorMap::tiled::<T>(products.device(), &tensor)?, items as u32))
}
