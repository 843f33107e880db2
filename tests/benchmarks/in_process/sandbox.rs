//! Sandboxes on an image that is in the cache: start, commands, files in and out, end.

use crate::place::{Place, milliseconds_since, true_command};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Instant;
use task_runtime::executor::{
    Abort, Commands, Exit, Instance, Sandbox, SandboxOptions, SandboxScratch,
};

const STARTS: u32 = 5;
const COMMANDS: u32 = 20;
const PULLS: u32 = 50;
/// Files that are pushed at once, and the bytes of each.
const PUSHED: (u32, usize) = (1000, 1024);

/// Milliseconds for each start, command, push, pull and end. The directory gets the cache, and what sandboxes change.
pub async fn measure(image: &Path, sha256: &str, directory: &Path) -> Result<Value> {
    let place = Place::new(image, sha256, directory)?;
    let cached = place.image().await?;
    place.cache.unpack(&cached, &Abort::new()).await?;
    drop(cached);
    let source = directory.join("pushed");
    fs::create_dir_all(&source)?;
    for number in 0..PUSHED.0 {
        fs::write(source.join(number.to_string()), vec![b'x'; PUSHED.1])?;
    }
    let mut taken = Taken::default();
    for _ in 0..STARTS {
        let options = SandboxOptions::new(SandboxScratch::Disk(directory.join("scratch")));
        let begun = Instant::now();
        let cached = place.image().await?;
        let sandbox = Sandbox::start(&place.cache, cached, options, &Abort::new()).await?;
        taken.starts.push(milliseconds_since(begun));
        taken.use_it(&sandbox, &source, directory).await?;
        let begun = Instant::now();
        sandbox.stop().await?;
        taken.stops.push(milliseconds_since(begun));
    }
    fs::remove_dir_all(&source)?;
    place.clear().await?;
    Ok(json!({
        "start": taken.starts, "command": taken.as_root, "as_user": taken.as_user, "push": taken.pushes,
        "pull": taken.pulls, "stop": taken.stops,
    }))
}

/// Milliseconds for the first unpacking of an image.
pub async fn measure_unpack(image: &Path, sha256: &str, directory: &Path) -> Result<Value> {
    let place = Place::new(image, sha256, directory)?;
    let cached = place.image().await?;
    let begun = Instant::now();
    place.cache.unpack(&cached, &Abort::new()).await?;
    let unpack = milliseconds_since(begun);
    drop(cached);
    place.clear().await?;
    Ok(json!({"unpack": [unpack]}))
}

#[derive(Default)]
struct Taken {
    starts: Vec<f64>,
    as_root: Vec<f64>,
    as_user: Vec<f64>,
    pushes: Vec<f64>,
    pulls: Vec<f64>,
    stops: Vec<f64>,
}

impl Taken {
    async fn use_it(&mut self, sandbox: &Sandbox, source: &Path, directory: &Path) -> Result<()> {
        let abort = Abort::new();
        sandbox.create_user(&abort).await?;
        for (as_root, taken) in [(true, &mut self.as_root), (false, &mut self.as_user)] {
            for _ in 0..COMMANDS {
                let mut command = true_command();
                command.as_root = as_root;
                let begun = Instant::now();
                let exit = sandbox.run(command, &abort).await?;
                taken.push(milliseconds_since(begun));
                ensure!(exit == Exit::Exited(0), "/bin/true ended with {exit:?}");
            }
        }
        let begun = Instant::now();
        sandbox
            .push_directory(source, Path::new("/tmp"), &abort)
            .await?;
        self.pushes.push(milliseconds_since(begun));
        for number in 0..PULLS {
            let target = fs::File::create(directory.join("pulled"))?;
            let file = format!("/tmp/pushed/{number}");
            let begun = Instant::now();
            sandbox.pull_file(Path::new(&file), target, &abort).await?;
            self.pulls.push(milliseconds_since(begun));
        }
        Ok(())
    }
}
