//! The `lakegate` command. Everything is in the library; errors are printed once, by `cli`.

use std::process::ExitCode;

/// A proxied request asks for memory some forty times.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lakegate::cli::run()
}
