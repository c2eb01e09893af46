//! RUN: a run named by its whole id, or by a beginning that only it has.

use std::fmt::Write as _;

use pleach_engine::kernel::RunId;
use pleach_engine::{Host, RunFilter, TreeSummary};

use crate::exit::Mistake;
use crate::text;

/// The shortest beginning, in characters. Ids begin with the time, so fewer
/// would hardly ever name one run for long; runs of one minute share so many.
const MIN_PREFIX: usize = 8;

/// How far back a beginning is looked for, in trees.
const MAX_TREES: usize = 100_000;

/// How many runs a message lists.
const LISTED: usize = 20;

/// The run that `text` names.
pub async fn run(host: &Host, text: &str) -> anyhow::Result<RunId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let (prefix, child) = check(text)?;
    let trees = host.runs(RunFilter { status: None, limit: MAX_TREES }).await?;
    let found: Vec<&TreeSummary> = trees.iter().filter(|tree| tree.root.to_string().starts_with(prefix)).collect();
    match found[..] {
        [tree] => Ok(RunId { root: tree.root, index: child }),
        [] => Err(Mistake::new(format!("looking for the run `{text}`: there is none in this store and tenant"))
            .hint("`pleach runs` lists the runs there are; --store and --tenant say where to look")
            .into()),
        _ => {
            let message = format!("looking for the run `{text}`: {} begin so", text::count(found.len() as u64, "run"));
            Err(Mistake::new(message).hint(candidates(&found)).into())
        }
    }
}

/// Runs that begin alike, newest first, each with as much of its id as tells all of
/// them apart.
fn candidates(found: &[&TreeSummary]) -> String {
    let ids: Vec<String> = found.iter().map(|tree| tree.root.to_string()).collect();
    let enough = telling(&ids);
    let mut hint = "give more of it".to_owned();
    for (tree, id) in found.iter().zip(&ids).take(LISTED) {
        let (plugin, at) = (text::line(&tree.plugin), text::date_and_time(tree.created_at));
        write!(hint, "\n  {}  {plugin}  {}  {at}", &id[..enough], text::line(&tree.status)).ok();
    }
    if found.len() > LISTED {
        write!(hint, "\n  … and {} more", text::thousands((found.len() - LISTED) as u64)).ok();
    }
    hint
}

/// How many characters tell these ids apart; at least so many as a name has to have.
fn telling(ids: &[String]) -> usize {
    let mut sorted: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
    sorted.sort_unstable();
    let alike = |pair: &[&[u8]]| pair[0].iter().zip(pair[1]).take_while(|(one, other)| one == other).count();
    sorted.windows(2).map(|pair| alike(pair) + 1).max().unwrap_or(0).max(MIN_PREFIX)
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
    fn as_much_of_an_id_is_shown_as_tells_all_of_them_apart() {
        for (ids, enough) in [
            (vec!["01938f2e-7c00-7000", "01938f2e-7c01-7000", "01938f2e-7d00-7000"], 13),
            (vec!["01938f2e-7c00-7000", "01938f2e-7c00-7001"], 18),
            (vec!["11938f2e-7c00-7000", "01938f2e-7c00-7000"], 8),
            (vec!["01938f2e-7c00-7000"], 8),
        ] {
            assert_eq!(telling(&ids.iter().map(ToString::to_string).collect::<Vec<_>>()), enough, "{ids:?}");
        }
    }

    #[test]
    fn a_beginning_is_long_enough_and_looks_like_an_id() {
        assert_eq!(check("01938f2e").unwrap(), ("01938f2e", 0));
        assert_eq!(check("01938f2e-7c.12").unwrap(), ("01938f2e-7c", 12));
        for bad in ["01938f2", "", "lead-agent", "01938f2e.x", "01938f2e.0", "01938F2E"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
