//! W8: start. From the start of a process to its first result, and what
//! publishing a plugin costs.

use std::time::Instant;

use pleach_engine::Publish;

use crate::floor::Bare;
use crate::probe::Probe;
use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let code = folder.path().join("echo.cwasm");
    Bare::precompile(&guests::component("echo")?, &code)?;
    // The first start compiles and fills the cache.
    let host = ours::host(ours::on_disk(folder.path()), &["echo"]).await?;
    ours::close(host).await?;
    let (code, place) = (code.display().to_string(), folder.path().display().to_string());
    let timed = |probe: &[&str]| {
        let begun = Instant::now();
        Probe::ask(probe)?;
        anyhow::Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    let started =
        interleaved(scale.rounds, async || timed(&["floor-start", &code]), async || timed(&["start", &place])).await?;

    let mut rows = vec![Row::compared("W8", "process start to first result", "ms", &started, Goal::AtMost(50.0))?];
    for guest in ["echo", "script"] {
        let component = guests::component(guest)?;
        let published = interleaved(
            scale.rounds,
            async || {
                let file = folder.path().join("floor.cwasm");
                let begun = Instant::now();
                Bare::precompile(&component, &file)?;
                Bare::of_code(&file)?;
                Ok(begun.elapsed().as_secs_f64() * 1e3)
            },
            async || {
                let folder = tempfile::tempdir()?;
                let host = ours::on_disk(folder.path()).build().await?;
                let begun = Instant::now();
                host.publish(component.clone(), Publish::default()).await?;
                let took = begun.elapsed();
                ours::close(host).await?;
                Ok(took.as_secs_f64() * 1e3)
            },
        )
        .await?;
        let case = format!("publish `{guest}`, {} KiB", component.len() >> 10);
        rows.push(Row::compared("W8", case, "ms", &published, Goal::TimesFloor(2.0))?);
    }
    Ok(rows)
}
