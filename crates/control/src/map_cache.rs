//! Maps of tasks that were read last. The changes since then bring a map up to date, so that a map
//! of a million desktops is read as a whole only once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{ids::TaskId, limits::MAX_CACHED_MAP_BYTES};

/// A map at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedMap {
    /// Position in the changes of the map.
    pub(crate) version: i64,
    /// Whether the task has ended. Its map does not change any more, and its version is deleted
    /// some time later.
    pub(crate) is_final: bool,
    /// One code for each target.
    pub(crate) bytes: Vec<u8>,
}

/// The maps that were used last, the latest first, up to a number of bytes.
#[derive(Debug, Default)]
pub(crate) struct MapCache(Mutex<VecDeque<(TaskId, Arc<CachedMap>)>>);

impl MapCache {
    fn entries(&self) -> MutexGuard<'_, VecDeque<(TaskId, Arc<CachedMap>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the map of a task; `None` if it is not cached.
    pub(crate) fn get(&self, task_id: TaskId) -> Option<Arc<CachedMap>> {
        let mut entries = self.entries();
        let place = entries.iter().position(|(id, _)| *id == task_id)?;
        let entry = entries.remove(place)?;
        let map = Arc::clone(&entry.1);
        entries.push_front(entry);
        Some(map)
    }

    /// Stores the map of a task, unless a newer one is stored, and drops the maps that were used
    /// longest ago.
    pub(crate) fn put(&self, task_id: TaskId, map: Arc<CachedMap>) {
        let mut entries = self.entries();
        if let Some(place) = entries.iter().position(|(id, _)| *id == task_id) {
            if entries.get(place).is_some_and(|(_, known)| known.is_newer_than(&map)) {
                return;
            }
            entries.remove(place);
        }
        entries.push_front((task_id, map));
        let mut bytes: usize = entries.iter().map(|(_, map)| map.bytes.len()).sum();
        while bytes > MAX_CACHED_MAP_BYTES {
            let Some((_, dropped)) = entries.pop_back() else { return };
            bytes -= dropped.bytes.len();
        }
    }
}

impl CachedMap {
    const fn is_newer_than(&self, other: &Self) -> bool {
        self.is_final || !other.is_final && self.version > other.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> TaskId {
        TaskId(uuid::Uuid::from_u128(number))
    }

    fn map(version: i64, bytes: usize) -> Arc<CachedMap> {
        Arc::new(CachedMap { version, is_final: false, bytes: vec![0; bytes] })
    }

    #[test]
    fn newest_version_of_a_map_is_kept() {
        let cache = MapCache::default();
        assert_eq!(cache.get(id(1)), None);
        cache.put(id(1), map(3, 5));
        cache.put(id(1), map(2, 5));
        assert_eq!(cache.get(id(1)).unwrap().version, 3);
        cache.put(id(1), map(4, 5));
        assert_eq!(cache.get(id(1)).unwrap().version, 4);
        // The version of an ended task is deleted, and its map is final.
        cache.put(id(1), Arc::new(CachedMap { version: 0, is_final: true, bytes: vec![16; 5] }));
        cache.put(id(1), map(9, 5));
        assert!(cache.get(id(1)).unwrap().is_final);
    }

    #[test]
    fn map_that_was_used_longest_ago_makes_room() {
        let cache = MapCache::default();
        let third = MAX_CACHED_MAP_BYTES / 3;
        for number in 1..=3 {
            cache.put(id(number), map(1, third));
        }
        assert!(cache.get(id(1)).is_some());
        cache.put(id(4), map(1, third));
        assert!(cache.get(id(2)).is_none() && cache.get(id(1)).is_some() && cache.get(id(4)).is_some());
        cache.put(id(5), map(1, MAX_CACHED_MAP_BYTES + 1));
        assert!(cache.get(id(5)).is_none(), "larger than the cache");
    }
}
