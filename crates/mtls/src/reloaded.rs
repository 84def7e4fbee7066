//! Values built from the contents of files, rebuilt when the files change.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

/// Interval at which files are checked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Files, and the value that their contents make.
pub trait Source {
    /// Contents of the files at one moment.
    type Contents: PartialEq;
    /// Value that the contents make.
    type Value;
    /// Cause of an unreadable file, or of contents that make no value.
    type Error;

    /// Reads the files. Blocks.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    fn read(&self) -> Result<Self::Contents, Self::Error>;

    /// Builds the value.
    ///
    /// # Errors
    ///
    /// The contents make no value.
    fn build(&self, contents: &Self::Contents) -> Result<Self::Value, Self::Error>;
}

/// Last valid value of a source.
pub struct Reloaded<S: Source> {
    pub(crate) source: S,
    current: RwLock<Arc<S::Value>>,
    /// Last contents read, valid or not, so that an error is returned only once.
    seen: Mutex<Option<S::Contents>>,
}

/// Result of reading the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The contents have not changed.
    Same,
    /// New contents made a new value.
    New,
}

impl<S: Source> Reloaded<S> {
    /// Reads the files for the first time. Blocks.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the contents make no value.
    pub fn load(source: S) -> Result<Self, S::Error> {
        let contents = source.read()?;
        let value = source.build(&contents)?;
        Ok(Self { source, current: RwLock::new(Arc::new(value)), seen: Mutex::new(Some(contents)) })
    }

    /// A value from elsewhere, until the files are read.
    #[cfg(test)]
    pub(crate) fn unread(source: S, value: Arc<S::Value>) -> Self {
        Self { source, current: RwLock::new(value), seen: Mutex::new(None) }
    }

    /// Returns the source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Returns the last valid value.
    pub fn current(&self) -> Arc<S::Value> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files once. Blocks. An error keeps the current value, and is returned once until
    /// the contents change or the files are readable again.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the contents make no value.
    pub fn look(&self) -> Result<Look, S::Error> {
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

impl<S> Reloaded<S>
where
    S: Source + Send + Sync + 'static,
    S::Contents: Send,
    S::Value: Send + Sync,
    S::Error: Send,
{
    /// Checks the files every few seconds, and passes each new value, and each error once.
    pub async fn watch(
        self: &Arc<Self>,
        mut take: impl FnMut(Result<Arc<S::Value>, S::Error>),
    ) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let reloaded = Arc::clone(self);
            match tokio::task::spawn_blocking(move || reloaded.look()).await {
                Ok(Ok(Look::Same)) => {}
                Ok(Ok(Look::New)) => take(Ok(self.current())),
                Ok(Err(error)) => take(Err(error)),
                Err(error) => tracing::error!(%error, "reading changed files failed"),
            }
        }
    }
}

impl<S: Source + std::fmt::Debug> std::fmt::Debug for Reloaded<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloaded").field("source", &self.source).finish_non_exhaustive()
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
