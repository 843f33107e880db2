//! `artifact verify`.

use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status, table};
use std::io::Write;

/// Reads every file of the store and prints what is wrong. Damage makes a failure, not an error.
pub async fn verify(places: &Places, output: &Output) -> Outcome {
    let store = places.existing_store()?;
    let shown = output.terminal();
    let report = store
        .verify(move |progress| {
            if shown {
                let done = (progress.bytes * 100)
                    .checked_div(progress.bytes_total)
                    .unwrap_or(100);
                let _ = write!(std::io::stderr(), "\r\x1b[Kreading {done} %");
            }
        })
        .await?;
    if shown {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    output.answer(&report, || {
        let mut text: String = report.problems.iter().map(|it| format!("{it}\n")).collect();
        let size = table::size(report.bytes);
        text.push_str(&format!(
            "{} files, {size}: {} problems\n",
            report.files,
            report.problems.len()
        ));
        text
    })?;
    Ok(match report.is_good() {
        true => Status::Success,
        false => Status::Failure,
    })
}
