//! Replays a folder of recorded vectors: `conformance [FOLDER]`. Succeeds if every core vector agrees that is not listed.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task_runtime_tests::conformance::{Deviations, Folder, Level, Report, Suite};

fn main() -> anyhow::Result<ExitCode> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("conformance");
    let folder = std::env::args_os()
        .nth(1)
        .map_or(own.clone(), PathBuf::from);
    let tasks = std::env::var_os("TASK_RUNTIME_TASKS").map_or_else(
        || here.join("../tasks/target/wasm32-unknown-unknown/release"),
        PathBuf::from,
    );
    let program = std::env::current_exe().context("the place of this program")?;
    let cache = program.with_file_name("conformance-cache");
    let deviations = Deviations::read(&own.join("deviations.json")).map_err(anyhow::Error::msg)?;
    let folder = Folder::open(&folder)?;
    let suite = Suite::new(&[tasks], &cache, None)?;
    let threads = std::thread::available_parallelism()?.get();
    let outcomes = suite.run(&folder, threads);
    let report = Report::new(&folder, &outcomes, &deviations);
    print!("{report}");
    let core = report.tally(Level::Core);
    // What was skipped, because its task is not built, did not agree either.
    Ok(match core.failed + core.skipped {
        0 if core.passed > 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
