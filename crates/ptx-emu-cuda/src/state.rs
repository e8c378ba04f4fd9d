//! All that the driver knows, behind one lock.
//!
//! Exported functions take the lock, look up, change, and let go before work is run: a launch of
//! minutes does not keep another thread from asking for the time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Result, code};
use crate::handles::{Kind, Table};
use crate::object::capture::Capture;
use crate::object::context::Context;
use crate::object::event::Event;
use crate::object::function::Function;
use crate::object::graph::Graph;
use crate::object::module::Module;
use crate::object::operation::GraphExec;
use crate::object::pool::{Pool, Taken};
use crate::object::stream::Stream;
use crate::settings::Settings;
use crate::types::{CUcontext, CUdevice};

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

thread_local! {
    /// The contexts that the thread has pushed; the last is current.
    static CONTEXTS: RefCell<Vec<CUcontext>> = const { RefCell::new(Vec::new()) };
}

/// A device and its primary context.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) primary: Option<CUcontext>,
    /// How often the primary context was retained.
    pub(crate) retained: usize,
    /// Flags for the next primary context.
    pub(crate) flags: u32,
    pub(crate) default_pool: u64,
    pub(crate) current_pool: u64,
}

/// Every object that has a handle.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: &'static Settings,
    pub(crate) devices: Vec<Device>,
    pub(crate) contexts: Table<Arc<Context>>,
    pub(crate) streams: Table<Stream>,
    pub(crate) events: Table<Event>,
    pub(crate) modules: Table<Module>,
    pub(crate) functions: Table<Arc<Function>>,
    pub(crate) graphs: Table<Graph>,
    pub(crate) graph_execs: Table<Arc<GraphExec>>,
    /// The type of each node and its graph.
    pub(crate) graph_nodes: Table<(u64, u32)>,
    pub(crate) pools: Table<Pool>,
    /// Memory that came from a pool, by context and address.
    pub(crate) taken: HashMap<(CUcontext, u64), Taken>,
    pub(crate) captures: HashMap<u64, Capture>,
    /// Numbers that were given to captures and images.
    pub(crate) given: u64,
}

/// Sets the state up; a second call changes nothing.
pub(crate) fn start(settings: &'static Settings) {
    STATE.get_or_init(|| {
        let mut pools = Table::new(Kind::Pool);
        let device = |ordinal| {
            let pool = pools.insert(Pool::new(ordinal));
            let (default_pool, current_pool) = (pool, pool);
            Device { primary: None, retained: 0, flags: 0, default_pool, current_pool }
        };
        let devices = (0..CUdevice::from(settings.devices)).map(device).collect();
        Mutex::new(State {
            settings,
            devices,
            contexts: Table::new(Kind::Context),
            streams: Table::new(Kind::Stream),
            events: Table::new(Kind::Event),
            modules: Table::new(Kind::Module),
            functions: Table::new(Kind::Function),
            graphs: Table::new(Kind::Graph),
            graph_execs: Table::new(Kind::GraphExec),
            graph_nodes: Table::new(Kind::GraphNode),
            pools,
            taken: HashMap::new(),
            captures: HashMap::new(),
            given: 0,
        })
    });
}

/// Takes the lock.
pub(crate) fn state() -> Result<MutexGuard<'static, State>> {
    let state = STATE.get().ok_or(code::NOT_INITIALIZED)?;
    // A panic is caught at the boundary; what it left behind is still sound.
    Ok(state.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether `cuInit` has been called.
pub(crate) fn started() -> Result {
    state().map(drop)
}

/// Changes the thread's stack of contexts, which is gone when the thread ends.
pub(crate) fn with_contexts<T>(change: impl FnOnce(&mut Vec<CUcontext>) -> T) -> Result<T> {
    let changed = CONTEXTS.try_with(|contexts| change(&mut contexts.borrow_mut()));
    changed.map_err(|_| code::DEINITIALIZED.into())
}

impl State {
    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    pub(crate) fn device(&mut self, ordinal: CUdevice) -> Result<&mut Device> {
        let found = usize::try_from(ordinal).ok().and_then(|index| self.devices.get_mut(index));
        found.ok_or(code::INVALID_DEVICE.into())
    }

    /// The context of this handle, lost or not.
    pub(crate) fn context(&self, handle: CUcontext) -> Result<&Arc<Context>> {
        self.contexts.get(handle).map_err(|_| code::INVALID_CONTEXT.into())
    }

    /// The thread's current context, lost or not.
    pub(crate) fn current_even_lost(&self) -> Result<Arc<Context>> {
        let handle = with_contexts(|contexts| contexts.last().copied())?;
        let handle = handle.ok_or(code::INVALID_CONTEXT)?;
        let context = self.contexts.get(handle).map_err(|_| code::CONTEXT_IS_DESTROYED)?;
        Ok(Arc::clone(context))
    }

    /// The thread's current context.
    pub(crate) fn current(&self) -> Result<Arc<Context>> {
        let context = self.current_even_lost()?;
        context.check()?;
        Ok(context)
    }

    /// Takes a context away with all that lives in it.
    pub(crate) fn destroy_context(&mut self, handle: CUcontext) -> Result {
        let context = self.contexts.remove(handle).map_err(|_| code::INVALID_CONTEXT)?;
        let stays = |other: &Arc<Context>| !Arc::ptr_eq(other, &context);
        self.captures.retain(|_, capture| stays(&capture.context));
        self.streams.retain(|stream| stays(&stream.context));
        self.events.retain(|event| stays(&event.context));
        self.functions.retain(|function| stays(&function.context));
        self.modules.retain(|module| stays(&module.context));
        let pools = &mut self.pools;
        self.taken.retain(|(owner, _), taken| {
            if *owner == handle
                && let Ok(pool) = pools.get_mut(taken.pool)
            {
                pool.give(taken.bytes);
            }
            *owner != handle
        });
        Ok(())
    }
}
