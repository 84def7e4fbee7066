//! Output of a running script, read from its runner.

use std::{io, time::Duration};

use runner::{OutputReply, OutputRequest, RunDir};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::platform::{ControlStream, connect};

/// Time limit of one answer. A runner that writes its result to a full disk answers later.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Maximum length of a reply's content: what a runner keeps.
const MAX_CONTENT_BYTES: usize = 1 << 20;

/// Connection to a runner beside the one that supervises the script, so that reading output cannot
/// disturb that.
#[derive(Debug)]
pub(crate) struct LiveOutput {
    run_dir: RunDir,
    stream: Option<ControlStream>,
}

impl LiveOutput {
    /// Names the run; nothing is connected.
    pub(crate) fn new(run_dir: RunDir) -> Self {
        Self { run_dir, stream: None }
    }

    /// Reads the output from an offset on: what there is now.
    ///
    /// # Errors
    ///
    /// When the runner has not started, has ended, or is too old to answer.
    pub(crate) async fn read(&mut self, from_offset: u64) -> io::Result<OutputReply> {
        let answer = timeout(ANSWER_WITHIN, self.ask(from_offset)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            // A late answer must not count as the answer to a later request.
            self.stream = None;
        }
        answer
    }

    /// Waits until the runner sends something by itself: the rest of the output at the end of the
    /// script. Waits at most for `limit`.
    pub(crate) async fn wait(&self, limit: Duration) {
        let sent = async {
            match &self.stream {
                Some(stream) if stream.readable().await.is_ok() => {}
                _ => std::future::pending().await,
            }
        };
        if timeout(limit, sent).await.is_err() {
            tracing::trace!("the runner sent nothing");
        }
    }

    async fn ask(&mut self, from_offset: u64) -> io::Result<OutputReply> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.run_dir).await?),
        };
        // A runner that has ended takes no request, and has sent the rest before.
        if let Err(error) = stream.write_all(&OutputRequest { from_offset }.encode()).await {
            tracing::debug!(%error, "the runner takes no request for output");
        }
        let mut header = [0; OutputReply::HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let (reply, length) = OutputReply::decode_header(&header).ok_or(io::ErrorKind::InvalidData)?;
        if length > MAX_CONTENT_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut content = vec![0; length];
        stream.read_exact(&mut content).await?;
        Ok(OutputReply { content, ..reply })
    }
}
