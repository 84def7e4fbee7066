//! Progress of a rollout: its event stream, its state, and its display as bars or lines.

mod bars;
mod event_stream;
#[cfg(test)]
pub(crate) mod fixtures;
mod follower;
mod lines;
mod rate;
mod render;
mod rollout;
mod view;

pub(crate) use event_stream::{Update, watch};
pub(crate) use follower::{follow, follow_beside_output, interrupted, said};
pub(crate) use lines::lost;
pub(crate) use render::{BAR_SIGNS, BAR_TONES, bar_of, event_line, left};
pub(crate) use rollout::{Rollout, WaveNow};
use view::View;
