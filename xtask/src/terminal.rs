//! What the person at the terminal sees of the steps: titles, outcomes, the closing table. All of
//! it on stderr, so that what a step itself prints stays alone on stdout; colours only where
//! wanted.

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use std::time::Duration;

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Announces a step, with the command that repeats it alone.
pub fn begin(name: &str, command: &str) {
    eprintln!("{TITLE}== {name}{TITLE:#}  {FAINT}{command}{FAINT:#}");
}

/// A step went well.
pub fn done(name: &str, took: Duration) {
    eprintln!("{GOOD}ok{GOOD:#} {name}  {}\n", seconds(took));
}

/// Something did not; the reason is the last thing on the screen.
pub fn failed(reason: &str) {
    eprintln!("{BAD}failed{BAD:#} {reason}");
}

/// One row of a closing table.
pub fn row(good: bool, cells: &str) {
    let (style, word) = if good { (GOOD, "ok    ") } else { (BAD, "failed") };
    eprintln!("{style}{word}{style:#} {cells}");
}

/// Minutes and seconds, short enough for a column.
pub fn seconds(took: Duration) -> String {
    let tenths = took.as_millis() / 100;
    let (minutes, rest) = (tenths / 600, tenths % 600);
    if minutes > 0 {
        format!("{minutes} min {} s", rest / 10)
    } else {
        format!("{}.{} s", rest / 10, rest % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_exact_enough() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }
}
