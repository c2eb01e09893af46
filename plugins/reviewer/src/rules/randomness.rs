//! How random a text looks, and whether it is there to be replaced. Shared by
//! the two rules that look for secrets, which decide what to make of it.

/// What stands where a secret would, in lower case.
const PLACEHOLDERS: [&str; 22] = [
    "0000000",
    "12345678",
    "abcdefg",
    "changeme",
    "change_me",
    "dummy",
    "example",
    "fake",
    "foobar",
    "generated",
    "insert",
    "invalid",
    "not_a_",
    "placeholder",
    "redacted",
    "replace",
    "sample",
    "secret_here",
    "testtest",
    "test_",
    "xxxx",
    "your",
];

/// Shannon's entropy in bits for each byte.
pub fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let all = text.len() as f64;
    let parts = counts.iter().filter(|count| **count > 0).map(|count| {
        let share = f64::from(*count) / all;
        -share * share.log2()
    });
    parts.sum()
}

/// Whether a text says that it is not the real thing, or counts, or repeats.
pub fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word)) || counts_up(text)
}

/// How often letters of one case, letters of the other, and digits take turns,
/// for each byte: near 0.6 in random text and near 0.1 in words.
pub fn turns(text: &str) -> f64 {
    let sort = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    // What stands between words is neither.
    let turn = |pair: &&[u8]| sort(pair[0]) != sort(pair[1]) && sort(pair[0]) != 3 && sort(pair[1]) != 3;
    let turns = text.as_bytes().windows(2).filter(turn).count();
    turns as f64 / text.len().max(1) as f64
}

/// Half of an alphabet in its order is a table and no secret.
fn counts_up(text: &str) -> bool {
    let steps = text.as_bytes().windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    steps * 3 > text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_text_is_told_from_words() {
        let random = "q8Zr2LxT9vKp4WmN7cYd";
        assert!(entropy(random) > 4.0);
        assert!(turns(random) > 0.5);
        assert!(turns("my-secret-token-for-tests") < 0.3);
        assert_eq!(entropy("aaaaaaaa"), 0.0);
        assert_eq!(entropy("abababab"), 1.0);
    }

    #[test]
    fn what_is_there_to_be_replaced_says_so() {
        for text in ["YOUR_API_KEY_GOES_1", "AKIAIOSFODNN7EXAMPLE", "xxxxxxxxxxxx", "ABCDEFGHIJKLMNOP0", "ghijklmnopq"]
        {
            assert!(is_placeholder(text), "{text}");
        }
        assert!(!is_placeholder("q8Zr2LxT9vKp4WmN7cYd"));
    }
}
