//! Watching a project: its tasks as they change, their events, and the maps that a client follows.
//!
//! A position names what a moment of the database showed, so that a resumed stream neither misses
//! nor repeats a change, in any order of commits ([`domain::stream_position`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{
    Error, FieldPath, Timestamp,
    authz::{ALL, Action, Resource},
    ids::TaskId,
    limits::{
        EVENTS_PER_LOOK, MAP_LOOKS_EVERY, MAX_MAPS_PER_STREAM, MAX_TASKS_PER_STREAM, PRESENCE_LOOKS_EVERY,
        STREAM_BEATS_EVERY, STREAM_LOOKS_EVERY, STREAM_POSITION_LASTS, TASKS_PER_LOOK,
    },
    map::MapChange,
    stream_position::StreamPosition,
};
use store::{
    event::EventRow,
    map, task,
    task_change::{self, News},
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use crate::{
    Caller, Control, StreamPermit, TaskProgress, lookup,
    task_queries::{check_task, progress},
};

/// A kind of updates that a client may select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamKind {
    /// States of tasks.
    Task,
    /// Events of tasks.
    Event,
    /// Changes of maps.
    Map,
    /// The number of connected desktops.
    Desktops,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Task, Self::Event, Self::Map, Self::Desktops];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Event => "event",
            Self::Map => "map",
            Self::Desktops => "desktops",
        }
    }

    /// Parses a list of words; all kinds if it is empty.
    pub fn parse_all<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<Self>, Error> {
        let kind = |word: &str| {
            Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
                let word: String = word.chars().take(64).collect();
                Error::invalid("types", format!("{word:?} is not one of task, event, map, desktops"))
            })
        };
        let kinds: BTreeSet<Self> = words.into_iter().map(kind).collect::<Result<_, _>>()?;
        Ok(if kinds.is_empty() { Self::ALL.into_iter().collect() } else { kinds })
    }
}

/// Selection of a stream's updates.
#[derive(Debug, Clone)]
pub struct StreamFilter {
    /// Kinds of updates.
    pub kinds: BTreeSet<StreamKind>,
    /// Only states and events of these tasks; `None` for all tasks of the project.
    pub task_ids: Option<Vec<TaskId>>,
    /// Maps to follow, each from a version on; `None` if the client has no map yet.
    pub maps: BTreeMap<TaskId, Option<i64>>,
}

impl Default for StreamFilter {
    fn default() -> Self {
        Self { kinds: StreamKind::ALL.into_iter().collect(), task_ids: None, maps: BTreeMap::new() }
    }
}

impl StreamFilter {
    /// Parses one entry of `map`: a task id, or a task id with a version behind a colon.
    pub fn parse_map(text: &str) -> Result<(TaskId, Option<i64>), Error> {
        let (task_id, version) = match text.split_once(':') {
            Some((task_id, version)) => (task_id, Some(version)),
            None => (text, None),
        };
        let version =
            version.map(|version| {
                version.parse().ok().filter(|version: &i64| *version >= 0).ok_or_else(|| {
                    Error::invalid("map", "expected TASK_ID:VERSION with the version of a map")
                })
            });
        Ok((TaskId::find(task_id)?, version.transpose()?))
    }

    fn check(&self) -> Result<(), Error> {
        let too_many = |field: &'static str, given: usize, most: usize| {
            Err(Error::out_of_range(
                FieldPath::from(field),
                format!("{given} are given: at most {most} are allowed"),
            ))
        };
        match &self.task_ids {
            Some(ids) if ids.len() > MAX_TASKS_PER_STREAM => {
                too_many("task_id", ids.len(), MAX_TASKS_PER_STREAM)
            }
            _ if self.maps.len() > MAX_MAPS_PER_STREAM => {
                too_many("map", self.maps.len(), MAX_MAPS_PER_STREAM)
            }
            _ => Ok(()),
        }
    }

    fn wants(&self, kind: StreamKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Returns every task that the filter names.
    fn named(&self) -> BTreeSet<TaskId> {
        self.task_ids.iter().flatten().chain(self.maps.keys()).copied().collect()
    }
}

