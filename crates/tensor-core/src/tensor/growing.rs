//! A tensor that gains entries along its second dimension, as the keys of a cache do.
//!
//! Elements are written behind those that are there, in room kept for them, so that `n` appends
//! copy a few times the final size and not `n` times. The room grows by a quarter when it is full.

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::storage::element_dispatch;
use crate::tensor::Tensor;

/// Entries of room that a growth adds at least.
const LEAST_ROOM: usize = 32;

/// A tensor `(B, T, ..)` to which later entries of `T` are appended.
///
/// # Examples
///
/// ```
/// use tensor_core::{DType, Device, GrowingTensor, Tensor};
///
/// let mut keys = GrowingTensor::new(&Tensor::ones(&[2, 5, 3], DType::F32, Device::Cpu)?)?;
/// keys.append(&Tensor::zeros(&[2, 1, 3], DType::F32, Device::Cpu)?)?;
/// assert_eq!(keys.tensor()?.shape(), [2, 6, 3]);
/// # Ok::<(), tensor_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GrowingTensor {
    /// `(B, room, ..)`, of which the first `len` entries of each item count.
    buffer: Tensor,
    len: usize,
}

impl GrowingTensor {
    /// Begins with `first` `(B, T, ..)`, which is shared until something is appended.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when it has fewer than two dimensions.
    pub fn new(first: &Tensor) -> Result<Self> {
        if first.rank() < 2 {
            let text = format!("tensor is {:?}, expected (B, T, ..)", first.shape());
            return Err(Error::shape("growing_tensor", text));
        }
        Ok(Self { buffer: first.clone(), len: first.shape()[1] })
    }

    /// Number of items `B`.
    pub fn batch(&self) -> usize {
        self.buffer.shape()[0]
    }

