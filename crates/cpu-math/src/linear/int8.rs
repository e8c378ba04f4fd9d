//! Weights as 8-bit integers, with a scale for every [`GROUP`] inputs of an output.
//!
//! ```text
//! w ~ s q,  s = max |w| / 127 over the group,  q = round(w / s)
//! ```
//!
//! The error of a weight is at most `s / 2`: one part in 254 of the largest one of its group. Products
//! are those of f32 with the numbers `s q`, rounded to f32.

use super::Source;
use crate::lines::Lines;
use crate::operand::Operand;

/// Inputs that share a scale.
pub const GROUP: usize = 64;

/// A quantised weight matrix.
#[derive(Debug, Clone, Copy)]
pub struct Int8<'a> {
    /// `q`: `(O, I)`, row-major.
    pub values: &'a [i8],
    /// `s`: `(ceil(I / GROUP), O)`, row-major.
    pub scales: &'a [f32],
}

/// Quantises the row of one output: its values, and one scale a group.
///
/// # Panics
///
/// When a slice has another length.
pub fn quantize_row(row: &[f32], values: &mut [i8], scales: &mut [f32]) {
    let lengths = (values.len(), scales.len());
    assert_eq!(lengths, (row.len(), row.len().div_ceil(GROUP)), "one value a weight");
    for ((row, values), scale) in row.chunks(GROUP).zip(values.chunks_mut(GROUP)).zip(scales) {
        *scale = row.iter().fold(0.0, |most: f32, w| most.max(w.abs())) / 127.0;
        for (value, w) in values.iter_mut().zip(row) {
            // A group of zeros has no scale to divide by. The cast saturates.
            *value = if *scale > 0.0 { (w / *scale).round() as i8 } else { 0 };
        }
    }
}

/// The rows of a quantised matrix.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub weights: Int8<'a>,
    pub outputs: usize,
    pub inputs: usize,
}

impl Source for Rows<'_> {
    type Direct = f32;

    #[inline(always)]
    fn direct(&self) -> Option<&[f32]> {
        None
    }

    #[inline(always)]
    fn widen(&self, output: usize, from: usize, out: &mut [f32]) {
        let values = &self.weights.values[output * self.inputs + from..][..out.len()];
        let mut at = 0;
        while at < out.len() {
            let group = (from + at) / GROUP;
            let end = out.len().min((group + 1) * GROUP - from);
            let scale = self.weights.scales[group * self.outputs + output];
            for (out, &value) in out[at..end].iter_mut().zip(&values[at..end]) {
                *out = f32::from(value) * scale;
            }
            at = end;
        }
    }
}

/// The rows, or the columns, of a quantised matrix as lines of a product.
#[derive(Clone, Copy)]
pub(super) struct QuantizedLines<'a> {
    values: Lines<'a, i8>,
    scales: &'a [f32],
    outputs: usize,
    lines_are_outputs: bool,
    /// The first element's place.
    output: usize,
    input: usize,
}

impl<'a> QuantizedLines<'a> {
    /// A line an output, with its inputs along the depth.
    pub fn along_inputs(rows: Rows<'a>) -> Self {
        Self::new(rows, (rows.inputs, 1), true)
    }

    /// A line an input, with its outputs along the depth.
    pub fn across_outputs(rows: Rows<'a>) -> Self {
        Self::new(rows, (1, rows.inputs), false)
    }

    fn new(
        rows: Rows<'a>,
        (line_stride, depth_stride): (usize, usize),
        lines_are_outputs: bool,
    ) -> Self {
        let Rows { weights: Int8 { values, scales }, outputs, .. } = rows;
        let values = Lines { data: values, line_stride, depth_stride };
        Self { values, scales, outputs, lines_are_outputs, output: 0, input: 0 }
    }

    /// Multiplies the first `count` lines of a panel by their scales.
    #[inline(always)]
    fn scale_lines<const W: usize>(&self, count: usize, panel: &mut [f32]) {
        for (depth, slots) in panel.chunks_exact_mut(W).enumerate() {
            if self.lines_are_outputs {
                let at = (self.input + depth) / GROUP * self.outputs + self.output;
                for (slot, scale) in slots[..count].iter_mut().zip(&self.scales[at..][..count]) {
                    *slot *= scale;
                }
            } else {
                for (line, slot) in slots[..count].iter_mut().enumerate() {
                    let at = (self.input + line) / GROUP * self.outputs + self.output + depth;
                    *slot *= self.scales[at];
                }
            }
        }
    }
}

impl Operand for QuantizedLines<'_> {
    #[inline(always)]
    fn from(self, line: usize, depth: usize) -> Self {
        let (output, input) = if self.lines_are_outputs { (line, depth) } else { (depth, line) };
        let values = self.values.from(line, depth);
        Self { values, output: self.output + output, input: self.input + input, ..self }
    }

    #[inline(always)]
    fn widen_panel<const W: usize>(self, count: usize, panel: &mut [f32]) {
        self.values.widen_panel::<W>(count, panel);
        self.scale_lines::<W>(count, panel);
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn pack<const W: usize>(self, count: usize, depth: usize, out: &mut [f32]) {
        // SAFETY: by this function's contract.
        unsafe { self.values.pack::<W>(count, depth, out) };
        for (panel, out) in out.chunks_exact_mut(depth * W).enumerate() {
            let lines = self.from(panel * W, 0);
            lines.scale_lines::<W>(W.min(count - panel * W), out);
        }
    }
}
