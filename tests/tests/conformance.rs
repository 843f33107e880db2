//! The recorded behaviour of the reference, and whether ours agrees: one test for each task.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use task_runtime_tests::conformance::{Deviations, Folder, Level, Report, Suite};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = match Folder::open(&own_folder()) {
        Ok(folder) => trials(&folder),
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

fn trials(folder: &Folder) -> Vec<Trial> {
    let mut tasks: Vec<String> = folder.vectors.iter().map(|one| one.task.clone()).collect();
    tasks.dedup();
    let trial = |task: String| {
        let folder = folder.clone();
        let name = format!("{}_agrees_with_the_reference", task.trim_start_matches('_'));
        Trial::test(name, move || agrees(folder.of_task(&task), &task))
    };
    tasks.into_iter().map(trial).collect()
}

fn agrees(folder: Folder, task: &str) -> Result<(), Failed> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tasks = std::env::var_os("TASK_RUNTIME_TASKS").map_or_else(
        || here.join("../tasks/target/wasm32-unknown-unknown/release"),
        PathBuf::from,
    );
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let deviations = Deviations::read(&own_folder().join("deviations.json"))?;
    // What belongs to no task in particular may ask any of them.
    let only = (!task.starts_with('_')).then_some(task);
    let suite = Suite::new(&[tasks], &cache, only)?;
    let outcomes = suite.run(&folder, std::thread::available_parallelism()?.get());
    let report = Report::new(&folder, &outcomes, &deviations);
    let core = report.tally(Level::Core);
    if core.failed > 0 {
        return Err(Failed::from(report.to_string()));
    }
    if core.passed == 0 {
        eprintln!("skipped: {task}: no component; build the tasks with `make tasks`");
    }
    Ok(())
}
