//! Operators: methods of [`Tensor`](crate::Tensor) that join kernels to the gradient graph.

mod cast;
mod compare;
mod elementwise;
mod index;
mod matmul;
mod reduce;
mod view;

pub(crate) use reduce::sum_of_squares;
