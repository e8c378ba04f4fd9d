//! Handles: numbers that name one object of one kind, and are never given twice.

use std::collections::HashMap;

use crate::error::{Result, code};

/// What a handle names; it stands in the handle's upper bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Context = 1,
    Stream,
    Event,
    Module,
    Function,
    Graph,
    GraphExec,
    GraphNode,
    Pool,
}

/// The objects of one kind.
#[derive(Debug)]
pub(crate) struct Table<T> {
    kind: Kind,
    given: u64,
    items: HashMap<u64, T>,
}

impl<T> Table<T> {
    pub(crate) fn new(kind: Kind) -> Table<T> {
        Table { kind, given: 0, items: HashMap::new() }
    }

    /// Makes an object that knows its own handle.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(u64) -> T) -> u64 {
        self.given += 1;
        // A multiple of 16, as an address would be: some callers keep flags in the low bits.
        let handle = ((self.kind as u64) << 48) | (self.given << 4);
        self.items.insert(handle, make(handle));
        handle
    }

    pub(crate) fn insert(&mut self, item: T) -> u64 {
        self.insert_with(|_| item)
    }

    pub(crate) fn get(&self, handle: u64) -> Result<&T> {
        self.items.get(&handle).ok_or(code::INVALID_HANDLE.into())
    }

    pub(crate) fn get_mut(&mut self, handle: u64) -> Result<&mut T> {
        self.items.get_mut(&handle).ok_or(code::INVALID_HANDLE.into())
    }

    pub(crate) fn remove(&mut self, handle: u64) -> Result<T> {
        self.items.remove(&handle).ok_or(code::INVALID_HANDLE.into())
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.items.retain(|_, item| keep(item));
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        self.items.iter_mut().map(|(&handle, item)| (handle, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_one_object_for_ever() {
        let mut events = Table::new(Kind::Event);
        let mut streams = Table::new(Kind::Stream);
        let (first, other) = (events.insert('a'), streams.insert('b'));
        assert_ne!(first, other);
        assert_eq!(events.get(first), Ok(&'a'));
        assert_eq!(events.get(other), Err(code::INVALID_HANDLE.into()));
        assert_eq!(events.remove(first), Ok('a'));
        assert_eq!(events.remove(first), Err(code::INVALID_HANDLE.into()));
        assert_ne!(events.insert('c'), first);
        assert!(events.get(0).is_err());
    }
}
