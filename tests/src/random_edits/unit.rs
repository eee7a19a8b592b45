//! Units: their code, and what it puts out.

use super::edit::Edit;
use crate::held::{locals, sum};
use crate::random::Random;

#[derive(Clone)]
pub(super) enum Unit {
    /// A function that is called in each beat.
    Function {
        number: u64,
        parameters: Vec<u64>,
        text: bool,
        closures: usize,
        statics: usize,
    },
    /// Two closures that are made at the start.
    Closures {
        numbers: [u64; 2],
        held: Vec<u64>,
        swapped: bool,
        above: usize,
    },
    /// A future that never ends, on tokio's executor or on a loop of the unit's own.
    Task {
        number: u64,
        held: Vec<u64>,
        on_tokio: bool,
    },
    /// Closures that are made in each beat and called some beats later.
    Queue { number: u64, held: Vec<u64> },
    /// A thread whose loop calls a function.
    Thread { number: u64, parameters: Vec<u64> },
    /// Values of a type that live from the start.
    Values {
        number: u64,
        held: Vec<u64>,
        swapped: bool,
    },
}

impl Unit {
    pub(super) fn random(random: &mut Random) -> Self {
        let few = |random: &mut Random| -> Vec<u64> {
            (0..=random.below(3))
                .map(|_| random.bits() % 90 + 10)
                .collect()
        };
        let number = random.bits() % 900 + 100;
        match random.below(7) {
            0 => Self::Function {
                number,
                parameters: few(random),
                text: random.chance(50),
                closures: 0,
                statics: 0,
            },
            1 => Self::Closures {
                numbers: [number, random.bits() % 900 + 100],
                held: few(random),
                swapped: false,
                above: 0,
            },
            2 | 3 => Self::Task {
                number,
                held: few(random),
                on_tokio: random.chance(60),
            },
            4 => Self::Queue {
                number,
                held: few(random),
            },
            5 => Self::Thread {
                number,
                parameters: few(random),
            },
            _ => Self::Values {
                number,
                held: few(random),
                swapped: false,
            },
        }
    }

    pub(super) fn needs_tokio(&self) -> bool {
        matches!(self, Self::Task { on_tokio: true, .. })
    }

    pub(super) fn apply(&mut self, edit: &Edit) {
        match (self, edit) {
            (Self::Closures { numbers, .. }, Edit::Number { second, value }) => {
                numbers[usize::from(*second)] = *value;
            }
            (
                Self::Function { number, .. }
                | Self::Task { number, .. }
                | Self::Queue { number, .. }
                | Self::Thread { number, .. }
                | Self::Values { number, .. },
                Edit::Number { value, .. },
            ) => *number = *value,
            (Self::Function { parameters, .. }, Edit::Parameters(list))
            | (Self::Thread { parameters, .. }, Edit::Contract(list)) => {
                parameters.clone_from(list)
            }
            (Self::Function { text, .. }, Edit::Result) => *text = !*text,
            (Self::Function { closures, .. }, Edit::Closure) => *closures += 1,
            (Self::Function { statics, .. }, Edit::Static) => *statics += 1,
            (
                Self::Closures { held, .. }
                | Self::Task { held, .. }
                | Self::Queue { held, .. }
                | Self::Values { held, .. },
                Edit::Held(list),
            ) => held.clone_from(list),
            (Self::Closures { swapped, .. } | Self::Values { swapped, .. }, Edit::Swap) => {
                *swapped = !*swapped;
            }
            (Self::Closures { above, .. }, Edit::Above) => *above += 1,
            _ => unreachable!("an edit of another kind of unit"),
        }
    }

    /// What `read` gives.
    pub(super) fn output(&self) -> String {
        let sum = |list: &[u64]| list.iter().sum::<u64>();
        match self {
            Self::Function {
                number,
                parameters,
                text,
                ..
            } => {
                let mark = if *text { "t" } else { "" };
                format!("{mark}{}", number + sum(parameters))
            }
            Self::Closures { numbers, held, .. } => {
                format!("{}/{}", numbers[0] + sum(held), numbers[1] + sum(held))
            }
            Self::Task { number, held, .. }
            | Self::Queue { number, held }
            | Self::Values { number, held, .. } => (number + sum(held)).to_string(),
            Self::Thread { number, parameters } => (number + sum(parameters)).to_string(),
        }
    }

