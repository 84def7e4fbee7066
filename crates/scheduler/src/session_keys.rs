//! Stored form of session keys: the key's id, then the key, encrypted if there is a master key.

use std::{fmt, sync::Arc};

use domain::ids::{DesktopId, ProjectId};
use mtls::SessionKey;
use proto::session_signing::KeyId;

/// Marks a key that is stored as it is.
const PLAIN: u8 = 0;
/// Marks an encrypted key.
const WRAPPED: u8 = 1;

/// Encryption of stored keys under a master key that is not in the database.
pub trait KeyWrap: fmt::Debug + Send + Sync {
    /// Encrypts a key and binds it to `context`; `None` without a master key.
    fn wrap(&self, context: &[u8], key: &[u8]) -> Option<Vec<u8>>;

    /// Decrypts a key; `None` if it was encrypted for another context or with an unknown master
    /// key.
    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Vec<u8>>;
}

/// Reads and writes stored session keys. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionKeys {
    wrap: Option<Arc<dyn KeyWrap>>,
}

impl SessionKeys {
    pub(crate) fn new(wrap: Arc<dyn KeyWrap>) -> Self {
        Self { wrap: Some(wrap) }
    }

    /// Stored form of a key.
    pub(crate) fn stored(&self, desktop: (&ProjectId, &DesktopId), id: &KeyId, key: &SessionKey) -> Vec<u8> {
        let wrapped = self.wrap.as_ref().and_then(|wrap| wrap.wrap(&context(desktop, id), key.bytes()));
        match wrapped {
            Some(wrapped) => [&id[..], &[WRAPPED], &wrapped].concat(),
            None => [&id[..], &[PLAIN], key.bytes()].concat(),
        }
    }

    /// Finds the key with this id among stored keys; `None` if it is missing or not readable.
    pub(crate) fn find(
        &self,
        desktop: (&ProjectId, &DesktopId),
        stored: &[Vec<u8>],
        id: &[u8],
    ) -> Option<SessionKey> {
        let id: KeyId = id.try_into().ok()?;
        let rest = stored.iter().find_map(|stored| stored.strip_prefix(&id[..]))?;
        let (kind, key) = rest.split_first()?;
        let key = match (*kind, &self.wrap) {
            (PLAIN, _) => key.to_vec(),
            (WRAPPED, Some(wrap)) => wrap.unwrap(&context(desktop, &id), key)?,
            _ => return None,
        };
        Some(SessionKey::from_bytes(key.try_into().ok()?))
    }
}

/// Context of an encrypted key: it cannot be used as the key of another desktop.
fn context((project_id, desktop_id): (&ProjectId, &DesktopId), id: &KeyId) -> Vec<u8> {
    [
        b"graywave session key\0",
        project_id.as_str().as_bytes(),
        b"\0",
        desktop_id.as_str().as_bytes(),
        b"\0",
        id,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cipher for tests, which shows its context.
    #[derive(Debug)]
    struct Shown;

    impl KeyWrap for Shown {
        fn wrap(&self, context: &[u8], key: &[u8]) -> Option<Vec<u8>> {
            Some([context, key].concat())
        }

        fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
            wrapped.strip_prefix(context).map(<[u8]>::to_vec)
        }
    }

    #[test]
    fn key_is_found_by_its_id_and_for_its_desktop() {
        let (project, one, other): (ProjectId, DesktopId, DesktopId) =
            ("p".parse().unwrap(), "d".parse().unwrap(), "e".parse().unwrap());
        let wrapped = SessionKeys::new(Arc::new(Shown));
        for keys in [SessionKeys::default(), wrapped.clone()] {
            let stored: Vec<Vec<u8>> = (0..3u8)
                .map(|number| {
                    let key = SessionKey::from_bytes([number; 32]);
                    keys.stored((&project, &one), &[number; 16], &key)
                })
                .collect();
            let found = keys.find((&project, &one), &stored, &[1; 16]).unwrap();
            assert_eq!(found.bytes(), &[1; 32]);
            assert!(keys.find((&project, &one), &stored, &[9; 16]).is_none());
            assert!(keys.find((&project, &one), &stored, &[1; 15]).is_none());
        }
        let key = SessionKey::from_bytes([1; 32]);
        let stored = [wrapped.stored((&project, &one), &[1; 16], &key)];
        assert!(wrapped.find((&project, &other), &stored, &[1; 16]).is_none(), "of another desktop");
        assert!(SessionKeys::default().find((&project, &one), &stored, &[1; 16]).is_none(), "no master key");
    }
}
