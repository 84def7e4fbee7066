//! Id of this boot of the machine.

use win32::registry;
use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};

/// Key that the system forgets when the machine stops. It stays empty.
const PATH: &str = r"SOFTWARE\Graywave\Boot";

/// Id of this boot of the machine; `None` if it is unknown.
///
/// The first caller after a start of the machine creates a volatile key of the registry. The id is
/// the time of its creation, so all callers read the same one. A user without the right to write
/// there has an id of its own.
pub fn boot_id() -> Option<String> {
    id_below(LOCAL_MACHINE, PATH).or_else(|| id_below(CURRENT_USER, PATH))
}

fn id_below(root: &Key, path: &str) -> Option<String> {
    let key = root.open(path).or_else(|_| root.options().read().write().create().volatile().open(path));
    // The key never changes later, so this is the time of its creation.
    registry::last_write(&key.ok()?).ok().map(|time| format!("{time:016x}"))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Barrier, thread};

    use super::*;

    #[test]
    fn callers_at_the_same_time_get_the_same_boot_id() {
        for round in 0..20 {
            let path = format!(r"SOFTWARE\Graywave\Test-{}-{round}", std::process::id());
            let barrier = Barrier::new(4);
            let id = || {
                barrier.wait();
                id_below(CURRENT_USER, &path).unwrap()
            };
            let ids: HashSet<_> = thread::scope(|scope| {
                let callers: Vec<_> = (0..4).map(|_| scope.spawn(id)).collect();
                callers.into_iter().map(|caller| caller.join().unwrap()).collect()
            });
            assert_eq!(ids.len(), 1, "{ids:?}");
            assert_eq!(id_below(CURRENT_USER, &path).as_ref(), ids.iter().next());
            CURRENT_USER.remove_tree(&path).unwrap();
        }
    }
}
