//! The table of a run.

use super::judge::{Heard, Verdict};

/// What became of one edit of a program.
pub struct Row {
    /// The program.
    pub program: &'static str,
    /// Number of the edit, from 1; 0 for the start of the program.
    pub number: usize,
    /// What was edited.
    pub about: &'static str,
    /// What was said about it.
    pub heard: Heard,
    /// Whether that is as promised.
    pub verdict: Verdict,
}

impl Row {
    /// Whether the edit is as promised.
    pub fn is_fine(&self) -> bool {
        self.verdict == Verdict::Fine
    }

    /// A line of the table, which is one of Markdown too.
    pub fn line(&self) -> String {
        let ms = |time: Option<f64>| time.map_or(String::new(), |time| format!("{time:.0}"));
        let verdict = match &self.verdict {
            Verdict::Fine => "ok",
            Verdict::NotYet(why) | Verdict::Short(why) => &format!("SHORT: {}", one_line(why)),
        };
        format!(
            "| {:10} | {:2} {:66} | {:18} | {:5} | {:5} | {verdict} |",
            self.program,
            self.number,
            self.about,
            self.heard.words(),
            ms(self.heard.total),
            ms(self.heard.compile),
        )
    }
}

/// The head of the table.
pub fn head() -> String {
    format!(
        "| {:10} | {:69} | {:18} | {:5} | {:5} | verdict |\n|{}|{}|{}|{}|{}|---------|",
        "program",
        "edit",
        "outcome",
        "ms",
        "rustc",
        "-".repeat(12),
        "-".repeat(71),
        "-".repeat(20),
        "-".repeat(7),
        "-".repeat(7),
    )
}

fn one_line(text: &str) -> String {
    const MUCH: usize = 300;
    let line = text.replace('\n', " / ");
    line.chars().take(MUCH).collect()
}