    /// Number of entries `T` of each item.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the items have no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.buffer.dtype()
    }

    /// All entries so far, `(B, T, ..)`: a view of the elements, which [`append`](Self::append)
    /// copies once if the view is still alive then.
    pub fn tensor(&self) -> Result<Tensor> {
        self.buffer.narrow(1, 0, self.len)
    }

    /// Puts `later` `(B, T', ..)` behind the entries that are there.
    ///
    /// Gradients flow to both where either wants them; entries are then copied each time.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the dtypes differ, or the shapes elsewhere than in `T`.
    pub fn append(&mut self, later: &Tensor) -> Result<()> {
        let (have, come) = (self.buffer.shape(), later.shape());
        let fits = have.len() == come.len()
            && have[0] == come[0]
            && have[2..] == come[2..]
            && self.dtype() == later.dtype();
        if !fits || self.buffer.requires_grad() || later.requires_grad() {
            // Where they do not fit, this says so.
            self.buffer = Tensor::cat(&[&self.tensor()?, later], 1)?;
            self.len = self.buffer.shape()[1];
            return Ok(());
        }
        element_dispatch!(self.dtype(), T => self.write::<T>(later))
    }

    /// Keeps the items `rows` (I64, one dimension), in that order; one may be named several times.
    ///
    /// # Errors
    ///
    /// As [`Tensor::index_select`].
    pub fn select(&mut self, rows: &Tensor) -> Result<()> {
        self.buffer = self.buffer.index_select(0, rows)?;
        Ok(())
    }

    fn write<T: Element>(&mut self, later: &Tensor) -> Result<()> {
        let (batch, room) = (self.batch(), self.buffer.shape()[1]);
        let total = self.len + later.shape()[1];
        let entry: usize = self.buffer.shape()[2..].iter().product();
        let start = self.len * entry;
        let fresh = later.cpu_slice::<T>()?;
        let put = |elements: &mut [T], room: usize| {
            let width = later.shape()[1] * entry;
            for b in 0..batch {
                let at = b * room * entry + start;
                elements[at..at + width].copy_from_slice(&fresh[b * width..][..width]);
            }
        };
        if total <= room
            && let Some(elements) = self.buffer.unique_slice_mut::<T>()
        {
            put(elements, room);
        } else {
            let room = total.max(self.len + (self.len / 4).max(LEAST_ROOM));
            let mut shape = self.buffer.shape().to_vec();
            shape[1] = room;
            let mut elements = vec![T::from_f64(0.0); batch * room * entry];
            let kept = self.tensor()?;
            let kept = kept.cpu_slice::<T>()?;
            for b in 0..batch {
                elements[b * room * entry..][..start].copy_from_slice(&kept[b * start..][..start]);
            }
            put(&mut elements, room);
            self.buffer = Tensor::from_vec(elements, &shape, self.buffer.device())?;
        }
        self.len = total;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use crate::{ErrorKind, Var};

    #[test]
    fn appending_is_joining() {
        for (batch, first, steps) in [(3, 5, 70), (1, 1, 130), (2, 0, 3)] {
            let all = noise(&[batch, first + steps, 2, 3], 1);
            let mut growing = GrowingTensor::new(&all.narrow(1, 0, first).unwrap()).unwrap();
            for t in first..first + steps {
                growing.append(&all.narrow(1, t, 1).unwrap()).unwrap();
                let want = all.narrow(1, 0, t + 1).unwrap().to_vec_f64().unwrap();
                assert_eq!(growing.tensor().unwrap().to_vec_f64().unwrap(), want);
            }
            assert_eq!((growing.batch(), growing.len()), (batch, first + steps));
        }
    }

    #[test]
    fn two_thousand_appends_move_the_elements_a_few_dozen_times() {
        let entry = noise(&[1, 1, 4], 1);
        let mut growing = GrowingTensor::new(&entry).unwrap();
        let address = |growing: &GrowingTensor| growing.buffer.raw::<f64>().unwrap().as_ptr();
        let mut moves = 0;
        for _ in 0..2048 {
            let before = address(&growing);
            growing.append(&entry).unwrap();
            moves += usize::from(address(&growing) != before);
        }
        assert!(moves < 32, "{moves} moves");
    }

    #[test]
    fn a_view_that_is_alive_keeps_its_elements() {
        let mut growing = GrowingTensor::new(&noise(&[2, 3, 2], 1)).unwrap();
        growing.append(&noise(&[2, 1, 2], 2)).unwrap();
        let (view, copy) = (growing.tensor().unwrap(), growing.clone());
        let before = view.to_vec_f64().unwrap();
        growing.append(&noise(&[2, 1, 2], 3)).unwrap();
        assert_eq!(view.to_vec_f64().unwrap(), before);
        assert_eq!(copy.tensor().unwrap().to_vec_f64().unwrap(), before);
    }

    #[test]
    fn selected_items_grow_on_by_themselves() {
        let mut growing = GrowingTensor::new(&noise(&[3, 2, 1], 1)).unwrap();
        growing.append(&noise(&[3, 1, 1], 2)).unwrap();
        let items = growing.tensor().unwrap().to_vec_f64().unwrap();
        growing
            .select(&Tensor::from_vec(vec![2i64, 0, 2, 2], &[4], growing.buffer.device()).unwrap())
            .unwrap();
        let later = noise(&[4, 1, 1], 3);
        growing.append(&later).unwrap();
        let (got, later) =
            (growing.tensor().unwrap().to_vec_f64().unwrap(), later.to_vec_f64().unwrap());
        for (k, item) in [2, 0, 2, 2].into_iter().enumerate() {
            assert_eq!(got[k * 4..k * 4 + 3], items[item * 3..item * 3 + 3]);
            assert_eq!(got[k * 4 + 3], later[k]);
        }
    }

    #[test]
    fn gradients_reach_every_part() {
        let (a, b) = (Var::new(noise(&[2, 2, 1], 1)), Var::new(noise(&[2, 1, 1], 2)));
        let mut growing = GrowingTensor::new(&a.tensor()).unwrap();
        growing.append(&b.tensor()).unwrap();
        growing.append(&noise(&[2, 1, 1], 3)).unwrap();
        let whole = growing.tensor().unwrap();
        let gradients = whole.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for var in [&a, &b] {
            let doubled = var.value().mul_scalar(2.0).unwrap();
            let got = gradients.get(var).unwrap().to_vec_f64().unwrap();
            assert_eq!(got, doubled.to_vec_f64().unwrap());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut growing = GrowingTensor::new(&noise(&[2, 3, 2], 1)).unwrap();
        for shape in [&[1, 1, 2][..], &[2, 1, 3], &[2, 2]] {
            assert_eq!(growing.append(&noise(shape, 1)).unwrap_err().kind(), ErrorKind::Shape);
        }
        assert_eq!(growing.len(), 3);
        let text = GrowingTensor::new(&noise(&[2], 1)).unwrap_err().to_string();
        assert_eq!(text, "growing_tensor: tensor is [2], expected (B, T, ..)");
    }
}
