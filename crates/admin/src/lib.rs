//! The gRPC admin adapter: extracts and converts calls, runs use cases, and converts results. It
//! contains no business rules.

mod auth;
mod body_budget;
mod convert;
mod extract;
mod methods;
mod metrics;
mod page;
mod routes;
mod service;
mod services;
mod status;
mod streams;

pub use routes::{Gated, SERVICES, gated};
use service::Service;
