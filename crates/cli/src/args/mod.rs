//! Arguments of a task: flags, their values, and the request that they make.

mod desktops;
mod enum_arg;
mod file_arg;
mod gate_flags;
mod guard;
mod interpreter;
mod parse;
mod payload;
mod reboot;
mod rollout;
mod saved_script;
mod script_parameters;
mod since;
mod task_flags;
mod unique_json;

pub(crate) use desktops::{DesktopFlags, all_desktops, read_ids};
pub(crate) use enum_arg::one_of;
pub(crate) use file_arg::read_unmarked;
pub(crate) use gate_flags::{RolloutFile, WaveFlags, WeightFlags, recorded_waves};
pub(crate) use guard::{GuardFlags, guard, may_exceed, may_guard};
pub use parse::pair;
use payload::PayloadFlags;
pub(crate) use payload::{Kind, Payload, name_of, parameters, read_script, script_type, warn_of_line_ends};
pub(crate) use rollout::{Ending, RolloutFlags};
pub(crate) use saved_script::LocalScript;
pub(crate) use script_parameters::read_parameters;
pub(crate) use since::{Since, since};
pub(crate) use task_flags::TaskFlags;
