//! The `lakegate` command. Everything is in the library; errors are printed once, by `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lakegate::cli::run()
}
