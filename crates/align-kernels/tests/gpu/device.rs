//! The device that tests run on.

use gpu_runtime::{Device, Stream};

/// A stream of the first device, when GPU tests are asked for.
pub fn stream() -> Option<Stream> {
    if std::env::var("CONSONANCE_GPU_TESTS").is_ok_and(|value| value == "1") {
        let stream = Device::cuda(0).and_then(|device| Stream::new(&device));
        return Some(stream.unwrap_or_else(|error| panic!("{error}")));
    }
    println!("skipped: no GPU asked for");
    None
}
