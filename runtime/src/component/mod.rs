//! Components as such: compiling, caching, finding and limiting them. Knows nothing of tasks' imports or of running them.

mod apart;
mod cache;
mod code;
mod compiler;
mod engine;
mod inspect;
mod limits;
mod manifest;
mod native_code;
mod registry;
mod sighting;

#[cfg(all(test, feature = "compiler"))]
mod tests;

pub use apart::{CompilerProcess, compiler_main_if_called};
pub use cache::{CacheError, ComponentCache, LoadedComponent};
pub(crate) use engine::limit_reached;
pub use engine::{Engine, EngineError, EngineOptions};
pub use inspect::{Import, Interface, inspect, inspect_with_manifest};
pub use limits::{Aborted, LimitReached, Limits, Meter, Metered};
pub use manifest::{Manifest, Needs};
pub use registry::{Registry, RegistryError};
