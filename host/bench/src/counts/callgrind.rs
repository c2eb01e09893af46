//! Callgrind: runs one kind of work under it, in a process of its own, and reads
//! how many instructions that took.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use super::work::{COLLECTED, Work};

/// What is counted takes seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// The C library chooses how it copies memory by the processor, which moves a count
/// by a twentieth: here it takes what every x86-64 has.
const BASELINE: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,\
                        -FSRM,-SSE4_2,-SSE4_1,-SSSE3";

/// How many instructions `work` takes.
pub async fn instructions(work: Work) -> anyhow::Result<u64> {
    let name = work.name();
    let folder = tempfile::tempdir().context("making a folder for what callgrind writes")?;
    let file = folder.path().join("callgrind.out");
    let program = std::env::current_exe().context("finding this program, to run it under valgrind")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--toggle-collect={COLLECTED}"));
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(program).args(["probe", "kernel-work", &name]);
    valgrind.env("GLIBC_TUNABLES", BASELINE).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(LIMIT, valgrind.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => bail!(
            "counting the instructions of `{name}`: there is no `valgrind` on the PATH; \
             install it with `apt-get install valgrind`"
        ),
        Ok(Err(error)) => return Err(error).context(format!("starting valgrind to count `{name}`")),
        Err(_) => bail!(
            "counting the instructions of `{name}`: valgrind was not done within {} s; \
             run it again when the machine has less to do",
            LIMIT.as_secs()
        ),
    };
    ensure!(
        output.status.success(),
        "counting the instructions of `{name}`: valgrind ended with {}. If it speaks of an unknown instruction, build \
         without `-C target-cpu`; else `probe kernel-work {name}` alone may show what is wrong. It said:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading what callgrind wrote of `{name}`"))?;
    total(&text).with_context(|| format!("reading what callgrind wrote of `{name}`"))
}

/// The total of the event `Ir` (instructions read) in a file of callgrind's.
fn total(text: &str) -> anyhow::Result<u64> {
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let events = line("events:").context("it names no events; is this version of valgrind known to work?")?;
    let column = events.split_whitespace().position(|event| event == "Ir").context("`Ir` is not among its events")?;
    let totals = line("totals:").context("it has no line `totals:`; was it cut short?")?;
    let figure = totals.split_whitespace().nth(column).context("its totals are fewer than its events")?;
    let figure = figure.parse().with_context(|| format!("its total of `Ir` is `{figure}`, which is no number"))?;
    ensure!(figure > 0, "nothing was counted; no function has a name like `{COLLECTED}`");
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 1\ncmd: x\n\ndesc: Timerange\n";

    #[test]
    fn the_total_is_of_instructions_whatever_else_was_counted() {
        let alone = format!("{HEAD}\nevents: Ir\nsummary: 1234\n\nfl=(1) a.rs\nfn=(1) f\n3 1234\n\ntotals: 1234\n");
        assert_eq!(total(&alone).unwrap(), 1_234);
        let among = format!("{HEAD}\nevents: Dr Ir Dw\n\ntotals: 7 99 8\n");
        assert_eq!(total(&among).unwrap(), 99);
    }

    #[test]
    fn a_file_that_says_nothing_is_an_error_and_no_zero() {
        for (text, why) in [
            ("", "no events"),
            ("events: Dr\ntotals: 1\n", "`Ir` is not among"),
            ("events: Ir\n", "no line `totals:`"),
            ("events: Dr Ir\ntotals: 1\n", "fewer than its events"),
            ("events: Ir\ntotals: many\n", "no number"),
            ("events: Ir\ntotals: 0\n", "nothing was counted"),
        ] {
            let error = format!("{:#}", total(text).unwrap_err());
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
