//! gRPC types and services of Graywave, generated from `proto/`, with conversions to domain values.

pub mod certificate_signing;
mod convert;
pub mod deny_list;
mod enum_names;
pub mod order_signing;
mod result;
pub mod session_signing;

pub use convert::{ScriptOutcome, code, time, time_opt, unix_ms, unix_ms_in_range, unix_ms_opt};
pub use domain::limits;
pub use domain::script::parameter::variable as parameter_variable;
pub use enum_names::{Word, word};
pub use generated::{
    admin::v1 as admin, agent::v1 as agent, order::v1 as order, scheduler::v1 as scheduler,
    types::v1 as types,
};
pub use result::{check_results, make_unknown};

/// Generated modules, nested as the packages are: generated code refers to siblings by path.
mod generated {
    #![allow(
        missing_docs,
        missing_debug_implementations,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::allow_attributes_without_reason,
        clippy::or_fun_call,
        clippy::too_many_lines,
        reason = "generated code"
    )]

    pub mod types {
        pub mod v1 {
            tonic::include_proto!("graywave.types.v1");
        }
    }
    pub mod order {
        pub mod v1 {
            tonic::include_proto!("graywave.order.v1");
        }
    }
    pub mod scheduler {
        pub mod v1 {
            tonic::include_proto!("graywave.scheduler.v1");
        }
    }
    pub mod agent {
        pub mod v1 {
            tonic::include_proto!("graywave.agent.v1");
        }
    }
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("graywave.admin.v1");
        }
    }
}

/// Descriptors of all services, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
