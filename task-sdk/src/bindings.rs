//! Generated from `wit/`. Private: what an author may use is re-exported by name where it belongs.

#![allow(missing_docs, dead_code, clippy::all, reason = "generated code")]

wit_bindgen::generate!({
    path: "../wit",
    world: "worker-task",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "task_sdk::bindings",
});
