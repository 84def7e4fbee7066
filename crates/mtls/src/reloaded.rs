//! Values built from the contents of files, rebuilt when the files change.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

/// Interval at which files are checked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Files, and the value that their contents make.
pub(crate) trait Source {
    type Contents: PartialEq;
    type Value;
    type Error;

    /// Reads the files. Blocks.
    fn read(&self) -> Result<Self::Contents, Self::Error>;

    fn build(&self, contents: &Self::Contents) -> Result<Self::Value, Self::Error>;
}

/// Last valid value of a source.
pub(crate) struct Reloaded<S: Source> {
    pub(crate) source: S,
    current: RwLock<Arc<S::Value>>,
    /// Last contents read, valid or not, so that an error is returned only once.
    seen: Mutex<Option<S::Contents>>,
}

/// Result of reading the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Same,
    New,
}

impl<S: Source> Reloaded<S> {
    /// Reads the files for the first time. Blocks.
    pub(crate) fn load(source: S) -> Result<Self, S::Error> {
        let contents = source.read()?;
        let value = source.build(&contents)?;
        Ok(Self { source, current: RwLock::new(Arc::new(value)), seen: Mutex::new(Some(contents)) })
    }

    /// A value from elsewhere, until the files are read.
    #[cfg(test)]
    pub(crate) fn unread(source: S, value: Arc<S::Value>) -> Self {
        Self { source, current: RwLock::new(value), seen: Mutex::new(None) }
    }

    pub(crate) fn current(&self) -> Arc<S::Value> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files once. Blocks. An error keeps the current value, and is returned once until
    /// the contents change or the files are readable again.
    pub(crate) fn look(&self) -> Result<Look, S::Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match self.source.read() {
            Ok(contents) => contents,
            Err(error) => return seen.take().map_or(Ok(Look::Same), |_| Err(error)),
        };
        if seen.as_ref() == Some(&contents) {
            return Ok(Look::Same);
        }
        let value = self.source.build(&contents);
        *seen = Some(contents);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value?);
        Ok(Look::New)
    }
}

/// Runs `serving`, with `watch` beside it if there is one.
pub(crate) async fn beside<T>(
    watch: Option<impl Future<Output = Infallible>>,
    serving: impl Future<Output = T>,
) -> T {
    let Some(watch) = watch else { return serving.await };
    tokio::select! {
        served = serving => served,
        never = watch => match never {},
    }
}
