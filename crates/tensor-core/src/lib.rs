//! tensor-core.
