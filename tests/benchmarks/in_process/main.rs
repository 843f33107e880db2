//! Calls the library in a loop, and prints what that takes as JSON: what starting a process each time would hide.
//!
//! `in-process scheduling DATA WORKER FARM`, `matching TASKS WORKERS`, `footprint CALLS`, `commands`, `sandbox IMAGE SHA256 DIRECTORY` or
//! `unpack IMAGE SHA256 DIRECTORY`; tests/bench runs it.

mod commands;
mod footprint;
mod matching;
mod place;
mod sandbox;
mod scheduling;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    task_runtime::executor::supervisor_main_if_called();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        match *arguments {
            ["scheduling", data, worker, farm] => scheduling::measure(data, worker, farm).await,
            ["commands"] => commands::measure().await,
            ["matching", tasks, workers] => matching::measure(tasks, workers),
            ["footprint", calls] => footprint::measure(calls.parse()?).await,
            ["sandbox", image, sha256, directory] => {
                sandbox::measure(image.as_ref(), sha256, directory.as_ref()).await
            }
            ["unpack", image, sha256, directory] => {
                sandbox::measure_unpack(image.as_ref(), sha256, directory.as_ref()).await
            }
            _ => bail!("it is called by tests/bench; run `make bench`"),
        }
    })?;
    println!("{report}");
    Ok(())
}
