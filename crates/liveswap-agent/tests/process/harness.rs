//! A C program with the agent in it, and the command's end of the socket.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use liveswap_protocol::frame;
use liveswap_protocol::message::{FromAgent, Hello, ToAgent};
use liveswap_protocol::patch::{Image, Patch, Place, SlotWrite};

const PATIENCE: Duration = Duration::from_secs(60);

/// Cargo's target directory, found from the running test.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .expect("a test lies in a target directory")
        .to_path_buf()
}

/// The agent's library as users get it, brought up to date once.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = target_directory();
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--package",
                "liveswap-agent",
                "--target-dir",
            ])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let library = target.join("release/libliveswap_agent.so");
        assert!(
            output.status.success() && library.is_file(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        library
    })
}

/// Compiles the program with more flags.
pub fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let folder = target_directory().join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join(name);
    // Renamed into place: another test process may be running the one that is there.
    let fresh = folder.join(format!("{name}-{}", std::process::id()));
    let output = Command::new("gcc")
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .args([
            "-Wl,--build-id=sha1",
            "-Wl,-z,relro",
            "-Wl,--no-as-needed",
            "-o",
        ])
        .arg(&fresh)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/process/program.c"
        ))
        .args(flags)
        .arg(library())
        .output()
        .expect("gcc is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    std::fs::rename(fresh, &program).unwrap();
    program
}

/// The program as rustc would link it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("liveswap-agent-program", &["-fPIE", "-pie", "-Wl,-z,now"]))
}

/// A running program and the connection of its agent.
pub struct Running {
    pub child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    pub socket: UnixStream,
    pub hello: Hello,
    pub facts: HashMap<String, u64>,
    pub tpoff: i64,
    generation: u64,
    next_slice: u32,
    pub folder: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Running {
        Running::start_program(program())
    }

    pub fn start_program(program: &Path) -> Running {
        Running::start_with(Command::new(program))
    }

    pub fn start_with(mut command: Command) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut child = command
            .env("LIVESWAP_SOCKET", &path)
            .env("LIVESWAP_IMAGES", folder.path().join("images"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = lines(&mut child);
        let mut socket = accept(&listener, &mut child);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let Some(FromAgent::Hello(hello)) = frame::read(&mut socket).unwrap() else {
            panic!("the agent does not say hello");
        };
        let mut running = Running {
            input: child.stdin.take(),
            child,
            output,
            socket,
            hello,
            facts: HashMap::new(),
            tpoff: 0,
            generation: 0,
            next_slice: 0,
            folder,
        };
        let facts = running.ask("facts");
        for fact in facts.split(' ').skip(1) {
            let (name, value) = fact.split_once('=').unwrap();
            running
                .facts
                .insert(name.to_owned(), value.parse().unwrap());
        }
        let tpoff = running.line();
        running.tpoff = tpoff.strip_prefix("tpoff ").unwrap().parse().unwrap();
        running
    }

    /// Says a line to the program and waits for its answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.line()
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub fn line(&mut self) -> String {
        self.output.recv_timeout(PATIENCE).expect("a line in time")
    }

    pub fn request(&mut self, request: &ToAgent) -> FromAgent {
        frame::write(&mut self.socket, request).unwrap();
        frame::read(&mut self.socket).unwrap().expect("an answer")
    }

    pub fn executable(&self, fact: &str) -> Place {
        Place::Executable(self.facts[fact])
    }

    /// A patch of the next generation with an image of this code at the next free slice, and a slot that
    /// leads to its first byte.
    pub fn patch(&self, word: &str, code: &[u8]) -> Patch {
        Patch {
            build_id: self.hello.build_id.clone(),
            generation: self.generation + 1,
            image: Some(Image {
                first_slice: self.next_slice,
                code: code.to_vec(),
                data_offset: 4096,
                ..Image::default()
            }),
            slots: vec![SlotWrite {
                word: self.executable(word),
                target: self.own(0),
            }],
            ..Patch::default()
        }
    }

    /// A place in the image that `patch` makes.
    pub fn own(&self, offset: u64) -> Place {
        Place::Range(u64::from(self.next_slice) * 65536 + offset)
    }

    pub fn own_address(&self, offset: u64) -> u64 {
        self.hello.range_start + u64::from(self.next_slice) * 65536 + offset
    }

    pub fn send(&mut self, patch: &Patch) -> FromAgent {
        self.request(&ToAgent::Apply(patch.encode().unwrap()))
    }

    /// Applies a patch that must go live.
    #[track_caller]
    pub fn apply(&mut self, patch: &Patch) -> (u64, u64) {
        match self.send(patch) {
            FromAgent::Applied {
                generation,
                apply_us,
                pause_us,
                flipped_at_ns,
            } => {
                assert_eq!((generation, pause_us), (patch.generation, 0));
                self.generation = generation;
                self.next_slice += patch.image.as_ref().map_or(0, |image| {
                    let len = image.data_offset.max(image.code.len() as u64) + image.data_len;
                    u32::try_from(len.div_ceil(65536)).unwrap()
                });
                (apply_us, flipped_at_ns)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next image lies one slice further.
    pub fn skip_a_slice(&mut self) {
        self.next_slice += 1;
    }

    /// Sends a patch that must be refused.
    #[track_caller]
    pub fn refused(&mut self, patch: &Patch) -> (String, String) {
        match self.send(patch) {
            FromAgent::Refused { code, message } => (code, message),
            other => panic!("{other:?}"),
        }
    }

    pub fn maps(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap()
    }

    /// No mapping may be writable and executable.
    #[track_caller]
    pub fn assert_nothing_is_writable_and_executable(&self) {
        for line in self.maps().lines() {
            let permissions = line.split(' ').nth(1).unwrap();
            assert!(
                !permissions.starts_with("rwx") && !permissions.contains("wx"),
                "{line}"
            );
        }
    }

    /// Ends the program by the end of its input; its exit status.
    pub fn end(mut self) -> std::process::ExitStatus {
        self.input = None;
        wait(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a program, not for ever.
pub fn wait(child: &mut Child) -> std::process::ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the program does not end");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn lines(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().unwrap();
    let (to, from) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    });
    from
}

/// Waits for the agent, or for the end of the program.
fn accept(listener: &UnixListener, child: &mut Child) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(false).unwrap();
            return socket;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the program ended: {status}");
        }
        assert!(Instant::now() < deadline, "no agent connects");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// `mov $value,%eax; ret`
pub fn returns(value: i32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(value.to_le_bytes());
    code.push(0xc3);
    code
}