    pub(super) fn code(&self) -> String {
        match self {
            Self::Function {
                number,
                parameters,
                text,
                closures,
                statics,
            } => function(*number, parameters, *text, *closures, *statics),
            Self::Closures {
                numbers,
                held,
                swapped,
                above,
            } => closures(numbers, held, *swapped, *above),
            Self::Task {
                number,
                held,
                on_tokio,
            } => task(*number, held, *on_tokio),
            Self::Queue { number, held } => queue(*number, held),
            Self::Thread { number, parameters } => thread(*number, parameters),
            Self::Values {
                number,
                held,
                swapped,
            } => values(*number, held, *swapped),
        }
    }
}

/// A text for each element of a list, joined; `#` is its index and `@` its value.
fn each(list: &[u64], separator: &str, what: &str) -> String {
    let parts: Vec<String> = list
        .iter()
        .enumerate()
        .map(|(index, value)| {
            what.replace('#', &index.to_string())
                .replace('@', &value.to_string())
        })
        .collect();
    parts.join(separator)
}

fn function(
    number: u64,
    parameters: &[u64],
    text: bool,
    closures: usize,
    statics: usize,
) -> String {
    let result = if text { "String" } else { "u64" };
    let mut body = format!(
        "    let mut x: u64 = {number} + {};\n",
        each(parameters, " + ", "p#")
    );
    for index in 0..closures {
        body.push_str(&format!(
            "    x = [x, {index}].iter().map(|y| y + x).max().unwrap() - x;\n"
        ));
    }
    for index in 0..statics {
        body.push_str(&format!(
            "    static S{index}: AtomicU64 = AtomicU64::new(0);\n    \
             let before = S{index}.fetch_add(1, Relaxed);\n    \
             ensure!(S{index}.load(Relaxed) == before + 1, \"S{index}\");\n"
        ));
    }
    body.push_str(if text {
        "    format!(\"t{x}\")\n"
    } else {
        "    x\n"
    });
    format!(
        "pub fn start() {{}}\n#[inline(never)]\nfn work({}) -> {result} {{\n{body}}}\n\
         #[inline(never)]\npub fn read() -> String {{\n    work({}).to_string()\n}}\n",
        each(parameters, ", ", "p#: u64"),
        each(parameters, ", ", "@")
    )
}

fn closures(numbers: &[u64; 2], held: &[u64], swapped: bool, above: usize) -> String {
    let make = |place: usize| {
        format!(
            "    let c{place} = {{\n{}    move || {}{}\n    }};\n",
            locals(held, "h"),
            numbers[place],
            sum(held, "h")
        )
    };
    let more: String = (0..above)
        .map(|index| {
            format!(
                "    let a{index} = {{\n{}    move || 7{}\n    }};\n    ensure!(a{index}() > 6, \"above\");\n",
                locals(held, "h"),
                sum(held, "h")
            )
        })
        .collect();
    let both = if swapped {
        make(1) + &make(0)
    } else {
        make(0) + &make(1)
    };
    format!(
        "static KEPT: Mutex<Vec<Box<dyn Fn() -> u64 + Send>>> = Mutex::new(Vec::new());\n\
         #[inline(never)]\npub fn start() {{\n{more}{both}    \
         KEPT.lock().unwrap().push(Box::new(c0));\n    KEPT.lock().unwrap().push(Box::new(c1));\n}}\n\
         #[inline(never)]\npub fn read() -> String {{\n    let kept = KEPT.lock().unwrap();\n    \
         format!(\"{{}}/{{}}\", kept[0](), kept[1]())\n}}\n"
    )
}

