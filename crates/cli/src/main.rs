//! The `baton` command. Everything is in the library `baton_cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    baton_cli::main()
}
