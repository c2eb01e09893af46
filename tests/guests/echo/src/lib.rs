//! Returns its input, byte for byte. The least that an agent can do.

use pleach_sdk::Error;

pleach_sdk::agent!(raw run);

fn run(input: String) -> Result<String, Error> {
    Ok(input)
}
