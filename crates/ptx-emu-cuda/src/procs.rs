//! Functions by name, for programs that ask the library itself.

use std::ffi::{c_char, c_int};

use crate::error::{Error, code};
use crate::types::{In, Out};
use crate::{
    context, device, errors, event, function, graph, host_memory, launch, memory, memset, module,
    occupancy, pointer, pool, stream, tensor_map, transfer,
};

/// Names whose newer form came after CUDA 3.2, where most did, and the release that brought it.
const LATER: &[(&str, c_int)] = &[
    ("cuCtxCreate_v3", 11_040),
    ("cuCtxCreate_v4", 12_050),
    ("cuDeviceGetUuid_v2", 11_040),
    ("cuDevicePrimaryCtxRelease_v2", 7000),
    ("cuDevicePrimaryCtxReset_v2", 7000),
    ("cuDevicePrimaryCtxSetFlags_v2", 7000),
    ("cuEventElapsedTime_v2", 12_080),
    ("cuGetProcAddress_v2", 12_000),
    ("cuMemAdvise_v2", 12_020),
    ("cuMemHostRegister_v2", 6050),
    ("cuMemPrefetchAsync_v2", 12_020),
    ("cuStreamBeginCapture_v2", 10_010),
];
/// The release that gave most functions their second form.
const FIRST: c_int = 3020;

/// What a search answers, in `cuGetProcAddress_v2`.
const FOUND: c_int = 0;
const NO_SUCH_SYMBOL: c_int = 1;

/// The function of exactly this name.
fn exact(name: &str) -> Option<u64> {
    let modules = [
        address,
        context::address,
        device::address,
        errors::address,
        event::address,
        function::address,
        graph::address,
        host_memory::address,
        launch::address,
        memory::address,
        memset::address,
        module::address,
        occupancy::address,
        pointer::address,
        pool::address,
        stream::address,
        tensor_map::address,
        transfer::address,
    ];
    modules.iter().find_map(|address| address(name))
}

/// The form of a function that a program of CUDA `version` means by its plain name.
fn find(name: &str, version: c_int) -> Option<u64> {
    let newer = (2..=4).rev().map(|form| format!("{name}_v{form}")).find_map(|form| {
        let since = LATER.iter().find(|(known, _)| *known == form).map_or(FIRST, |row| row.1);
        exact(&form).filter(|_| since <= version)
    });
    newer.or_else(|| exact(name))
}

exports! {
    fn cuGetProcAddress(
        name: In<'_, c_char>,
        out: Out<'_, u64>,
        version: c_int,
        _flags: u64,
    ) {
        let name = name.text()?;
        let found = find(&name, version);
        out.set(found.unwrap_or(0))?;
        let missing = || Error::with(code::NOT_FOUND, format!("no function `{name}`"));
        found.map(drop).ok_or_else(missing)
    }

    fn cuGetProcAddress_v2(
        name: In<'_, c_char>,
        out: Out<'_, u64>,
        version: c_int,
        _flags: u64,
        answer: Out<'_, c_int>,
    ) {
        let name = name.text()?;
        let found = find(&name, version);
        out.set(found.unwrap_or(0))?;
        if answer.is_null() && found.is_none() {
            return Err(Error::with(code::NOT_FOUND, format!("no function `{name}`")));
        }
        answer.offer(if found.is_some() { FOUND } else { NO_SUCH_SYMBOL });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_means_the_form_of_the_programs_release() {
        assert_eq!(find("cuMemAlloc", 13_000), exact("cuMemAlloc_v2"));
        assert_eq!(find("cuCtxCreate", 13_000), exact("cuCtxCreate_v4"));
        assert_eq!(find("cuCtxCreate", 12_000), exact("cuCtxCreate_v3"));
        assert_eq!(find("cuEventElapsedTime", 12_000), exact("cuEventElapsedTime"));
        assert_eq!(find("cuInit", 13_000), exact("cuInit"));
        assert!(exact("cuMemAlloc_v2").is_some() && exact("cuGetProcAddress_v2").is_some());
        assert_eq!(find("cuNoSuchFunction", 13_000), None);
    }

    #[test]
    fn later_forms_are_exported() {
        for (name, _) in LATER {
            assert!(exact(name).is_some(), "{name}");
        }
    }
}
