//! The tensor: an immutable strided view of shared elements, with the node that made it.

mod growing;
mod in_place;

use cpu_math::number::Number as _;
use std::borrow::Cow;
use std::sync::Arc;

use crate::autograd::{Backward, Edge, Node};
use crate::cpu::strided;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::philox::Philox;
use crate::shape::{Layout, checked_count, resolve_dim};
use crate::storage::{Buffer, CpuStorage, Device, Storage, element_dispatch};

pub use growing::GrowingTensor;

/// An n-dimensional array of run-time dtype.
///
/// Cloning is cheap (a reference count) and elements never change once made, so a tensor may be
/// shared between threads. Views (`reshape`, `transpose`, `narrow`, ..) share elements too.
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    storage: Arc<Storage>,
    layout: Layout,
    /// How gradients flow back from here; `None` when nothing upstream wants them.
    edge: Option<Edge>,
}

impl Tensor {
    /// A tensor of `shape` from row-major `values`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when the count of values is not the product of `shape`;
    /// [`Device`](crate::ErrorKind::Device) when the device is not available.
    pub fn from_vec<T: Element>(values: Vec<T>, shape: &[usize], device: Device) -> Result<Self> {
        device.ensure_available()?;
        let count = checked_count(shape, "from_vec")?;
        if values.len() != count {
            return Err(Error::shape(
                "from_vec",
                format!("{} values, expected {count} for shape {shape:?}", values.len()),
            ));
        }
        Ok(Self::from_storage(T::wrap(Buffer::Owned(values)), shape.to_vec()))
    }

    /// A tensor of zeros.
    pub fn zeros(shape: &[usize], dtype: DType, device: Device) -> Result<Self> {
        Self::full(shape, 0.0, dtype, device)
    }

    /// A tensor of ones.
    pub fn ones(shape: &[usize], dtype: DType, device: Device) -> Result<Self> {
        Self::full(shape, 1.0, dtype, device)
    }

    /// A tensor with the same `value` everywhere.
    pub fn full(shape: &[usize], value: f64, dtype: DType, device: Device) -> Result<Self> {
        let count = checked_count(shape, "full")?;
        element_dispatch!(dtype, T => Self::from_vec(vec![T::from_f64(value); count], shape, device))
    }

    /// A tensor of rank 0.
    pub fn scalar(value: f64, dtype: DType, device: Device) -> Result<Self> {
        Self::full(&[], value, dtype, device)
    }

    /// `0, 1, .., n - 1` as i64, shape `(n)`.
    pub fn arange(n: usize, device: Device) -> Result<Self> {
        Self::from_vec((0..n as i64).collect(), &[n], device)
    }

    /// Independent draws from a normal distribution with mean 0 and standard deviation `std`.
    pub fn randn(
        shape: &[usize],
        std: f64,
        rng: &mut Philox,
        dtype: DType,
        device: Device,
    ) -> Result<Self> {
        let count = checked_count(shape, "randn")?;
        element_dispatch!(dtype, T => {
            let draw = || T::from_f64(f64::from(rng.normal()) * std);
            Self::from_vec(std::iter::repeat_with(draw).take(count).collect(), shape, device)
        })
    }

    /// Independent draws from the uniform distribution on `[lo, hi)`, rounded to `dtype`.
    pub fn rand_uniform(
        shape: &[usize],
        lo: f64,
        hi: f64,
        rng: &mut Philox,
        dtype: DType,
        device: Device,
    ) -> Result<Self> {
        let count = checked_count(shape, "rand_uniform")?;
        element_dispatch!(dtype, T => {
            let draw = || T::from_f64(lo + (hi - lo) * f64::from(rng.uniform()));
            Self::from_vec(std::iter::repeat_with(draw).take(count).collect(), shape, device)
        })
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.layout.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    /// Extent of one dimension; negative counts from the end.
    pub fn dim(&self, dim: isize) -> Result<usize> {
        Ok(self.shape()[resolve_dim(dim, self.rank(), "dim")?])
    }

    /// Number of elements.
    pub fn elem_count(&self) -> usize {
        self.0.layout.elem_count()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.storage.dtype()
    }

    /// Device that holds the elements.
    pub fn device(&self) -> Device {
        self.0.storage.device()
    }

    /// Whether the elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        self.0.layout.is_contiguous()
    }

    /// Whether a backward walk from here would reach a trainable leaf.
    pub fn requires_grad(&self) -> bool {
        self.0.edge.is_some()
    }

    /// The same elements, cut off from the gradient graph.
    pub fn detach(&self) -> Self {
        Self::assemble(self.0.storage.clone(), self.0.layout.clone(), None)
    }

