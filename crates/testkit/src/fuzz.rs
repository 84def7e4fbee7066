//! Fuzzing of decoders: mutated samples, for a limited time. A seed determines an input, so a
//! finding can be repeated.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Seconds for each target, as a number. `cargo xtask fuzz` sets it.
const SECONDS: &str = "GRAYWAVE_FUZZ_SECONDS";
/// Seed of the only input to try.
const SEED: &str = "GRAYWAVE_FUZZ_SEED";
/// Default for each target in ordinary runs of the tests.
const DEFAULT_SECONDS: u64 = 25;
/// Maximum number of mutations of one input.
const MAX_MUTATIONS: u32 = 8;
/// Maximum length of an input.
const MAX_BYTES: usize = 64 << 10;
/// Pieces that decoders often treat specially.
const PIECES: [&[u8]; 22] = [
    b"\0",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"[",
    b"}",
    b",",
    b"-",
    b"1e400",
    b"-1",
    b"18446744073709551616",
    b"9223372036854775807",
    b"null",
    b"true",
    b"%00",
    b"%",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xed\xa0\x80",
    "\u{202e}".as_bytes(),
    b"\r\n",
];

/// Calls `check` with mutated samples until the time is over. `check` panics if an input breaks its
/// rule.
///
/// # Panics
///
/// On the first finding, after saving its input below the target directory and naming its seed.
#[expect(clippy::print_stderr, reason = "the report of a test")]
pub fn fuzz(target: &str, samples: &[Vec<u8>], mut check: impl FnMut(&[u8])) {
    let only: Option<u64> = read(SEED);
    let seconds = read(SECONDS).unwrap_or(DEFAULT_SECONDS);
    let mut seed = only.unwrap_or_else(rand::random);
    let begun = Instant::now();
    let mut tried = 0_u64;
    loop {
        let input = mutated(samples, seed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            let path = save(target, seed, &input);
            eprintln!(
                "fuzz target {target}: input {tried} breaks the rule. It is in {}. To repeat it: {SEED}={seed}",
                path.display()
            );
            resume_unwind(panic);
        }
        tried += 1;
        seed = seed.wrapping_add(1);
        if only.is_some() || begun.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
    }
    eprintln!("fuzz target {target}: {tried} inputs in {:.1} s", begun.elapsed().as_secs_f64());
}

fn read<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Returns the input of a seed: a sample with a few mutations.
fn mutated(samples: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut input = pick(&mut random, samples).cloned().unwrap_or_default();
    for _ in 0..random.random_range(0..=MAX_MUTATIONS) {
        mutate(&mut random, &mut input, samples);
    }
    input.truncate(MAX_BYTES);
    input
}

fn pick<'a, T>(random: &mut StdRng, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { from.get(random.random_range(0..from.len())) }
}

fn mutate(random: &mut StdRng, input: &mut Vec<u8>, samples: &[Vec<u8>]) {
    let at = random.random_range(0..=input.len());
    let length = random.random_range(0..=16.min(input.len() - at));
    match random.random_range(0..7) {
        0 => flip_bit(random, input, at),
        1 => drop(input.splice(at..at, pick(random, &PIECES).map_or(&[][..], |piece| piece).iter().copied())),
        2 => drop(input.drain(at..at + length)),
        3 => {
            let piece: Vec<u8> = (0..random.random_range(1..=4)).map(|_| random.random()).collect();
            drop(input.splice(at..at + length, piece));
        }
        4 => {
            // Repeats a part, so that nested and long inputs appear.
            let part = input.get(at..at + length).unwrap_or_default().repeat(random.random_range(1..=64));
            drop(input.splice(at..at, part));
        }
        5 => input.truncate(at),
        _ => {
            // Continues with the end of another sample.
            let other = pick(random, samples).map_or(&[][..], Vec::as_slice);
            let from = random.random_range(0..=other.len());
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
    }
}

fn flip_bit(random: &mut StdRng, input: &mut [u8], at: usize) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.random_range(0..8);
    }
}

fn save(target: &str, seed: u64, input: &[u8]) -> PathBuf {
    let directory = std::env::temp_dir().join("graywave-fuzz");
    let path = directory.join(format!("{target}-{seed}"));
    let saved = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, input));
    if saved.is_err() { PathBuf::from("no file, because it could not be written") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_determines_input_and_seeds_differ() {
        let samples = [b"{\"name\": \"a\"}".to_vec(), b"[1, 2, 3]".to_vec()];
        let inputs: Vec<Vec<u8>> = (0..200).map(|seed| mutated(&samples, seed)).collect();
        assert_eq!(inputs[7], mutated(&samples, 7));
        let distinct: std::collections::HashSet<_> = inputs.iter().collect();
        assert!(distinct.len() > 150, "{}", distinct.len());
    }
}
