//! `cargo liveswap`: the command.

use std::process::ExitCode;

mod build;
mod interface;
mod model;
mod stage;

fn main() -> ExitCode {
    if let Some(code) = std::env::args_os().next().and_then(|name| stage::dispatch(&name)) {
        return code;
    }
    driver()
}

// B1's temporary driver; B2 replaces this file.
fn driver() -> ExitCode {
    let mut args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    let mut options = model::RunOptions { profile: "dev".into(), ..Default::default() };
    if args.iter().any(|a| a == "--release") { options.profile = "release".into(); }
    if let Some(at) = args.iter().position(|a| a == "--") {
        options.program_args = args.split_off(at + 1);
        args.pop();
    }
    options.cargo_args = args;
    let t = std::time::Instant::now();
    let mut build = match build::Build::prepare(&options) { Ok(b) => b, Err(e) => { eprintln!("prepare: {e}"); return ExitCode::FAILURE } };
    eprintln!("prepared {:?}", t.elapsed());
    let (launch, linked) = match build.first() { Ok(b) => b, Err(e) => { eprintln!("first: {e:?}"); return ExitCode::FAILURE } };
    eprintln!("first {:?}", t.elapsed());
    eprintln!("{:?} {:?} {:?} envs {}", launch.exe, launch.args, launch.cwd, launch.env.len());
    for c in &linked.crates { eprintln!("  {} {} opt{} {} objects", c.name, c.unit, c.opt_level, c.objects.len()); }
    eprintln!("archives {} objects {:?} libs {:?} missing {:?} obstacle {:?}", linked.archives.len(), linked.objects, linked.libraries, linked.missing, linked.obstacle);
    eprintln!("sources {:#?}\nroots {:?}\nuncertain {:?}", build.sources(), build.watch_roots(), build.uncertain_sources());
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let t = std::time::Instant::now();
        let cancel = model::CancelToken::new();
        let words: Vec<_> = line.split_whitespace().collect();
        let result = match words.first() {
            Some(&"finish") => build.finish_deferred(&cancel),
            Some(&"swap") => build.rebuild(&cancel),
            Some(&"cancel") => { let c = cancel.clone(); std::thread::spawn(move || { std::thread::sleep(std::time::Duration::from_millis(30)); c.cancel() });
                build.compile(&words[1..].iter().map(Into::into).collect::<Vec<_>>(), &cancel) }
            _ => { let p: Vec<std::path::PathBuf> = words.iter().map(Into::into).collect();
                for p in &p { eprintln!("{} is {:?}", p.display(), build.classify(p)); }
                build.compile(&p, &cancel) }
        };
        let e = t.elapsed();
        match result {
            Ok(c) => { eprintln!("OK {e:?} runs {:?} deferred {} pending {:?} new {:?}", c.rustc_runs, c.deferred, c.pending, c.new_archives);
                for c in c.crates { eprintln!("   {} changed {:?} of {}", c.unit, c.objects.iter().map(|o| (o.cgu.as_str(), o.bytes.len())).collect::<Vec<_>>(), c.all.len()); } }
            Err(e) => eprintln!("ERR {e:?}"),
        }
    }
    ExitCode::SUCCESS
}
