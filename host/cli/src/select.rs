//! RUN: a run named by its whole id, or by a beginning that only it has.

use pleach_engine::kernel::{RootId, RunId};
use pleach_engine::{Host, RunFilter};

use crate::exit::Mistake;
use crate::text;

/// The shortest beginning, in characters. Ids begin with the time, so fewer
/// would hardly ever name one run for long.
const MIN_PREFIX: usize = 8;

/// How far back a beginning is looked for, in trees.
const MAX_TREES: usize = 100_000;

/// How many runs a message lists.
const LISTED: usize = 5;

/// The run that `text` names.
pub async fn run(host: &Host, text: &str) -> anyhow::Result<RunId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (prefix, child) = check(text)?;
    let trees = host.runs(RunFilter { status: None, limit: MAX_TREES }).await?;
    let found: Vec<RootId> =
        trees.iter().map(|tree| tree.root).filter(|root| root.to_string().starts_with(prefix)).collect();
    match found[..] {
        [root] => Ok(RunId { root, index: child }),
        [] => Err(Mistake::new(format!("looking for the run `{text}`: there is none in this store and tenant"))
            .hint("`pleach runs` lists the runs there are; --store and --tenant say where to look")
            .into()),
        _ => {
            let listed: Vec<String> = found.iter().take(LISTED).map(RootId::to_string).collect();
            let more = if found.len() > LISTED { ", …" } else { "" };
            let message = format!("looking for the run `{text}`: {} begin so", text::count(found.len() as u64, "run"));
            Err(Mistake::new(message).hint(format!("give more of it: {}{more}", listed.join(", "))).into())
        }
    }
}

/// The beginning of the root's id, and the index of the run in its tree.
fn check(text: &str) -> Result<(&str, u32), Mistake> {
    let (prefix, child) = match text.split_once('.') {
        None => (text, Some(0)),
        Some((prefix, index)) => (prefix, index.parse().ok().filter(|index| *index > 0)),
    };
    let legal = prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    match child {
        Some(child) if legal && prefix.len() >= MIN_PREFIX => Ok((prefix, child)),
        _ => Err(Mistake::new(format!("`{}` is not a run", text::line(&text::cut(text, 64)))).hint(
            "a run is an id such as 01938f2e-7c00-7000-8000-000000000000.3, or at least the first 8 characters of one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_long_enough_and_looks_like_an_id() {
        assert_eq!(check("01938f2e").unwrap(), ("01938f2e", 0));
        assert_eq!(check("01938f2e-7c.12").unwrap(), ("01938f2e-7c", 12));
        for bad in ["01938f2", "", "lead-agent", "01938f2e.x", "01938f2e.0", "01938F2E"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
