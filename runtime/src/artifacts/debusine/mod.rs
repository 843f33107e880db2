//! Artifacts on a Debusine server: information, downloads and uploads over its REST interface, version 1.0, as Debusine 0.11.3 speaks it.

mod download;
mod failure;
mod paths;
mod problem;
mod server;
mod store;
mod upload;

pub use failure::ServerError;
pub use problem::Problem;
pub use server::{Answer, Patience, Server, SocketStream, Traffic, Wait};
pub use store::{ArtifactInformation, ServerArtifacts, UploadFile};
