#![no_main]

use libfuzzer_sys::fuzz_target;

// The length as the seed: the same input is always cut the same way.
fuzz_target!(|data: &[u8]| roomcast_fuzz::decode(data, data.len() as u64));