fn task(number: u64, held: &[u64], on_tokio: bool) -> String {
    let (pause, start, turn) = if on_tokio {
        (
            "async fn pause() { tokio::time::sleep(Duration::from_millis(3)).await }",
            "    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());\n    RUNTIME.spawn(worker());\n",
            "",
        )
    } else {
        (
            "async fn pause() { let mut turn = false; std::future::poll_fn(|_| if std::mem::replace(&mut turn, true) { Poll::Ready(()) } else { Poll::Pending }).await }\n\
             static TASK: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>> = Mutex::new(None);",
            "    *TASK.lock().unwrap() = Some(Box::pin(worker()));\n",
            "    let _ = TASK.lock().unwrap().as_mut().unwrap().as_mut().poll(&mut Context::from_waker(Waker::noop()));\n",
        )
    };
    format!(
        "static SEEN: AtomicU64 = AtomicU64::new(0);\nstatic BEGUN: AtomicU64 = AtomicU64::new(0);\n{pause}\n\
         async fn worker() {{\n    ensure!(BEGUN.fetch_add(1, Relaxed) == 0, \"begins again\");\n    loop {{\n\
         {}    pause().await;\n    SEEN.store({number}{}, Relaxed);\n    }}\n}}\n\
         #[inline(never)]\npub fn start() {{\n{start}}}\n\
         #[inline(never)]\npub fn read() -> u64 {{\n{turn}    SEEN.load(Relaxed)\n}}\n",
        locals(held, "h"),
        sum(held, "h")
    )
}

fn queue(number: u64, held: &[u64]) -> String {
    format!(
        "static JOBS: Mutex<VecDeque<Box<dyn FnOnce() -> u64 + Send>>> = Mutex::new(VecDeque::new());\n\
         pub fn start() {{ for _ in 0..5 {{ make(); }} }}\n\
         #[inline(never)]\nfn make() {{\n{}    JOBS.lock().unwrap().push_back(Box::new(move || {number}{}));\n}}\n\
         #[inline(never)]\npub fn read() -> u64 {{\n    make();\n    let job = JOBS.lock().unwrap().pop_front().unwrap();\n    job()\n}}\n",
        locals(held, "h"),
        sum(held, "h")
    )
}

fn thread(number: u64, parameters: &[u64]) -> String {
    format!(
        "static SEEN: AtomicU64 = AtomicU64::new(0);\n\
         #[inline(never)]\nfn turn({}) -> u64 {{\n    {number} + {}\n}}\n\
         fn run() {{\n    loop {{\n        SEEN.store(turn({}), Relaxed);\n        \
         thread::sleep(Duration::from_millis(3));\n    }}\n}}\n\
         #[inline(never)]\npub fn start() {{\n    thread::spawn(run);\n}}\n\
         #[inline(never)]\npub fn read() -> u64 {{\n    SEEN.load(Relaxed)\n}}\n",
        each(parameters, ", ", "p#: u64"),
        each(parameters, " + ", "p#"),
        each(parameters, ", ", "@")
    )
}

fn values(number: u64, held: &[u64], swapped: bool) -> String {
    let mut fields: Vec<String> = held
        .iter()
        .enumerate()
        .map(|(index, value)| match value % 3 {
            0 => format!("    h{index}: Seal,\n"),
            1 => format!("    h{index}: Vec<u64>,\n"),
            _ => format!("    h{index}: String,\n"),
        })
        .collect();
    fields.extend(["    low: u64,\n".to_owned(), "    high: u64,\n".to_owned()]);
    if swapped {
        let last = fields.len() - 1;
        fields.swap(last, last - 1);
    }
    format!(
        "struct Value {{\n{}}}\nstatic KEPT: Mutex<Vec<Value>> = Mutex::new(Vec::new());\n\
         #[inline(never)]\npub fn start() {{\n    for _ in 0..4 {{\n{}    \
         KEPT.lock().unwrap().push(Value {{ low: 11, high: 22{} }});\n    }}\n}}\n\
         #[inline(never)]\nfn look(value: &Value) -> u64 {{\n    \
         ensure!(value.low == 11 && value.high == 22, \"value\");\n    {number}{}\n}}\n\
         #[inline(never)]\npub fn read() -> u64 {{\n    \
         KEPT.lock().unwrap().iter().map(look).max().unwrap()\n}}\n",
        fields.concat(),
        locals(held, "h"),
        held.iter()
            .enumerate()
            .map(|(index, _)| format!(", h{index}"))
            .collect::<String>(),
        sum(held, "value.h")
    )
}