/// Reason why a client has to load its lists and maps again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetReason {
    /// The changes after its position are deleted.
    PositionExpired,
    /// More changed than a stream carries.
    TooManyChanges,
    /// The database was restored, and its position is of a time that does not exist any more.
    DatabaseRestored,
}

impl ResetReason {
    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PositionExpired => "POSITION_EXPIRED",
            Self::TooManyChanges => "TOO_MANY_CHANGES",
            Self::DatabaseRestored => "DATABASE_RESTORED",
        }
    }
}

/// Reason of the end of a stream. The client reconnects with its last position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByeReason {
    /// The process stops.
    ServerStopping,
    /// The stream has lasted as long as a stream may.
    StreamLimit,
}

impl ByeReason {
    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerStopping => "SERVER_STOPPING",
            Self::StreamLimit => "STREAM_LIMIT",
        }
    }
}

/// An update to send to a client.
#[derive(Debug, Clone)]
pub enum ProjectUpdate {
    /// State of a task.
    Task(Box<TaskProgress>),
    /// Event of a task.
    Event(TaskId, EventRow),
    /// Change of a map up to a version.
    Map {
        /// Task of the map.
        task_id: TaskId,
        /// Version of the map with the change.
        version: i64,
        /// The change since the last update of this map.
        change: MapChange,
    },
    /// Number of connected desktops.
    Desktops(i64),
    /// Nothing changed until this time.
    Heartbeat(Timestamp),
    /// The client has to load everything again. The stream goes on.
    Reset(ResetReason),
}

/// Updates that belong together, and the position behind them.
#[derive(Debug, Clone)]
pub struct ProjectPoll {
    /// Updates in the order in which to send them; never empty.
    pub updates: Vec<ProjectUpdate>,
    /// Position after the last of them.
    pub position: StreamPosition,
}

/// A client's stream of a project. Holds its places among the open streams.
#[derive(Debug)]
pub struct ProjectWatch {
    control: Control,
    caller: Caller,
    filter: StreamFilter,
    /// `None` before the first poll of a client without a position.
    position: Option<StreamPosition>,
    maps: BTreeMap<TaskId, i64>,
    /// Maps whose client has to read them again first.
    unread_maps: BTreeMap<TaskId, i64>,
    connected: Option<i64>,
    presence_at: Option<Instant>,
    beat_at: Instant,
    is_first: bool,
    _permits: (StreamPermit, OwnedSemaphorePermit),
}

impl Control {
    /// Watches a project, from a position on or from now on.
    ///
    /// # Errors
    ///
    /// Those of a filter that is invalid or names an unknown task, and `ProjectShareExceeded`,
    /// `ShareExceeded` or `Overloaded` if too many streams are open.
    pub async fn watch_project(
        &self,
        caller: &Caller,
        filter: StreamFilter,
        position: Option<StreamPosition>,
    ) -> Result<ProjectWatch, Error> {
        filter.check()?;
        if filter.task_ids.is_none() {
            caller.check(Action::GetTask, [Resource::Task(ALL)])?;
        }
        let named = filter.named();
        named.iter().try_for_each(|task_id| check_task(caller, *task_id))?;
        let permits = (self.open_stream(caller.project_id())?, self.open_project_stream(caller)?);
        let mut connection = self.store.acquire().await?;
        let known: Vec<TaskId> = named.iter().copied().collect();
        let found = task::open(&mut connection, caller.project_id(), Some(&known), i64::MAX).await?;
        let is_there = |id: &TaskId| found.iter().any(|task| task.task_id == *id);
        if let Some(missing) = named.iter().find(|id| !is_there(id)) {
            return Err(lookup::no_task(*missing));
        }
        let (mut maps, mut unread_maps) = (BTreeMap::new(), BTreeMap::new());
        for (&task_id, &given) in filter.maps.iter().filter(|_| filter.wants(StreamKind::Map)) {
            let head = map::head(&mut connection, caller.project_id(), task_id).await?;
            let head = head.ok_or_else(|| lookup::no_task(task_id))?;
            let resumed = position.as_ref().and_then(|position| position.maps.get(&task_id).copied());
            // The changes of an ended task are deleted some time after its end.
            let is_gone = head.version == 0 && head.status.is_ended();
            match given.max(resumed).filter(|version| *version <= head.version && !is_gone) {
                Some(version) => drop(maps.insert(task_id, version)),
                None => drop(unread_maps.insert(task_id, head.version)),
            }
        }
        drop(connection);
        let (control, caller) = (self.clone(), caller.clone());
        Ok(ProjectWatch {
            control,
            caller,
            filter,
            position,
            maps,
            unread_maps,
            connected: None,
            presence_at: None,
            beat_at: Instant::now(),
            is_first: true,
            _permits: permits,
        })
    }
}

