//! Activities: a child that gives back what it is given, at once or after a while.

wit_bindgen::generate!({ path: "../wit", world: "activities", generate_all });

use exports::peer::bench::child::Guest;
use wasi::clocks::monotonic_clock;

struct Activities;

impl Guest for Activities {
    fn echo(payload: String) -> Result<String, ()> {
        Ok(payload)
    }

    fn wait(ms: u32, payload: String) -> Result<String, ()> {
        monotonic_clock::subscribe_duration(u64::from(ms) * 1_000_000).block();
        Ok(payload)
    }
}

export!(Activities);
