//! Files that take many requests, over a wire that is cut in the middle of them.

use crate::{LONG, Together, materials, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use task_runtime_tests::real_server::{MINUTES, Moment, Part, RealServer};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("600_mib_cut_in_the_middle_go_on_where_they_were", LONG, cut),
        trial(
            "a_server_killed_while_it_verifies_a_file_gets_the_result_once",
            LONG,
            killed_while_verifying,
        ),
    ]
}

const MIB: u64 = 1 << 20;

async fn cut() -> Result<()> {
    let together = Together::start().await?;
    let done = cut_and_go_on(&together).await;
    forget(&together.server)?;
    done
}

async fn cut_and_go_on(together: &Together) -> Result<()> {
    let Together {
        home, wire, server, ..
    } = together;
    let size = 600 * MIB;
    let (upload, name) = materials::upload(server, size).await?;
    let mut download = wire.catch(Moment {
        method: "GET",
        path: format!("/download/{name}"),
        after: 0,
        part: Part::Answer(300 * MIB),
    });
    // The sixth chunk.
    let mut chunk = wire.catch(Moment {
        method: "PUT",
        path: format!("/files/{name}/"),
        after: 5,
        part: Part::Question(20 * MIB),
    });
    let id = server
        .work_request("mergeuploads", materials::merge(upload))
        .await?;
    download.wait().await?;
    drop(download);
    chunk.wait().await?;
    drop(chunk);
    let shown = server.wait_long(id, "completed", MINUTES).await?;
    ensure!(shown["result"] == "success", "{shown}\n{}", home.log());

    let artifacts = server.artifacts(id).await?;
    let file = &artifacts[0]["files"][name];
    ensure!(file["size"] == size, "{file}");
    ensure!(artifacts[0]["files_to_upload"] == json!([]), "{file}");
    let exchanges = wire.exchanges();
    let rest = exchanges
        .iter()
        .find(|said| said.path.contains(&format!("/download/{name}")));
    ensure!(
        rest.is_some_and(|said| said.status == 206),
        "the download began anew: {rest:?}"
    );
    // What the cut chunk had brought so far is sent again at most.
    let sent = wire.sent();
    ensure!(sent < size + 51 * MIB, "{sent} bytes were sent");
    Ok(())
}

async fn killed_while_verifying() -> Result<()> {
    let together = Together::start().await?;
    let done = verified_in_the_end(&together).await;
    forget(&together.server)?;
    done
}

/// Whether it has verified the file by the time it is killed does not matter here: either way the worker does not hear of it.
async fn verified_in_the_end(together: &Together) -> Result<()> {
    let Together {
        home, wire, server, ..
    } = together;
    let size = 120 * MIB;
    let (upload, name) = materials::upload(server, size).await?;
    // After the last of three chunks.
    let mut last = wire.catch(Moment {
        method: "PUT",
        path: format!("/files/{name}/"),
        after: 2,
        part: Part::Between,
    });
    let id = server
        .work_request("mergeuploads", materials::merge(upload))
        .await?;
    last.wait().await?;
    server.daphne("kill")?;
    drop(last);
    server.daphne("start")?;
    let shown = server.wait_long(id, "completed", MINUTES).await?;
    ensure!(shown["result"] == "success", "{shown}\n{}", home.log());
    ensure!(!server.was_repeated(id)?, "it was given out again: {shown}");
    let artifacts = server.artifacts(id).await?;
    let categories: Vec<_> = artifacts.iter().map(|it| &it["category"]).collect();
    ensure!(
        categories == ["debian:upload", "debusine:work-request-debug-logs"],
        "{categories:?}"
    );
    ensure!(artifacts[0]["files"][name]["size"] == size, "{artifacts:?}");
    ensure!(
        artifacts[0]["files_to_upload"] == json!([]),
        "{artifacts:?}"
    );
    let sent = wire.sent();
    ensure!(sent < size + 51 * MIB, "{sent} bytes were sent");
    Ok(())
}

/// The server's database outlives the test; so much of it need not.
fn forget(server: &RealServer) -> Result<()> {
    let program = format!(
        "
from debusine.db.models import FileInArtifact, FileInStore, FileUpload
FileUpload.objects.filter(file_in_artifact__file__size__gte={MIB}*100).delete()
for place in FileInStore.objects.filter(file__size__gte={MIB}*100):
    FileInArtifact.objects.filter(file=place.file).delete()
    place.store.get_backend_object().remove_file(place.file)
"
    );
    server.python(&program).map(drop)
}
