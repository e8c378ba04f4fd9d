//! The maps that turn queries of LLaMA into queries of speech.

use tensor_core::{Context, Tensor, Var};

use crate::error::Result;
use crate::weights::{Builder, Init};

/// `q[h, :] Q_D` for every head, then `sum_h q[h, :] Q_H[h, g]` for every `g`.
///
/// The released code has both maps, the paper's equations have none; they start as identities. Their
/// names are those of LLaMA-7B, whatever the sizes.
#[derive(Debug)]
pub(super) struct QueryMixing {
    /// `(D, D)`; its rows are in the order of interleaved rotation.
    elements: Var,
    /// `(H, H)`.
    heads: Var,
}

impl QueryMixing {
    pub fn new(builder: &Builder, heads: usize, head_dim: usize) -> Result<Self> {
        let square = |name: &str, n: usize| builder.get(name, &[n, n], Init::Identity);
        Ok(Self {
            elements: square("projection_query_matrix_128to128", head_dim)?,
            heads: square("projection_query_matrix_32to32", heads)?,
        })
    }

    /// Rotated queries `(B, T, H, D)` to `(B, T, H, D)`.
    pub fn forward(&self, ctx: &Context, query: &Tensor) -> tensor_core::Result<Tensor> {
        let &[batch, time, heads, dim] = query.shape() else {
            let detail = format!("queries are {:?}, expected (B, T, H, D)", query.shape());
            return Err(tensor_core::Error::shape("query_mixing", detail));
        };
        let order = Tensor::from_vec(interleaved_rows(dim), &[dim], query.device())?;
        let elements = ctx.weight(&self.elements)?.index_select(0, &order)?;
        let rows = ctx.cast(query)?.reshape(&[batch * time * heads, dim])?;
        let mixed = rows.matmul(&elements)?.reshape(&[batch * time, heads, dim])?;
        let columns = mixed.transpose(1, 2)?.reshape(&[batch * time * dim, heads])?;
        let mixed = columns.matmul(&ctx.weight(&self.heads)?)?;
        let mixed = mixed.reshape(&[batch * time, dim, heads])?.transpose(1, 2)?;
        mixed.reshape(&[batch, time, heads, dim])
    }
}

/// Of each element of a head rotated in halves, its place in one rotated in neighbouring pairs.
fn interleaved_rows(head_dim: usize) -> Vec<i64> {
    let half = head_dim / 2;
    (0..head_dim).map(|i| if i < half { 2 * i } else { 2 * (i - half) + 1 } as i64).collect()
}

#[cfg(test)]
mod tests {
    use tensor_core::{DType, Device};

    use super::*;

    #[test]
    fn elements_of_halves_are_found_among_neighbouring_pairs() {
        assert_eq!(interleaved_rows(2), [0, 1]);
        assert_eq!(interleaved_rows(6), [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn fresh_maps_put_the_elements_in_the_released_order() {
        let builder = Builder::random(1, DType::F32, Device::Cpu);
        let mixing = QueryMixing::new(&builder, 2, 4).unwrap();
        let values = (0..8).map(|v| v as f32).collect::<Vec<_>>();
        let query = Tensor::from_vec(values, &[1, 1, 2, 4], Device::Cpu).unwrap();
        let mixed = mixing.forward(&Context::eval(), &query).unwrap();
        assert_eq!(mixed.to_vec::<f32>().unwrap(), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
