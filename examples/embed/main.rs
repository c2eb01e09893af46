//! Embeds the host: publishes a plugin, runs it, watches it, prints its result.
//!
//! `cargo run -p pleach-engine --example embed`

use pleach_engine::kernel::Query;
use pleach_engine::{Host, Publish, Submission};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = Host::builder().store("memory:").build().await?;
    let component = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/echo/echo.wasm"))?;
    host.publish(component, Publish::default()).await?;

    let run = host.submit(Submission::with_input("echo", &serde_json::json!({"say": "hello"}))?).await?;
    let mut events = run.events(1);
    while let Some(event) = events.next().await {
        let event = event?;
        println!("{:>3} {} {}", event.seq, event.event, event.data.as_str());
    }
    let ended = run.wait().await?;
    println!(
        "{}: {}",
        ended.status.as_str(),
        ended.output.map(|output| output.as_str().to_owned()).unwrap_or_default()
    );
    println!("{} run(s) in the tree", run.tree(Query::default()).await?.node_count);

    host.shutdown(std::time::Duration::from_secs(1)).await?;
    Ok(())
}
