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

    /// Waits until `tmux` says this of its window.
    #[track_caller]
    fn becomes(&self, live: &mut LiveRun, what: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.command(&["display-message", "-p", what]);
            if said.trim() == wanted {
                return;
            }
            if Instant::now() > deadline {
                live.disappoint(&format!("{what} to be {wanted}, not {said}"));
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

/// The program was killed in the middle of its picture, and the next lines went across it, without an echo.
#[test]
fn a_crash_and_a_restart_leave_the_terminal_as_it_was() {
    let project = LiveProject::new("terminal");
    let terminal = Terminal {
        socket: project.path("tmux.sock").display().to_string(),
    };
    let log = format!("{}.out", terminal.socket);
    let mut live = project
        .live()
        .keep_dependencies("terminal")
        .env("TERM", "xterm-256color")
        .wrapped(|command| {
            let mut tmux = Command::new("tmux");
            // A shell, so that the terminal is looked at after the end.
            let inside = format!(
                "trap : INT; stty -a > '{log}.before'; {command} --stay 2>> '{log}'; stty -a > '{log}.after'; echo all is over; cat"
            );
            tmux.args(["-C", "-S", &terminal.socket, "-f", "/dev/null", "new-session"])
                .arg(inside);
            tmux
        })
        .start();
    terminal.shows(&mut live, &["first title", "keys: 0"]);
    terminal.becomes(&mut live, "#{alternate_on}", "1");
    // A restart, in raw mode on the alternate screen: SIGTERM ends the program at once.
    let restarted = liveswap_tests::live_command::liveswap_command();
    let mut restart = Command::new(restarted);
    liveswap_tests::live_command::clean_environment(&mut restart);
    let target = liveswap_tests::library::target_directory().join("tmp/liveswap-cargo/terminal");
    let answer = restart
        .args(["liveswap", "restart"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(project.root())
        .output()
        .expect("the command can be run");
    assert!(answer.status.success(), "{answer:?}");
    live.started_again();
    terminal.press("a");
    terminal.shows(&mut live, &["first title", "keys: 1"]);
    // A crash: the screen is the main one again, and what is typed is echoed.
    live.signal(live.pid(), libc::SIGABRT);
    live.event_named("crashed");
    terminal.becomes(&mut live, "#{alternate_on} #{cursor_flag}", "0 1");
    terminal.command(&["send-keys", "-l", "typed"]);
    terminal.shows(&mut live, &["typed"]);
    project.edit("src/main.rs", "first title", "second title");
    live.started_again();
    terminal.shows(&mut live, &["second title"]);
    live.signal(live.pid(), libc::SIGABRT);
    live.event_named("crashed");
    terminal.press("C-c");
    live.event_named("exited");
    terminal.shows(&mut live, &["all is over"]);
    let read = |path: &str| std::fs::read_to_string(path).expect("stty has told");
    assert_eq!(
        read(&format!("{log}.before")),
        read(&format!("{log}.after"))
    );
}
