//! The driver's status numbers: which kind of error each is, and what a user can try.

use crate::kind::ErrorKind;

/// Work is still pending: the answer of a query, not an error.
pub(crate) const NOT_READY: u32 = 600;

/// The kind of error that a status stands for.
pub(crate) fn kind(code: u32) -> ErrorKind {
    match code {
        2 => ErrorKind::OutOfMemory,
        3 | 4 | 34 | 46 | 802..=810 => ErrorKind::Init,
        100 | 101 => ErrorKind::NoDevice,
        200 | 218 | 221 | 223 | 300 => ErrorKind::Jit,
        209 => ErrorKind::WrongTarget,
        222 => ErrorKind::PtxTooNew,
        500 => ErrorKind::NotFound,
        701 | 720 | 912 => ErrorKind::Launch,
        900..=908 => ErrorKind::Capture,
        code if is_fault(code) => ErrorKind::Fault,
        _ => ErrorKind::Driver,
    }
}

/// Whether a status reports a kernel that failed while it ran.
///
/// Such a status comes from a later, innocent call, and every call after it fails alike.
pub(crate) fn is_fault(code: u32) -> bool {
    matches!(code, 214 | 220 | 226 | 700 | 702 | 710 | 714..=719)
}

/// What the user can try.
pub(crate) fn hint(code: u32) -> Option<&'static str> {
    let hint = match code {
        2 => "use a smaller batch, or free or trim memory first",
        34 => {
            "the loader found the toolkit's stub of libcuda; take the `stubs` folder out of \
             LD_LIBRARY_PATH"
        }
        46 => "another process holds the device in exclusive mode; see nvidia-smi",
        100 => {
            "no GPU is visible: check nvidia-smi and CUDA_VISIBLE_DEVICES; in a container pass \
             --gpus all"
        }
        101 => "the ordinal is past the last device, or CUDA_VISIBLE_DEVICES hides it",
        209 => "the PTX is for another architecture",
        214 | 220 => "the hardware reports an uncorrectable memory error; see nvidia-smi -q",
        221 => "libnvidia-ptxjitcompiler is missing: install the driver's compute libraries",
        222 => "update the driver, or lower .version in the PTX file",
        223 => "CUDA_DISABLE_PTX_JIT is set",
        700 | 714..=719 => {
            "the context is lost, start the process anew; run the kernel on the interpreter to \
             find the line, or with launch_blocking to find the launch"
        }
        702 => "the display's watchdog stopped a long kernel",
        710 => "a kernel hit an assertion or a trap",
        701 => "too many registers or too much shared memory for this block; use a smaller block",
        720 => "a cooperative grid must fit the device at once; see Kernel::cooperative_blocks",
        802 => "the NVSwitch fabric is not up; start nvidia-fabricmanager",
        803 => "the kernel module and libcuda are of different versions; reboot or reinstall",
        804 => "the forward-compatibility package does not support this GPU; use the driver's own",
        805..=809 => "the MPS server does not answer",
        900..=908 => "allocate and copy from the host before the capture, not in it",
        912 => "clusters over 8 blocks need Kernel::allow_large_clusters",
        999 => "the driver does not know why; see dmesg",
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_kind_a_caller_branches_on() {
        let table = [
            (1, ErrorKind::Driver),
            (2, ErrorKind::OutOfMemory),
            (34, ErrorKind::Init),
            (100, ErrorKind::NoDevice),
            (209, ErrorKind::WrongTarget),
            (218, ErrorKind::Jit),
            (222, ErrorKind::PtxTooNew),
            (500, ErrorKind::NotFound),
            (700, ErrorKind::Fault),
            (701, ErrorKind::Launch),
            (715, ErrorKind::Fault),
            (719, ErrorKind::Fault),
            (720, ErrorKind::Launch),
            (803, ErrorKind::Init),
            (901, ErrorKind::Capture),
            (5000, ErrorKind::Driver),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code), expected, "status {code}");
        }
    }

    #[test]
    fn every_status_of_a_named_kind_has_a_hint() {
        for code in [2, 34, 100, 101, 209, 222, 700, 701, 716, 720, 803, 900, 912] {
            assert!(hint(code).is_some(), "status {code}");
        }
        assert_eq!(hint(1), None);
    }
}
