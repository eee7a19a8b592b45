//! A program that has the whole terminal goes on drawing, with the new code.

use std::process::Command;
use std::time::{Duration, Instant};

use liveswap_tests::{LiveProject, LiveRun};

/// A terminal of 80 by 24 characters, which `tmux` keeps and shows.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// `tmux` in the mode in which it speaks of changes line by line, with the command in its window.
    fn tmux(&self, command: &str) -> Command {
        let mut tmux = Command::new("tmux");
        // What the command says would be written across the program's picture.
        let inside = format!("exec {command} 2> '{}.log'", self.socket);
        tmux.args(["-C", "-S", &self.socket, "-f", "/dev/null", "new-session"])
            .arg(inside);
        tmux
    }

    fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-S", &self.socket])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("tmux is needed: {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen shows all of this.
    #[track_caller]
    fn shows(&self, live: &mut LiveRun, wanted: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.command(&["capture-pane", "-p"]);
            if wanted.iter().all(|text| screen.contains(text)) {
                return;
            }
            if Instant::now() > deadline {
                live.disappoint(&format!("{wanted:?} on the screen:\n{screen}"));
            }
        }
    }

    fn press(&self, key: &str) {
        self.command(&["send-keys", key]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone already, with the program.
        let _ = Command::new("tmux")
            .args(["-S", &self.socket, "kill-server"])
            .output();
    }
}

#[test]
fn a_terminal_program_is_redrawn_by_new_code_and_keeps_its_state() {
    let project = LiveProject::new("terminal");
    let terminal = Terminal {
        socket: project.path("tmux.sock").display().to_string(),
    };
    let mut live = project
        .live()
        .keep_dependencies("terminal")
        .env("TERM", "xterm-256color")
        .wrapped(|command| terminal.tmux(command))
        .start();
    terminal.shows(&mut live, &["first title", "keys: 0", "nothing here"]);
    terminal.press("a");
    terminal.press("b");
    terminal.shows(&mut live, &["keys: 2"]);
    project.edit("src/main.rs", "first title", "second title");
    live.swapped();
    terminal.shows(&mut live, &["second title", "keys: 2"]);
    // A widget that the program never used.
    project.edit(
        "src/main.rs",
        "frame.render_widget(Paragraph::new(\"nothing here\"), rest);",
        "let rows = [ratatui::widgets::Row::new([\"apples\", \"7\"]), ratatui::widgets::Row::new([\"pears\", \"12\"])];
    let table = ratatui::widgets::Table::new(rows, [Constraint::Length(10), Constraint::Length(5)]);
    frame.render_widget(table.block(Block::bordered().title(\"a table\")), rest);",
    );
    live.swapped();
    terminal.shows(
        &mut live,
        &["second title", "a table", "apples", "pears", "12"],
    );
    terminal.press("c");
    terminal.shows(&mut live, &["keys: 3"]);
    terminal.press("q");
    assert_eq!(live.event_named("exited").number("code"), 0);
    live.wait();
}
