//! bottom, in a terminal: somebody looks at the screen and presses keys.

use super::super::script::{Edit, Origin, Program, Promise, Surroundings, edit, take_back};
use super::super::surroundings::Sitter;

pub(super) fn program() -> Program {
    Program {
        name: "bottom",
        origin: Origin::Registry {
            package: "bottom",
            version: "0.15.0",
            with: &[],
            newer: &[],
        },
        // What it compiles in C and what asks for hardware is left out; dependencies are not optimised here.
        flags: &[
            "--no-default-features",
            "--config",
            "profile.dev.package.\"*\".opt-level=0",
        ],
        arguments: |_| vec!["--rate".to_owned(), "250ms".to_owned()],
        environment: &[("TERM", "xterm-256color")],
        prepare: |_| Ok(()),
        ready: "",
        surroundings: Surroundings::Terminal,
        held: &["sitter"],
        connect: |site, _| Ok(Box::new(Sitter::sit_down(site, "RAM:")?)),
        goodbye: Some("q"),
        load: &[],
        edits,
    }
}

const MEMORY: &str = "src/canvas/widgets/mem_graph.rs";
const CPU: &str = "src/canvas/widgets/cpu_graph.rs";
const NETWORK: &str = "src/canvas/widgets/network_graph.rs";
const WIDGET: &str = "src/widgets/cpu_graph.rs";
const LIB: &str = "src/lib.rs";

fn edits() -> Vec<Edit> {
    vec![
        edit("the title of a graph")
            .replace(MEMORY, "\" Memory \"", "\" Store \"")
            .look("sitter", "look", " Memory ", " Store "),
        edit("the labels of a graph")
            .replace(MEMORY, "format!(\"{name}:{percentage:3.0}%", "format!(\"{name} is {percentage:3.0}%")
            .look("sitter", "look", "RAM: +[0-9]+%", "RAM is +[0-9]+%"),
        edit("a title with a number")
            .replace(CPU, "concat_string!(\" CPU \"", "concat_string!(\" Cores \"")
            .look("sitter", "look", " CPU ", " Cores "),
        edit("a parameter more for the function that makes labels")
            .replace(MEMORY, "fn memory_legend_label(name: &str, data", "fn memory_legend_label(name: &str, mark: char, data")
            .replace(MEMORY, "memory_legend_label(name, last_harvest)", "memory_legend_label(name, '!', last_harvest)")
            .replace(MEMORY, "format!(\"{name} is {percentage:3.0}%", "format!(\"{name}{mark} {percentage:3.0}%")
            .look("sitter", "look", "RAM is +[0-9]+%", "RAM! +[0-9]+%"),
        edit("a name that is none")
            .replace(NETWORK, "title: \" Network \".into(),", "titel: \" Network \".into(),")
            .promise(Promise::Broken)
            .look("sitter", "look", " Network ", " Network "),
        take_back("the name is taken back"),
        take_back("the parameter is taken back"),
        edit("the thread that collects goes on in its loop")
            .replace(LIB, "            let event = BottomEvent::Update(Box::from(data_collector.data));\n", "            data_collector.data.load_avg = Some([7.0, 8.0, 9.0]);\n            let event = BottomEvent::Update(Box::from(data_collector.data));\n")
            .promise(Promise::Waits)
            .names("create_collection_thread")
            .look("sitter", "look", " Cores ─ [0-9]+[.][0-9]+ [0-9]+", " Cores ─ 7.00 8.00 9.00 "),
        take_back("that is taken back"),
        edit("a field more in the state of a widget, which lives")
            .replace(WIDGET, "    pub is_legend_hidden: bool,\n    pub table", "    pub is_legend_hidden: bool,\n    pub extra: u64,\n    pub table")
            .replace(WIDGET, "            is_legend_hidden: false,\n", "            is_legend_hidden: false,\n            extra: 1,\n")
            .promise(Promise::Waits)
            .names("App::")
            .look("sitter", "look", " Cores ", " Cores "),
        take_back("the field is taken back"),
        edit("the loop of the screen, which goes on")
            .replace(LIB, "                BottomEvent::Terminate => break,\n", "                BottomEvent::Terminate => {\n                    app.is_force_redraw = true;\n                    break;\n                }\n")
            .promise(Promise::Waits)
            .names("start_bottom")
            .names("main")
            .look("sitter", "e", " Cores | Store | Network | Processes ", " Cores | Store | Network | Processes "),
        edit("one more title")
            .replace(NETWORK, "title: \" Network \".into(),", "title: \" Wires \".into(),")
            .look("sitter", "e", " Network | Processes | Cores ", " Wires "),
    ]
}
