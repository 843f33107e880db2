//! Compiling components to native code: what a hardened worker is built without (cargo feature `compiler`).

use super::engine;

/// For which machines code is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This machine, with all that its processor can do.
    ThisMachine,
    /// Every machine of this architecture: for code that is shipped.
    ThisArchitecture,
}

/// Whether this build can compile.
pub const AVAILABLE: bool = cfg!(feature = "compiler");

/// Compiles a component, or a core module that carries its WIT; the words of an error are for the component's author.
#[cfg(feature = "compiler")]
pub fn compile(bytes: &[u8], target: Target) -> Result<Vec<u8>, String> {
    let mut config = engine::config();
    config.enable_compiler(true);
    if target == Target::ThisArchitecture {
        config
            .target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
            .map_err(|error| format!("{error:#}"))?;
    }
    // An engine of its own: those that run components never hold a compiler, and so start sooner.
    let compiling = wasmtime::Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    let encoded;
    let bytes = if is_core_module(bytes) {
        encoded = encode(bytes)?;
        &encoded
    } else {
        bytes
    };
    compiling
        .precompile_component(bytes)
        .map_err(|error| format!("{error:#}"))
}

/// This build has no compiler.
#[cfg(not(feature = "compiler"))]
pub fn compile(_bytes: &[u8], _target: Target) -> Result<Vec<u8>, String> {
    let _ = engine::config;
    Err("this build of task-runtime has no compiler".to_owned())
}

/// A core module starts with version 1 of the binary format, a component with layer 1.
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Makes a component of a core module that carries its WIT, as toolchains without a component linker leave it.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("a core module that cannot be made a component: {error:#}"))
}
