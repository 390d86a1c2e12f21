//! The `baton` command. Everything is in the library `baton_cli`.

use std::process::ExitCode;

/// A hop allocates some hundred small blocks and a few of kilobytes; the system's allocator took a fifth of a worker's time
/// for them (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    baton_cli::main()
}
