//! What has a handle, and the work that is done with it. Nothing here knows the tables of handles.

pub(crate) mod capture;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod function;
pub(crate) mod graph;
pub(crate) mod launch;
mod launch_log;
pub(crate) mod module;
pub(crate) mod operation;
pub(crate) mod pool;
pub(crate) mod stream;
