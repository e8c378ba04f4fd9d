//! Matrix products on a GPU, for every crate that needs one there.
//!
//! The kernels are our own PTX (`kernels/matmul/`), so that results have known rounding and the same
//! bits in every run, with no library to be found: exact f32 by fma, bf16 by tensor cores with sums
//! in f32, f32 rounded to TF32 where that is asked for ([`Precision`]). cuBLASLt takes over where it is
//! allowed and found ([`Products::with_library`]).
//!
//! ```no_run
//! use gpu_math::{Matrix, MatrixMut, Products, Scale, matmul};
//! use gpu_runtime::{Device, DeviceBuffer, Stream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::cuda(0)?;
//! let (stream, products) = (Stream::new(&device)?, Products::new(&device));
//! let x = DeviceBuffer::from_slice(&stream, &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let mut gram = DeviceBuffer::<f32>::uninit(&stream, 4)?;
//! let x = Matrix::new(&x, 2, 3, 3)?;
//! let out = MatrixMut::new(&mut gram, 2, 2, 2)?;
//! matmul(&products, &stream, x, x.transposed(), out, Scale::default())?;
//! assert_eq!(gram.to_vec()?, [14.0, 32.0, 32.0, 77.0]);
//! # Ok(())
//! # }
//! ```

mod error;
mod library;
mod mapped;
mod matmul;
mod matrix;
mod output;
mod products;
pub mod reference;
pub mod registry;
mod rungs;

pub use error::{ErrorKind, MathError, Result};
pub use matmul::matmul;
pub use matrix::{Element, Matrix, MatrixMut};
pub use output::Scale;
pub use products::{Precision, Products};
