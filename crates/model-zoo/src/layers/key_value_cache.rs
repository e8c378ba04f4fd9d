//! The keys and values of all positions so far, which grow without being copied at every step.

use tensor_core::{DType, GrowingTensor, Tensor};

use super::attention::KeyValue;

/// What one layer keeps from step to step; empty at first.
#[derive(Debug, Clone, Default)]
pub struct KeyValueCache {
    /// Keys and values, each `(B, T, H, D)`.
    grown: Option<(GrowingTensor, GrowingTensor)>,
}

impl KeyValueCache {
    /// Puts `later` behind what is here, and returns all of it: views that should be gone before
    /// the next call, or it copies.
    ///
    /// Kept in the precision that attention computes in, since a narrower cache would be widened
    /// as a whole at every step.
    pub fn append(&mut self, later: KeyValue) -> tensor_core::Result<KeyValue> {
        let (key, value) = (widened(later.key)?, widened(later.value)?);
        let (keys, values) = match &mut self.grown {
            Some((keys, values)) => {
                keys.append(&key)?;
                values.append(&value)?;
                (&*keys, &*values)
            }
            empty => {
                let first = (GrowingTensor::new(&key)?, GrowingTensor::new(&value)?);
                let (keys, values) = empty.insert(first);
                (&*keys, &*values)
            }
        };
        Ok(KeyValue { key: keys.tensor()?, value: values.tensor()? })
    }

    /// Keeps the batch items `rows` (I64, one dimension), in that order.
    pub fn select(&mut self, rows: &Tensor) -> tensor_core::Result<()> {
        if let Some((keys, values)) = &mut self.grown {
            keys.select(rows)?;
            values.select(rows)?;
        }
        Ok(())
    }
}

fn widened(x: Tensor) -> tensor_core::Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => x.to_dtype(DType::F32),
        _ => Ok(x),
    }
}