impl ProjectWatch {
    /// Waits for the next updates: changes at most every quarter of a second, or a heartbeat.
    pub async fn next(&mut self) -> Result<ProjectPoll, Error> {
        loop {
            if !std::mem::take(&mut self.is_first) {
                tokio::time::sleep(self.interval()).await;
            }
            let poll = self.look().await?;
            let is_silent = poll.updates.is_empty();
            self.position = Some(poll.position.clone());
            if !is_silent {
                self.beat_at = Instant::now();
                return Ok(poll);
            }
            if self.beat_at.elapsed() >= STREAM_BEATS_EVERY {
                self.beat_at = Instant::now();
                let updates = vec![ProjectUpdate::Heartbeat(poll.position.at)];
                return Ok(ProjectPoll { updates, ..poll });
            }
        }
    }

    fn interval(&self) -> Duration {
        if self.maps.is_empty() { STREAM_LOOKS_EVERY } else { MAP_LOOKS_EVERY }
    }

    /// Reads what is new since the position. The updates may be empty.
    async fn look(&mut self) -> Result<ProjectPoll, Error> {
        let now = self.control.environment.now();
        let mut connection = self.control.store.acquire().await?;
        let since = self.position.clone();
        let project_id = self.caller.project_id().clone();
        let only = self.filter.task_ids.as_deref();
        let looks_at_presence = self.filter.wants(StreamKind::Desktops)
            && self.presence_at.is_none_or(|at| at.elapsed() >= PRESENCE_LOOKS_EVERY);
        // Nobody gets the changes since an expired position, and reading them could take minutes.
        let seen = since.as_ref().filter(|since| !is_expired(since, now)).map(|since| &since.seen);
        let news = task_change::news(&mut connection, &project_id, seen, only, looks_at_presence).await?;
        let reset = since.as_ref().and_then(|since| reset(since, &news, now));
        let mut updates: Vec<ProjectUpdate> = reset.map(ProjectUpdate::Reset).into_iter().collect();
        let is_fresh = since.is_none() || reset.is_some();
        if is_fresh && since.is_some() {
            // The changes of the maps may be deleted as well.
            self.unread_maps.extend(std::mem::take(&mut self.maps));
        }
        let mut tasks = Vec::new();
        if self.filter.wants(StreamKind::Task) {
            let changed: BTreeSet<TaskId> =
                news.tasks.iter().chain(news.events.iter().map(|(task_id, _)| task_id)).copied().collect();
            let changed: Vec<TaskId> = changed.into_iter().collect();
            let selected = if is_fresh { only } else { Some(changed.as_slice()) };
            if selected.is_none_or(|selected| !selected.is_empty()) {
                let rows = task::open(&mut connection, &project_id, selected, TASKS_PER_LOOK * 2).await?;
                tasks = progress(&mut connection, rows, now).await?;
            }
        }
        if self.filter.wants(StreamKind::Event) && !is_fresh {
            let events = news.events.into_iter();
            updates.extend(events.map(|(task_id, event)| ProjectUpdate::Event(task_id, event)));
        }
        updates.extend(tasks.into_iter().map(|task| ProjectUpdate::Task(Box::new(task))));
        updates.extend(self.map_updates(&mut connection).await?);
        if let Some(connected) = news.connected {
            self.presence_at = Some(Instant::now());
            if self.connected.replace(connected) != Some(connected) {
                updates.push(ProjectUpdate::Desktops(connected));
            }
        }
        let position = StreamPosition { at: now, seen: news.seen, maps: self.maps.clone() };
        Ok(ProjectPoll { updates, position })
    }

