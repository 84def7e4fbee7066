//! OpenID Connect client: discovery, authorisation code with PKCE, verified ID tokens.
//!
//! A sign-in has two steps. [`Provider::begin`] returns the address to which the browser goes, and
//! the secrets that the caller binds to this browser. [`Provider::finish`] exchanges the code that
//! the browser brings back. Every call to the provider has a deadline.

mod claims;
mod config;
mod error;
mod http;
mod provider;

pub use claims::Person;
pub use config::{ProviderConfig, Secret};
pub use error::Error;
pub use provider::{Begun, Provider, Returned};
