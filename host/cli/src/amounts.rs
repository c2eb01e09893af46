//! Amounts: whole numbers, and `NAME=N` for one of a fixed set of names, as
//! `--limit` and `--budget` take it. Which names there are, the kernel's types say.

use serde::de::DeserializeOwned;

use crate::exit::Mistake;

/// One amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    name: String,
    amount: u64,
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, amount)) = text.split_once('=') else {
            return Err("an amount is NAME=N, such as `max_fanout=20`".to_owned());
        };
        let amount = amount.parse().map_err(|_| format!("`{amount}` is not a whole number from 0 up"))?;
        Ok(Self { name: name.to_owned(), amount })
    }
}

/// A whole number, or what to give instead.
pub fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "a whole number from 0 up, such as 20".to_owned())
}

/// The same, and at least 1.
pub fn positive(text: &str) -> Result<u32, String> {
    whole(text).ok().filter(|amount| *amount > 0).ok_or_else(|| "a whole number from 1 up, such as 20".to_owned())
}

/// The amounts together; the error says which names there are.
pub fn gather<T: DeserializeOwned>(option: &str, amounts: &[Amount]) -> Result<T, Mistake> {
    let mut fields = serde_json::Map::new();
    for Amount { name, amount } in amounts {
        if fields.insert(name.clone(), (*amount).into()).is_some() {
            return Err(Mistake::new(format!("reading {option}: `{name}` is given twice")).hint("give it once"));
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| {
        Mistake::new(format!("reading {option}: {error}")).hint("docs/cli.md says what each name means")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_engine::kernel::{Budget, Tightening};

    fn amounts(texts: &[&str]) -> Vec<Amount> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn amounts_become_limits_and_budgets() {
        let limits: Tightening = gather("--limit", &amounts(&["max_depth=1", "max_fanout=0"])).unwrap();
        assert_eq!((limits.max_depth, limits.max_fanout, limits.max_stalls), (Some(1), Some(0), None));
        assert!(gather::<Budget>("--budget", &[]).unwrap().is_empty());
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_those_there_are() {
        let error = gather::<Budget>("--budget", &amounts(&["token=1"])).unwrap_err().to_string();
        assert!(error.starts_with("reading --budget: ") && error.contains("`tokens`"), "{error}");
        assert!(gather::<Budget>("--budget", &amounts(&["tokens=1", "tokens=2"])).is_err());
        for bad in ["tokens", "tokens=-1", "tokens=x"] {
            assert!(bad.parse::<Amount>().is_err(), "{bad}");
        }
    }
}
