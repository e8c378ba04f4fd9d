//! What kinds of errors there are.

/// What went wrong, coarse enough to match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The driver library is not on the loader's path.
    LibraryMissing,
    /// The library lacks a function that this crate calls.
    SymbolMissing,
    /// The driver is there and refuses to start.
    Init,
    /// The driver works and sees no device, or not the one asked for.
    NoDevice,
    /// The device's compute capability is below what the kernels need.
    DeviceTooOld,
    /// The driver is older than the version this build was made for.
    DriverTooOld,
    /// A PTX file asks for a newer PTX version than the driver reads.
    PtxTooNew,
    /// A PTX file is for another architecture than the device's.
    WrongTarget,
    /// The driver's assembler refused a PTX file.
    Jit,
    /// A module has no kernel of that name.
    NotFound,
    /// A launch whose arguments do not fit the kernel's parameters, or a slice out of range.
    Argument,
    /// A launch whose shape the device or the kernel does not allow.
    Launch,
    /// A kernel started and failed while it ran. The context is lost.
    Fault,
    /// The device has no room.
    OutOfMemory,
    /// A copy or a release of memory failed.
    Memory,
    /// Something that a stream under capture may not do, or a capture that broke.
    Capture,
    /// cuBLASLt refused a product.
    Blas,
    /// Any other refusal of the driver.
    Driver,
}
