//! The recorded behaviour of the reference, and whether ours agrees: one test for each task.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task_runtime_tests::conformance::{Deviations, Folder, Level, Report, Suite};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = match Folder::names(&own_folder()) {
        Ok(names) => names.into_iter().map(trial).collect(),
        Err(error) => {
            let failed = move || Err(Failed::from(error.to_string()));
            vec![Trial::test("the_vectors_can_be_read", failed)]
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

fn trial(name: String) -> Trial {
    let promise = format!("{name}_agrees_with_the_reference");
    Trial::test(promise, move || agrees(&name))
}

fn agrees(name: &str) -> Result<(), Failed> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tasks = std::env::var_os("TASK_RUNTIME_TASKS").map_or_else(
        || here.join("../tasks/target/wasm32-unknown-unknown/release"),
        PathBuf::from,
    );
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let deviations = Deviations::read(&own_folder().join("deviations.json"))?;
    let folder = Folder::open_one(&own_folder(), name)?;
    // Only the vectors of all tasks together need more than the task they are named for.
    let suite = Suite::new(&[tasks], &cache, (name != "all").then_some(name))?;
    let outcomes = suite.run(&folder, std::thread::available_parallelism()?.get());
    let report = Report::new(&folder, &outcomes, &deviations);
    let core = report.tally(Level::Core);
    if core.failed > 0 {
        return Err(Failed::from(report.to_string()));
    }
    if core.passed == 0 {
        eprintln!("skipped: {name}: a task has no component; build the tasks with `make tasks`");
    }
    Ok(())
}
