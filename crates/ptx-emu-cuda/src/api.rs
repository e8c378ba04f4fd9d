//! What every exported function goes through.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{self, Error, Result, code};
use crate::types::CUresult;

/// Declares exported functions: bodies give a [`Result`], callers from C a status.
///
/// Beside them stands `address`, which finds one of them by its name.
macro_rules! exports {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` of the driver API.")]
            ///
            $(#[$doc])*
            ///
            /// # Safety
            /// Pointers are null, or good for what the driver's documentation says of them.
            #[allow(non_snake_case, reason = "the name is the driver's")]
            #[allow(clippy::too_many_arguments, reason = "the arguments are the driver's")]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $type),*) -> $crate::types::CUresult {
                $crate::api::guard(move || $body)
            }
        )*

        /// Where the function of this name begins.
        pub(crate) fn address(name: &str) -> Option<u64> {
            match name {
                $(stringify!($name) => Some($name as *const () as u64),)*
                _ => None,
            }
        }
    };
}

/// Runs the body of an exported function; a panic in it becomes a status.
pub(crate) fn guard(body: impl FnOnce() -> Result) -> CUresult {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::with(code::UNKNOWN, format!("a fault of the interpreter's own: {text}")))
    });
    match result {
        Ok(()) => code::SUCCESS,
        Err(error) => {
            let status = error.code;
            error::remember(error);
            status
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_on_this_side() {
        assert_eq!(guard(|| Ok(())), 0);
        assert_eq!(guard(|| Err(code::NOT_FOUND.into())), 500);
        assert_eq!(guard(|| panic!("on purpose")), 999);
        assert_eq!(guard(|| panic!("{}", "on purpose, too")), 999);
    }
}
