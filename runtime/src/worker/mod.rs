//! Life as a worker: what this machine says about itself, and work with a Debusine server from registration to report.

pub mod configuration;
pub mod metadata;
pub mod registration;

mod architectures;
mod connection;
mod delivering;
mod description;
mod dispatch;
mod ini;
mod life;
mod memory;
mod metrics;
mod operator;
mod spool;
mod statistics;
mod work_request;

pub use description::Description;
pub use dispatch::{Dispatch, Environments};
pub use life::{Rhythm, Stop, Worker};
pub use memory::share_heap;
pub use metrics::Metrics;
pub use operator::{CurrentWork, Operator, Status};
pub use spool::{Owner, Spool, SpoolError, kept_aside};
pub use statistics::Statistics;
