//! Device memory: allocations with gaps between them, never at the same place twice.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::address::GLOBAL_START;
use super::allocation::Allocation;
use crate::fault::{Fault, FaultKind};

/// Allocations begin at multiples of this, as the driver's do.
const ALIGN: u64 = 256;
/// Bytes between allocations, so that a small overrun meets nothing.
const GAP: u64 = 4096;

#[derive(Debug)]
struct State {
    live: BTreeMap<u64, Arc<Allocation>>,
    freed: BTreeMap<u64, u64>,
    next: u64,
    used: u64,
}

/// All of a device's memory.
#[derive(Debug)]
pub(crate) struct GlobalMemory {
    state: RwLock<State>,
    capacity: u64,
}

impl GlobalMemory {
    pub(crate) fn new(capacity: u64) -> GlobalMemory {
        let state =
            State { live: BTreeMap::new(), freed: BTreeMap::new(), next: GLOBAL_START, used: 0 };
        GlobalMemory { state: RwLock::new(state), capacity }
    }

    pub(crate) fn alloc(
        &self,
        bytes: u64,
        name: Option<String>,
        read_only: bool,
    ) -> Result<u64, Fault> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.used + bytes > self.capacity {
            return Err(Fault::host(
                FaultKind::Memory,
                format!(
                    "alloc: expected at most {} free bytes of {}, got {bytes}",
                    self.capacity - state.used,
                    self.capacity
                ),
            ));
        }
        let base = state.next;
        state.next = (base + bytes + GAP).next_multiple_of(ALIGN);
        state.used += bytes;
        state.live.insert(base, Arc::new(Allocation::new(base, bytes, name, read_only)));
        Ok(base)
    }

    pub(crate) fn free(&self, base: u64) -> Result<(), Fault> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match state.live.remove(&base) {
            Some(allocation) => {
                state.used -= allocation.size;
                state.freed.insert(base, allocation.size);
                Ok(())
            }
            None if state.freed.contains_key(&base) => Err(Fault::host(
                FaultKind::UseAfterFree,
                format!("free: {base:#x} was freed before"),
            )),
            None => Err(Fault::host(
                FaultKind::Memory,
                format!("free: {base:#x} is not the start of an allocation"),
            )),
        }
    }

    /// Bytes in use, and bytes in all.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.state.read().unwrap_or_else(PoisonError::into_inner).used, self.capacity)
    }

    /// The allocation with all of these bytes, and the offset of the first.
    pub(crate) fn range(
        &self,
        call: &str,
        ptr: u64,
        bytes: u64,
    ) -> Result<(Arc<Allocation>, u64), Fault> {
        let view = self.view();
        match view.find(ptr) {
            Some(allocation) if ptr - allocation.base + bytes <= allocation.size => {
                Ok((Arc::clone(allocation), ptr - allocation.base))
            }
            _ => {
                let (kind, detail) = view.explain(call, ptr, bytes);
                Err(Fault::host(kind, detail))
            }
        }
    }

    /// The allocation that holds `ptr`: its start and size.
    pub(crate) fn around(&self, ptr: u64) -> Option<(u64, u64)> {
        self.view().find(ptr).map(|allocation| (allocation.base, allocation.size))
    }

    /// Forgets who touched what, before the numbers of launches repeat.
    pub(crate) fn clear_shadows(&self) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.live.values().for_each(|allocation| allocation.clear_shadow());
    }

    /// What a launch sees: memory neither comes nor goes while it runs.
    pub(crate) fn view(&self) -> View {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        View {
            live: state.live.values().cloned().collect(),
            freed: state.freed.iter().map(|(&base, &size)| (base, size)).collect(),
        }
    }
}

/// Allocations at one moment, in order of address.
#[derive(Debug, Clone)]
pub(crate) struct View {
    live: Vec<Arc<Allocation>>,
    freed: Vec<(u64, u64)>,
}

impl View {
    /// The allocation that holds `address`.
    pub(crate) fn find(&self, address: u64) -> Option<&Arc<Allocation>> {
        self.index(address).map(|index| &self.live[index])
    }

    /// Its place among all, for [`View::get`].
    pub(crate) fn index(&self, address: u64) -> Option<usize> {
        let after = self.live.partition_point(|allocation| allocation.base <= address);
        let index = after.checked_sub(1)?;
        let allocation = &self.live[index];
        (address < allocation.base + allocation.size).then_some(index)
    }

    /// The allocation at this place.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&Allocation> {
        self.live.get(index).map(|allocation| &**allocation)
    }

    /// Why an access is not possible.
    #[cold]
    pub(crate) fn explain(&self, does: &str, address: u64, bytes: u64) -> (FaultKind, String) {
        let what = format!("{does} of {bytes} bytes at {address:#x}");
        if let Some((base, size)) =
            self.freed.iter().find(|(base, size)| (*base..base + size).contains(&address))
        {
            return (
                FaultKind::UseAfterFree,
                format!("{what}: {} bytes into a freed allocation of {size} bytes", address - base),
            );
        }
        let index = self.live.partition_point(|allocation| allocation.base <= address);
        let named = |allocation: &Allocation| match &allocation.name {
            Some(name) => format!("`{name}` ({} bytes)", allocation.size),
            None => format!("a {}-byte allocation", allocation.size),
        };
        let before = index.checked_sub(1).map(|before| &self.live[before]);
        let after = self.live.get(index).filter(|after| after.base - address < GAP);
        let detail = match (before, after) {
            (Some(before), _) if address < before.base + before.size => {
                let past = bytes - (before.base + before.size - address);
                format!("{what}: {past} bytes past the end of {}", named(before))
            }
            (Some(before), after) if address - before.base - before.size < GAP => {
                let past = address - before.base - before.size;
                match after {
                    Some(after) if after.base - address < past => {
                        format!("{what}: {} bytes before {}", after.base - address, named(after))
                    }
                    _ => format!("{what}: {past} bytes after the end of {}", named(before)),
                }
            }
            (_, Some(after)) => {
                format!("{what}: {} bytes before {}", after.base - address, named(after))
            }
            _ => format!("{what}: no allocation is near"),
        };
        (FaultKind::OutOfBounds, detail)
    }
}