    /// A copy of the elements in row-major order.
    ///
    /// # Errors
    ///
    /// [`DType`](crate::ErrorKind::DType) when `T` is not the tensor's dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(self.cpu_slice::<T>()?.into_owned())
    }

    /// The elements in row-major order as `f64`, from any dtype.
    pub fn to_vec_f64(&self) -> Result<Vec<f64>> {
        element_dispatch!(self.dtype(), T => {
            Ok(self.cpu_slice::<T>()?.iter().map(|v| v.to_f64()).collect())
        })
    }

    /// The elements in row-major order as `f32`, from any dtype.
    pub fn to_vec_f32(&self) -> Result<Vec<f32>> {
        element_dispatch!(self.dtype(), T => {
            Ok(self.cpu_slice::<T>()?.iter().map(|v| v.to_f64() as f32).collect())
        })
    }

    /// The only element, as `f64`.
    ///
    /// # Errors
    ///
    /// [`Shape`](crate::ErrorKind::Shape) when there is not exactly one element.
    pub fn item(&self) -> Result<f64> {
        match self.elem_count() {
            1 => Ok(self.to_vec_f64()?[0]),
            n => Err(Error::shape("item", format!("{n} elements, expected 1"))),
        }
    }

    /// The elements in row-major order in a storage of their own.
    pub fn contiguous(&self) -> Result<Self> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let shape = self.shape().to_vec();
        let storage = element_dispatch!(self.dtype(), T => {
            T::wrap(Buffer::Owned(self.cpu_slice::<T>()?.into_owned()))
        });
        Ok(Self::from_storage(storage, shape).with_node(&[self], || Box::new(Identity)))
    }

    /// The tensor on `device`; the same one when it is there already.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        device.ensure_available()?;
        Ok(self.clone())
    }

    // ---- For operators of this crate. ---------------------------------

    /// A fresh row-major tensor.
    pub(crate) fn from_storage(storage: CpuStorage, shape: Vec<usize>) -> Self {
        debug_assert_eq!(storage.len(), shape.iter().product::<usize>());
        Self::assemble(Arc::new(Storage::Cpu(storage)), Layout::contiguous(&shape), None)
    }

    /// The same storage seen through another layout, without a node.
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self::assemble(self.0.storage.clone(), layout, None)
    }

    fn assemble(storage: Arc<Storage>, layout: Layout, edge: Option<Edge>) -> Self {
        Self(Arc::new(Inner { storage, layout, edge }))
    }

    /// This tensor as the output of an operator on `inputs`.
    ///
    /// `make` runs only when some input wants a gradient, so nothing is saved otherwise.
    pub(crate) fn with_node(
        self,
        inputs: &[&Tensor],
        make: impl FnOnce() -> Box<dyn Backward>,
    ) -> Self {
        if inputs.iter().all(|input| !input.requires_grad()) {
            return self;
        }
        let edges = inputs.iter().map(|input| input.0.edge.clone()).collect();
        self.with_edge(Edge::Node(Node::operator(edges, make())))
    }

    /// The same elements with a given place in the graph.
    pub(crate) fn with_edge(&self, edge: Edge) -> Self {
        Self::assemble(self.0.storage.clone(), self.0.layout.clone(), Some(edge))
    }

    pub(crate) fn edge(&self) -> Option<&Edge> {
        self.0.edge.as_ref()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// The whole storage behind this view, to be read through [`layout`](Self::layout).
    pub(crate) fn raw<T: Element>(&self) -> Result<&[T]> {
        T::slice(self.0.storage.cpu()).ok_or_else(|| {
            Error::dtype("read", format!("dtype is {}, expected {}", self.dtype(), T::DTYPE))
        })
    }

    /// Elements in row-major order: borrowed when they lie so, copied otherwise.
    pub(crate) fn cpu_slice<T: Element>(&self) -> Result<Cow<'_, [T]>> {
        let (raw, layout) = (self.raw::<T>()?, self.layout());
        Ok(if layout.is_contiguous() {
            Cow::Borrowed(&raw[layout.offset..layout.offset + layout.elem_count()])
        } else {
            Cow::Owned(strided::gather(raw, layout))
        })
    }

    /// Widens bf16 and f16 to f32, and makes the result contiguous.
    pub(crate) fn widened(&self) -> Result<Self> {
        self.to_dtype(self.dtype().widened())?.contiguous()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {}, {}", self.shape(), self.dtype(), self.device())?;
        let shown = 8;
        match self.to_vec_f64() {
            Ok(values) if values.len() <= shown => write!(f, ", {values:?})"),
            Ok(values) => write!(f, ", {:?}..)", &values[..shown]),
            Err(_) => write!(f, ")"),
        }
    }
}

/// Passes the gradient through unchanged.
pub(crate) struct Identity;

impl Backward for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn backward(self: Box<Self>, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.clone())])
    }
}

#[cfg(test)]
mod tests;
