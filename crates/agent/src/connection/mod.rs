//! Connection to a worker.

mod attaches;
mod deny_list;
mod live_output;
mod order_verifier;
mod shown_status;
mod started;
mod status_file;
mod stream;
#[cfg(test)]
mod test_certificates;

pub(crate) use status_file::clear;
pub use status_file::is_attached;
pub(crate) use stream::{Link, endpoints};
