//! Request and response types that both API families share.

mod execution;
mod native_execution;
mod page;
mod project;
mod record;
mod rollout;
mod script;
mod text;

pub(crate) use execution::{Execution, with_post_finish};
pub(crate) use native_execution::NativeExecution;
pub(crate) use page::{LimitQuery, OffsetQuery};
pub(crate) use project::Project;
pub(crate) use record::{RecordPath, RecordWord};
pub(crate) use rollout::Rollout;
pub(crate) use script::{
    ScriptParameter, ScriptPath, ScriptType, declarations, optional_type, required_type, script_fields,
};
pub(crate) use text::non_empty;