    /// Reads the changes of the followed maps, and asks the client to read a missing map.
    async fn map_updates(&mut self, connection: &mut store::Connection) -> Result<Vec<ProjectUpdate>, Error> {
        let mut updates = Vec::new();
        for (task_id, version) in std::mem::take(&mut self.unread_maps) {
            self.maps.insert(task_id, version);
            updates.push(ProjectUpdate::Map { task_id, version, change: MapChange::reset() });
        }
        if self.maps.is_empty() {
            return Ok(updates);
        }
        for (task_id, found) in task_change::map_news(connection, &self.maps).await? {
            self.maps.insert(task_id, found.version);
            if !found.change.is_empty() {
                let (version, change) = (found.version, found.change);
                updates.push(ProjectUpdate::Map { task_id, version, change });
            }
        }
        Ok(updates)
    }
}

/// Returns whether the changes after a position may be deleted.
fn is_expired(since: &StreamPosition, now: Timestamp) -> bool {
    (now - since.at).to_std().is_ok_and(|age| age > STREAM_POSITION_LASTS)
}

/// Returns the reason why the changes after a position are not known, or not carried.
fn reset(since: &StreamPosition, news: &News, now: Timestamp) -> Option<ResetReason> {
    let is_over = |number: usize, most: i64| i64::try_from(number).is_ok_and(|number| number > most);
    if since.seen.is_after(&news.seen) {
        Some(ResetReason::DatabaseRestored)
    } else if is_expired(since, now) {
        Some(ResetReason::PositionExpired)
    } else if is_over(news.tasks.len(), TASKS_PER_LOOK) || is_over(news.events.len(), EVENTS_PER_LOOK) {
        Some(ResetReason::TooManyChanges)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_of_a_filter_has_an_optional_version() {
        let id = "0190000000007000800000000000000a";
        let task_id = TaskId::find(id).unwrap();
        assert_eq!(StreamFilter::parse_map(id).unwrap(), (task_id, None));
        assert_eq!(StreamFilter::parse_map(&format!("{id}:0")).unwrap(), (task_id, Some(0)));
        for bad in ["", ":1", "x:1", &format!("{id}:"), &format!("{id}:-1"), &format!("{id}:1:2")] {
            assert!(StreamFilter::parse_map(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn position_expires_after_its_time() {
        let position: StreamPosition = "1.1700000000000.3:3:.".parse().unwrap();
        assert!(!is_expired(&position, position.at + STREAM_POSITION_LASTS));
        assert!(is_expired(&position, position.at + STREAM_POSITION_LASTS + Duration::from_millis(1)));
        assert!(!is_expired(&position, position.at - Duration::from_secs(1)), "the clock went back");
    }

    #[test]
    fn kinds_are_read_from_their_words() {
        assert_eq!(StreamKind::parse_all([]).unwrap().len(), 4);
        let kinds = StreamKind::parse_all(["map", "task", "map"]).unwrap();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [StreamKind::Task, StreamKind::Map]);
        let error = StreamKind::parse_all(["Task"]).unwrap_err();
        assert_eq!(error.field.unwrap().to_string(), "types");
    }

    #[test]
    fn filter_has_bounds() {
        let id = |n: u128| TaskId(uuid::Uuid::from_u128(n));
        let maps = |count: usize| (0..count).map(|n| (id(n as u128), None)).collect();
        let filter = |count| StreamFilter { maps: maps(count), ..StreamFilter::default() };
        assert!(filter(MAX_MAPS_PER_STREAM).check().is_ok());
        assert!(filter(MAX_MAPS_PER_STREAM + 1).check().is_err());
        let tasks = |count: usize| StreamFilter {
            task_ids: Some((0..count).map(|n| id(n as u128)).collect()),
            ..StreamFilter::default()
        };
        assert!(tasks(MAX_TASKS_PER_STREAM).check().is_ok());
        assert!(tasks(MAX_TASKS_PER_STREAM + 1).check().is_err());
    }
}
