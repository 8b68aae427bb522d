//! Values that many routes share, held once.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Equal values under one small id, for as long as somebody holds the id.
#[derive(Debug)]
pub(super) struct Interner<T> {
    ids: BTreeMap<Arc<T>, u32>,
    slots: Vec<Option<Slot<T>>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    value: Arc<T>,
    holders: usize,
}

impl<T: Ord> Interner<T> {
    pub(super) const fn new() -> Self {
        Self { ids: BTreeMap::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// The id of `value`, with one more holder.
    pub(super) fn hold(&mut self, value: T) -> u32 {
        if let Some(&id) = self.ids.get(&value) {
            if let Some(Some(slot)) = self.slots.get_mut(id as usize) {
                slot.holders += 1;
            }
            return id;
        }
        let value = Arc::new(value);
        let slot = Some(Slot { value: Arc::clone(&value), holders: 1 });
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.slots.get_mut(id as usize) {
            *place = slot;
        }
        self.ids.insert(value, id);
        id
    }

    /// One holder less; the value goes with the last one and is returned then.
    pub(super) fn release(&mut self, id: u32) -> Option<Arc<T>> {
        let place = self.slots.get_mut(id as usize)?;
        let slot = place.as_mut()?;
        slot.holders -= 1;
        if slot.holders > 0 {
            return None;
        }
        let slot = place.take()?;
        self.ids.remove(&slot.value);
        self.free.push(id);
        Some(slot.value)
    }

    pub(super) fn value(&self, id: u32) -> Option<&Arc<T>> {
        self.slots.get(id as usize)?.as_ref().map(|slot| &slot.value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
