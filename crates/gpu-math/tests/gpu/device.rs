//! The device that tests run on.

use gpu_math::Products;
use gpu_runtime::{Device, Stream};

/// A stream of the first device and its kernels, when GPU tests are asked for.
pub fn setup() -> Option<(Stream, Products)> {
    if std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        let stream = Device::cuda(0).and_then(|device| Stream::new(&device));
        let stream = stream.unwrap_or_else(|error| panic!("{error}"));
        let products = Products::new(stream.device());
        return Some((stream, products));
    }
    println!("skipped: no GPU asked for");
    None
}
