//! What the process has logged: all tests of this binary share one log, so each looks for lines with a name of its own.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use super::raw::soon;

/// Whole lines, as JSON.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what is logged from now on.
pub(crate) fn keep() {
    static KEPT: LazyLock<()> = LazyLock::new(|| {
        tracing_subscriber::fmt()
            .with_env_filter("lakegate=info")
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(|| Writer)
            .init();
    });
    LazyLock::force(&KEPT);
}

/// A line that has all these in it, once it is there.
pub(crate) async fn line(with: &[&str]) -> String {
    let found = || {
        let lines = LINES.lock().expect("a lock");
        lines
            .iter()
            .find(|line| with.iter().all(|part| line.contains(part)))
            .cloned()
    };
    soon(&format!("a line with {with:?}"), async {
        loop {
            match found() {
                Some(line) => return line,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await
}

/// All of it, so far.
pub(crate) fn text() -> String {
    LINES.lock().expect("a lock").concat()
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES
            .lock()
            .expect("a lock")
            .push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
