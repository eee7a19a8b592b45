//! A game on macroquad, on a display of its own: somebody looks at colours.

use super::super::script::{Edit, Origin, Program, Promise, Surroundings, edit, take_back};
use super::super::surroundings::Looker;

pub(super) fn program() -> Program {
    Program {
        name: "game",
        origin: Origin::Fixture("game"),
        flags: &[],
        arguments: |_| Vec::new(),
        environment: &[],
        prepare: |_| Ok(()),
        ready: "",
        surroundings: Surroundings::Display,
        held: &["player"],
        connect: |site, _| Ok(Box::new(Looker::at(site, "160 120", "ff0000")?)),
        goodbye: None,
        load: &[],
        edits,
    }
}

const PICTURE: &str = "src/picture.rs";
const STATE: &str = "src/state.rs";
const MAIN: &str = "src/main.rs";

const GROUND: &str = "10 10";
const SQUARE: &str = "160 120";
const BAR: &str = "100 230";
const LAMP: &str = "310 10";

fn edits() -> Vec<Edit> {
    vec![
        edit("the colour of the ground")
            .replace(PICTURE, "from_rgba(0, 0, 64, 255)", "from_rgba(0, 64, 64, 255)")
            .look("player", GROUND, "^000040$", "^004040$")
            .look("player", SQUARE, "^ff0000$", "^ff0000$"),
        edit("the loop of main draws the square in another place")
            .replace(
                MAIN,
                "        picture::draw(&state);\n",
                "        picture::draw(&state);\n        draw_rectangle(10.0, 100.0, 20.0, 20.0, WHITE);\n",
            )
            .promise(Promise::Waits)
            .names("main")
            .look("player", "20 110", "^004040$", "^ffffff$"),
        take_back("that is taken back"),
        edit("main holds more over its await")
            .replace(MAIN, "    let mut state = State::default();\n", "    let mut state = State::default();\n    let mut times = [0.0f64; 8];\n")
            .replace(MAIN, "        state.step();\n", "        state.step();\n        times[state.frames as usize % 8] = get_time();\n")
            .replace(MAIN, "        picture::draw(&state);\n", "        picture::draw(&state);\n        if times[1] >= 0.0 {\n            draw_rectangle(10.0, 100.0, 20.0, 20.0, WHITE);\n        }\n")
            .promise(Promise::Waits)
            .names("main")
            .look("player", "20 110", "^004040$", "^ffffff$")
            .look("player", SQUARE, "^ff0000$", "^ff0000$"),
        edit("the square, while the loop goes on in its old body")
            .replace(PICTURE, "from_rgba(255, 0, 0, 255)", "from_rgba(255, 0, 255, 255)")
            .look("player", SQUARE, "^ff0000$", "^ff00ff$"),
        edit("a macro that is none")
            .replace(PICTURE, "    clear_background(ground());", "    clear_background!(ground());")
            .promise(Promise::Broken)
            .look("player", SQUARE, "^ff00ff$", "^ff00ff$"),
        take_back("the macro is taken back"),
        take_back("the square is as it was"),
        take_back("main holds what it held"),
        edit("a parameter more for draw, which main calls in its loop")
            .replace(MAIN, "picture::draw(&state);", "picture::draw(&state, 40.0);")
            .replace(PICTURE, "pub fn draw(state: &State) {", "pub fn draw(state: &State, size: f32) {")
            .replace(PICTURE, "draw_rectangle(120.0, 80.0, 80.0, 80.0, square());", "draw_rectangle(120.0, 80.0, size, 80.0, square());")
            .promise(Promise::Waits)
            .names("main")
            .look("player", "190 120", "^ff0000$", "^004040$")
            .look("player", "130 120", "^ff0000$", "^ff0000$"),
        take_back("the parameter is taken back"),
        edit("the coroutine of the lamp holds more over its await")
            .replace(MAIN, "    let mut frames = 0u64;\n", "    let mut frames = 0u64;\n    let mut last = [0u64; 4];\n")
            .replace(MAIN, "        frames += 1;\n", "        frames += 1;\n        last[frames as usize % 4] = frames;\n")
            .replace(MAIN, "LAMP.store(frames, ", "LAMP.store(last.iter().sum::<u64>(), ")
            .names("blink")
            .look("player", LAMP, "^ffff00$", "^ffff00$"),
        edit("a field more in the state, which lives")
            .replace(STATE, "    pub frames: u64,", "    pub frames: u64,\n    pub speed: f64,")
            .promise(Promise::Refused("LS0001"))
            .names("State")
            .look("player", BAR, "^00ff00$", "^00ff00$"),
        take_back("the field is taken back"),
        edit("the colour of the lamp")
            .replace(PICTURE, "from_rgba(255, 255, 0, 255)", "from_rgba(0, 255, 255, 255)")
            .look("player", LAMP, "^ffff00$", "^00ffff$"),
    ]
}
