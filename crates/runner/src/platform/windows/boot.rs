//! Id of this boot of the machine.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};

/// Key that the system forgets when the machine stops.
const PATH: &str = r"SOFTWARE\Graywave\Boot";
const NAME: &str = "Id";

/// Id of this boot of the machine; `None` if it is unknown.
///
/// The first caller after a start of the machine makes it up. It is kept in a volatile key of the
/// registry; a user without the right to write there has an id of its own.
pub fn boot_id() -> Option<String> {
    id_below(LOCAL_MACHINE).or_else(|| id_below(CURRENT_USER))
}

fn id_below(root: &Key) -> Option<String> {
    if let Ok(id) = root.open(PATH).and_then(|key| key.get_string(NAME)) {
        return Some(id);
    }
    let key = root.options().read().write().create().volatile().open(PATH).ok()?;
    let id = RandomState::new().build_hasher().finish();
    key.set_string(NAME, format!("{id:016x}")).ok()?;
    // Another process may have made one up at the same time.
    key.get_string(NAME).ok()
}
