//! How fast the counter is: `cargo bench -p baton-tokens`.
//!
//! By the CPU time of this process, as others may be at work. Each kind of text is counted in turn with prose, and the ratio of
//! each pair is reported beside the megabytes per second: the machine changes both alike. Then the time for 1 MiB is divided by sixteen times that for 64 KiB: 1.0 is linear.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program that measures time and prints it"
)]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use baton_tokens::{Counter as _, O200k};

const SIZE: usize = 1 << 20;
const PAIRS: usize = 9;

fn main() {
    let before = memory_kb();
    let started = cpu();
    std::hint::black_box(O200k.count("x"));
    let load = cpu() - started;
    let grown = memory_kb().zip(before).map(|(after, before)| after - before);
    println!(
        "first count: {:.0} ms, {grown:?} kB of memory more",
        load.as_secs_f64() * 1e3
    );
    let prose = of("The second agent read what the first had found, and didn't ask again; it cost 3 tokens.\n");
    println!(
        "{:<24} {:>8} {:>10} {:>8} {:>8}",
        "1 MiB of", "MB/s", "to prose", "lowest", "linear"
    );
    for (name, unit) in [
        (
            "prose",
            "The second agent read what the first had found, and didn't ask again; it cost 3 tokens.\n",
        ),
        (
            "code",
            "    let total: u64 = items.iter().map(|item| item.tokens).sum(); // of all\n",
        ),
        (
            "JSON",
            "{\"id\": 4821, \"key\": \"invoice\", \"pinned\": true, \"of\": [1, 2.5, null]}, ",
        ),
        ("Chinese", "代理甲把任务交给代理乙,上下文必须完整。"),
        (
            "base64",
            "QmF0b24gaGFuZHMgb24gd2hhdCBpdCBrbmV3LCBhbmQgbm90aGluZyBpcyBsb3N0IG9uIHRoZSB3YXku",
        ),
        (
            "hex",
            "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        ),
        ("x", "x"),
        ("A", "A"),
        ("blanks", " "),
        ("line feeds", "\n"),
        ("!", "!"),
        ("marks", "\u{301}"),
        ("Chinese, one letter", "中"),
        ("Chinese and capitals", "中A"),
        ("emoji", "🦀"),
        ("noise", ""),
    ] {
        let text = if unit.is_empty() { noise() } else { of(unit) };
        let mut pairs: Vec<(f64, f64)> = (0..PAIRS).map(|_| (seconds(&text), seconds(&prose))).collect();
        pairs.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        let mut linear: Vec<f64> = (0..PAIRS).map(|_| seconds(&text) / (16.0 * small(&text))).collect();
        linear.sort_by(f64::total_cmp);
        let speeds: Vec<f64> = pairs.iter().map(|(taken, _)| SIZE as f64 / taken / 1e6).collect();
        let (slowest, median) = (speeds.iter().copied().fold(f64::MAX, f64::min), pairs[PAIRS / 2]);
        println!(
            "{name:<24} {:>8.1} {:>10.2} {slowest:>8.1} {:>8.2}",
            SIZE as f64 / median.0 / 1e6,
            median.1 / median.0,
            linear[PAIRS / 2],
        );
    }
}

fn of(unit: &str) -> String {
    unit.repeat(SIZE / unit.len())
}

/// Letters in no order.
fn noise() -> String {
    let mut state = 1_u64;
    let letters = (0..SIZE).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap_or_default())
    });
    letters.collect()
}

fn seconds(text: &str) -> f64 {
    let started = cpu();
    std::hint::black_box(O200k.count(std::hint::black_box(text)));
    (cpu() - started).as_secs_f64()
}

/// The CPU time that this process has used.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The seconds for a sixteenth, the mean of sixteen.
fn small(text: &str) -> f64 {
    let start = (0..=text.len() / 16)
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default();
    (0..16).map(|_| seconds(start)).sum::<f64>() / 16.0
}

/// The resident set, where the system tells it.
fn memory_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
