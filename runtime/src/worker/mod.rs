//! Life as a worker: what this machine says about itself.

pub mod metadata;
