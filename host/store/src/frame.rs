//! Frames: consecutive events of one tree, or entries of one journal, in one row.
//! Which rows there are and how they are found is SQL's business, in `sqlite/`.

/// The largest event, journal entry and blob. SQLite could take about 1 GB in one value.
pub const EVENT_LIMIT_BYTES: usize = 256 << 20;

/// A frame is closed once it is longer than this, so that reading one event never
/// means reading a very long row. An event that is longer has a frame of its own.
pub(crate) const FRAME_LIMIT_BYTES: usize = 8 << 20;

const LENGTH_BYTES: usize = 4;

/// The key of the frame that starts with `seq`.
pub(crate) fn key(number: i64, seq: u64) -> i64 {
    debug_assert!(number <= i64::from(i32::MAX) && seq <= u64::from(u32::MAX));
    number << 32 | seq as i64
}

/// The seq of the first event in the frame with this key.
pub(crate) fn first_seq(key: i64) -> u64 {
    key as u64 & u64::from(u32::MAX)
}

/// The checksum covers the key too, so that a row in another's place is found out.
pub(crate) fn checksum(key: &[i64], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    key.iter().for_each(|part| hasher.update(&part.to_le_bytes()));
    hasher.update(body);
    hasher.finalize()
}

/// Adds an event to a frame's body.
pub(crate) fn push(body: &mut Vec<u8>, event: &[u8]) {
    debug_assert!(event.len() <= EVENT_LIMIT_BYTES);
    body.extend_from_slice(&(event.len() as u32).to_le_bytes());
    body.extend_from_slice(event);
}

/// How many bytes an event takes in a frame.
pub(crate) fn stored_len(event: &[u8]) -> u64 {
    (LENGTH_BYTES + event.len()) as u64
}

/// The events of a body; the last item is an error where the body ends early.
pub(crate) fn events(body: &[u8]) -> Events<'_> {
    Events { rest: body }
}

/// A body whose lengths do not add up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndsEarly;

pub(crate) struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<&'a [u8], EndsEarly>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Some(Err(EndsEarly));
        };
        let Some((event, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
            return Some(Err(EndsEarly));
        };
        self.rest = rest;
        Some(Ok(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(events: &[&[u8]]) -> Vec<u8> {
        let mut body = Vec::new();
        events.iter().for_each(|event| push(&mut body, event));
        body
    }

    #[test]
    fn a_frame_gives_back_what_went_in() {
        let cases: [&[&[u8]]; 4] = [&[], &[b""], &[b"a", b"", b"bc"], &[&[0xff; 70_000], b"x"]];
        for case in cases {
            let body = body(case);
            assert_eq!(body.len() as u64, case.iter().map(|event| stored_len(event)).sum::<u64>());
            assert_eq!(events(&body).collect::<Result<Vec<_>, _>>().unwrap(), case);
        }
    }

    #[test]
    fn a_frame_that_ends_early_is_an_error_wherever_it_ends() {
        let whole = body(&[b"first", b"second"]);
        for end in 1..whole.len() {
            let read: Result<Vec<_>, _> = events(&whole[..end]).collect();
            let at_a_border = end == stored_len(b"first") as usize;
            assert_eq!(read.is_ok(), at_a_border, "cut after {end} bytes");
        }
    }

    #[test]
    fn the_checksum_notices_any_flipped_bit_and_another_key() {
        let (key, mut body) = (key(7, 3), body(&[b"one event"]));
        let sound = checksum(&[key], &body);
        assert_ne!(sound, checksum(&[key + 1], &body));
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sound, checksum(&[key], &body), "bit {bit}");
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_key_orders_by_tree_and_then_by_seq() {
        let seq_max = u64::from(u32::MAX);
        assert!(key(1, seq_max) < key(2, 1));
        assert!(key(i64::from(i32::MAX), seq_max) > 0);
        assert_eq!(first_seq(key(i64::from(i32::MAX), seq_max)), seq_max);
    }
}
