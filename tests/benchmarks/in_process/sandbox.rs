//! Sandboxes on an image that is in the cache: start, commands, end.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;
use task_runtime::executor::{
    Abort, Command, Commands, ExecutorError, Exit, Image, ImageCache, ImageFile, Instance, Sandbox,
    SandboxOptions, SandboxScratch, Stderr,
};

const STARTS: u32 = 10;
const COMMANDS: u32 = 10;

/// Milliseconds for each start, command and end. The directory gets the cache, and what sandboxes change.
pub async fn measure(image: &Path, sha256: &str, directory: &Path) -> Result<Value> {
    let cache = ImageCache::new(directory.join("images"));
    let wanted = ImageFile {
        name: "system.tar.xz".to_owned(),
        size: image.metadata()?.len(),
        sha256: sha256.parse()?,
    };
    let cached = ensure_cached(&cache, &wanted, image).await?;
    cache.unpack(&cached, &Abort::new()).await?;
    drop(cached);

    let (mut starts, mut commands, mut stops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let options = SandboxOptions::new(SandboxScratch::Disk(directory.join("scratch")));
        let begun = Instant::now();
        let cached = ensure_cached(&cache, &wanted, image).await?;
        let sandbox = Sandbox::start(&cache, cached, options, &Abort::new()).await?;
        starts.push(milliseconds_since(begun));
        for _ in 0..COMMANDS {
            let begun = Instant::now();
            let exit = sandbox.run(true_as_root(), &Abort::new()).await?;
            commands.push(milliseconds_since(begun));
            ensure!(exit == Exit::Exited(0), "/bin/true ended with {exit:?}");
        }
        let begun = Instant::now();
        sandbox.stop().await?;
        stops.push(milliseconds_since(begun));
    }
    // Its files belong to the users of sandboxes: only the cache itself can remove them.
    cache.remove(&wanted.sha256).await?;
    Ok(json!({"start": starts, "command": commands, "stop": stops}))
}

async fn ensure_cached(
    cache: &ImageCache,
    wanted: &ImageFile,
    image: &Path,
) -> Result<Image, ExecutorError> {
    let fetch = async |mut target: File| {
        let copied = File::open(image).and_then(|mut file| io::copy(&mut file, &mut target));
        copied
            .map(drop)
            .map_err(|error| ExecutorError::System(format!("{}: {error}", image.display())))
    };
    cache.ensure(wanted, fetch, &Abort::new()).await
}

fn true_as_root() -> Command {
    Command {
        arguments: vec!["/bin/true".into()],
        directory: None,
        environment: None,
        as_root: true,
        stdin: None,
        stdout: None,
        stderr: Stderr::Discard,
        timeout: None,
    }
}

fn milliseconds_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
