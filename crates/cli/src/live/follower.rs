//! Follows the output of all records of a task to their ends.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use proto::admin::{OutputPosition, OutputState, Record, StreamOutputRequest, StreamOutputResponse};
use tonic::{Code, Status, Streaming};

use super::lines::Lines;
use crate::{
    Error,
    client::Session,
    error::helps_later,
    output::{Console, print},
    sanitize::sanitize_line,
};

/// Maximum number of desktops whose output is followed at the same time.
pub(crate) const MAX_DESKTOPS: usize = 10;
/// Pause before another attempt after a lost connection.
const PAUSE: Duration = Duration::from_secs(1);
/// Time after which a desktop without an answer is reported.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// Output of one desktop: its records, one after the other.
#[derive(Debug)]
struct Desktop {
    desktop_id: String,
    /// Ids of the records that have not ended, in the order of the scripts.
    record_ids: VecDeque<String>,
    /// Position in the output of the first of them.
    next_offset: u64,
    lines: Lines,
    /// Whether a message about a missing answer was printed.
    is_explained: bool,
    is_answered: bool,
}

/// Output of the desktops of a task.
pub(crate) struct LiveOutput {
    session: Session,
    task_id: String,
    desktops: Vec<Desktop>,
}

impl LiveOutput {
    /// Prepares to follow records, in the order of the plan. With `is_raw`, overwritten progress is
    /// kept.
    pub(crate) fn new(session: &Session, task_id: &str, records: &[Record], is_raw: bool) -> Self {
        let mut of_desktop: BTreeMap<u32, (&str, VecDeque<String>)> = BTreeMap::new();
        for record in records {
            let (_, ids) =
                of_desktop.entry(record.ordinal).or_insert_with(|| (&record.desktop_id, VecDeque::new()));
            ids.push_back(record.record_id.clone());
        }
        let is_one_of_many = of_desktop.len() > 1;
        let desktops = of_desktop.into_values().map(|(desktop_id, record_ids)| Desktop {
            desktop_id: sanitize_line(desktop_id),
            record_ids,
            next_offset: 0,
            lines: Lines::new(desktop_id, is_one_of_many, is_raw),
            is_explained: false,
            is_answered: false,
        });
        Self { session: session.clone(), task_id: task_id.to_owned(), desktops: desktops.collect() }
    }

    /// Prints the output until all records have ended. Lost connections are repeated.
    ///
    /// # Errors
    ///
    /// The control plane refuses the call, or standard output is closed.
    pub(crate) async fn follow(&mut self, console: &Console) -> Result<(), Error> {
        while self.desktops.iter().any(|desktop| !desktop.record_ids.is_empty()) {
            match self.follow_once(console).await {
                Ok(()) => {}
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Status(status)) if helps_later(&status) => tokio::time::sleep(PAUSE).await,
                Err(Stop::Status(status)) => return Err(refused(&self.task_id, &status)),
            }
        }
        Ok(())
    }

    /// Prints output until a record has ended, or the stream has.
    async fn follow_once(&mut self, console: &Console) -> Result<(), Stop> {
        let positions = self.desktops.iter().filter_map(Desktop::position).collect();
        let request = StreamOutputRequest { positions };
        let mut stream = self.session.records().stream_output(request).await?.into_inner();
        while let Some(message) = self.next(&mut stream, console).await? {
            let Some(desktop) =
                self.desktops.iter_mut().find(|it| it.record_ids.front() == Some(&message.record_id))
            else {
                continue;
            };
            // A desktop with another script needs another stream.
            if desktop.take(&message, console, &self.task_id)? && !desktop.record_ids.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Next message. Explains the silence of desktops meanwhile.
    async fn next(
        &mut self,
        stream: &mut Streaming<StreamOutputResponse>,
        console: &Console,
    ) -> Result<Option<StreamOutputResponse>, Stop> {
        if let Ok(message) = tokio::time::timeout(SILENT_AFTER, stream.message()).await {
            return Ok(message?);
        }
        for desktop in self.desktops.iter_mut().filter(|desktop| !desktop.record_ids.is_empty()) {
            if !desktop.is_answered && !std::mem::replace(&mut desktop.is_explained, true) {
                let desktop_id = &desktop.desktop_id;
                console.say(&format!(
                    "{desktop_id}: no output yet: it waits, is disconnected or does not answer"
                ));
            }
        }
        Ok(stream.message().await?)
    }
}

/// Cause of the end of a stream.
enum Stop {
    Status(Status),
    Error(Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

fn refused(task_id: &str, status: &Status) -> Error {
    match status.code() {
        Code::Unimplemented => Error::refused("the control plane is too old for live output")
            .try_next(format!("graywave logs --all --task {task_id}: after the end")),
        _ => Error::of(&format!("cannot read the output of task {task_id}"), status),
    }
}

impl Desktop {
    fn position(&self) -> Option<OutputPosition> {
        let record_id = self.record_ids.front()?.clone();
        Some(OutputPosition { record_id, from_offset: self.next_offset })
    }

    /// Prints a part; true if it ends the record.
    fn take(
        &mut self,
        message: &StreamOutputResponse,
        console: &Console,
        task_id: &str,
    ) -> Result<bool, Stop> {
        let desktop_id = &self.desktop_id;
        if message.offset > self.next_offset {
            show(&self.lines.end())?;
            let lost = message.offset - self.next_offset;
            console
                .say(&format!("{desktop_id}: {lost} bytes of output are not shown: it was written too fast"));
        }
        self.next_offset = message.next_offset;
        show(&self.lines.push(&message.output))?;
        match message.state() {
            OutputState::Live => self.is_answered = true,
            OutputState::Unsupported if !std::mem::replace(&mut self.is_explained, true) => {
                console.say(&format!(
                    "{desktop_id}: its agent is too old for live output, which follows at the end"
                ));
            }
            OutputState::Ended => {
                show(&self.lines.end())?;
                if message.is_incomplete {
                    let command = format!("graywave logs {desktop_id} --task {task_id}");
                    console
                        .say(&format!("{desktop_id}: the end of its output is not shown\n  see: {command}"));
                }
                self.record_ids.pop_front();
                self.next_offset = 0;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

fn show(text: &str) -> Result<(), Stop> {
    if text.is_empty() { Ok(()) } else { print(text).map_err(Stop::Error) }
}
