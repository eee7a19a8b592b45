//! A soak: 5,000 reloads of a program with 20 modules. Whatever is taken for a reload is given back.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use liveswap_tests::process_info::{mappings, open_files, resident_kib};
use liveswap_tests::random::Random;
use liveswap_tests::{CModule, CProject, Host, HostOptions};

/// Thousands of reloads on a busy machine: a short stall of it is not what is tested here.
const PATIENCE_MS: &str = "30000";

const MODULES: usize = 20;
const VARIANTS: usize = 4;
const RELOADS: usize = 5_000;
/// From here on nothing may grow any more: every variant has been loaded often.
const WARM: usize = 1_000;
const LOOK_EVERY: usize = 500;

/// The module that only some variants of its neighbour import: it disappears and returns.
const GUEST: usize = MODULES - 1;
const HOST_OF_GUEST: usize = 9;

fn name(module: usize) -> String {
    format!("m{module}")
}

/// Symbols that come and go from variant to variant.
fn variant_of(module: usize, variant: usize) -> CModule {
    let mut imports: Vec<String> = [module + 1, module + 3]
        .into_iter()
        .filter(|&import| import < GUEST)
        .map(name)
        .collect();
    if module == HOST_OF_GUEST && variant < 2 {
        imports.push(name(GUEST));
    }
    let mut c = CModule::new(&name(module))
        .imports(imports.iter().map(String::as_str))
        .global("long", "count", "*count = 0;")
        .proc("version", &format!("return {variant};"))
        .proc("next", "return ++*count;");
    if variant.is_multiple_of(2) {
        c = c.proc("sometimes", &format!("return 10 + {variant};"));
    }
    if variant == 1 || variant == 2 {
        c = c.global("long[2000]", "passing", "(*passing)[1999] = 5;");
    }
    if variant == 3 {
        c = c.before("version(0);").after("version(0);");
    }
    c
}

/// What the kernel says about the program.
#[derive(Clone, Copy)]
struct Figures {
    resident_kib: u64,
    open_files: usize,
    mappings: usize,
    files_on_disk: usize,
}

impl Figures {
    fn take(host: &Host, project: &CProject) -> Self {
        Self {
            resident_kib: resident_kib(host.pid()),
            open_files: open_files(host.pid()),
            mappings: mappings(host.pid()).len(),
            files_on_disk: project.files().len(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:6} KiB resident, {:3} open files, {:4} mappings, {:3} files on disk",
            self.resident_kib, self.open_files, self.mappings, self.files_on_disk
        )
    }
}

#[test]
fn five_thousand_reloads_leave_nothing_behind() {
    let project = CProject::new();
    let variants: Vec<Vec<PathBuf>> = (0..MODULES)
        .map(|module| {
            (0..VARIANTS)
                .map(|variant| project.compile(&variant_of(module, variant)))
                .collect()
        })
        .collect();
    let install = |module: usize, variant: usize| {
        let fresh = project.scratch("fresh.so");
        fs::copy(&variants[module][variant], &fresh).expect("a copy");
        project.install(&fresh, &name(module));
    };
    let mut current = [0; MODULES];
    for module in 0..MODULES {
        install(module, 0);
    }
    let root_imports: Vec<String> = (0..GUEST).map(name).collect();
    let (mut host, _) = HostOptions::importing(root_imports.iter().map(String::as_str))
        .env("LIVESWAP_SETTLE_MS", PATIENCE_MS)
        .start(&project);
    let addresses = addresses(&mut host);
    let at_start = Figures::take(&host, &project);
    eprintln!("at the start:       {at_start}");

    let mut random = Random::new(1);
    let mut looks: Vec<(usize, Figures)> = Vec::new();
    for reload in 1..=RELOADS {
        // One to three modules, each once, get their next variant.
        let first = random.below(MODULES - 1);
        for step in 0..=random.below(3) {
            let module = (first + 7 * step) % (MODULES - 1);
            current[module] = (current[module] + 1 + random.below(VARIANTS - 1)) % VARIANTS;
            install(module, current[module]);
        }
        let done = host.reload().quiet().number();
        assert_eq!(done, i64::try_from(reload).expect("a small number"));
        if reload % LOOK_EVERY == 0 {
            check_versions(&mut host, &current);
            let figures = Figures::take(&host, &project);
            eprintln!("after {reload:5} reloads: {figures}");
            looks.push((reload, figures));
        }
    }
    assert_eq!(self::addresses(&mut host), addresses, "slots are permanent");
    assert_bounded(&at_start, &looks);
    host.quit();
    assert_eq!(project.private_copies().len(), 0);
}

#[test]
fn many_symbols_that_come_and_go_leave_nothing_behind() {
    const SYMBOLS: usize = 200;
    const ROUNDS: usize = 200;
    let project = CProject::new();
    let full = (0..SYMBOLS).fold(CModule::new("b"), |module, index| {
        module
            .global("long", &format!("g{index}"), "")
            .proc(&format!("p{index}"), "return x;")
    });
    let variants = [CModule::new("b"), full].map(|module| project.compile(&module));
    let install = |variant: usize| {
        let fresh = project.scratch("fresh.so");
        fs::copy(&variants[variant], &fresh).expect("a copy");
        project.install(&fresh, "b");
    };
    install(0);
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_SETTLE_MS", PATIENCE_MS)
        .start(&project);
    let round = |host: &mut Host| {
        for variant in [1, 0] {
            install(variant);
            host.reload().quiet();
        }
    };
    for _ in 0..ROUNDS / 4 {
        round(&mut host);
    }
    let warm = resident_kib(host.pid());
    for _ in 0..ROUNDS {
        round(&mut host);
    }
    let growth = resident_kib(host.pid()).saturating_sub(warm);
    eprintln!(
        "{} symbols came and went: {growth} KiB of growth",
        2 * SYMBOLS * ROUNDS
    );
    // Four bytes for each of them would be more.
    assert!(growth <= 256, "resident memory grew by {growth} KiB");
    host.quit();
}

fn addresses(host: &mut Host) -> Vec<u64> {
    (0..MODULES)
        .flat_map(|module| ["version", "next", "sometimes"].map(|proc| (module, proc)))
        .map(|(module, proc)| host.address(&name(module), proc))
        .collect()
}

#[track_caller]
fn check_versions(host: &mut Host, current: &[usize; MODULES]) {
    for (module, &variant) in current.iter().enumerate() {
        if module == GUEST && current[HOST_OF_GUEST] >= 2 {
            continue;
        }
        let variant = i64::try_from(variant).expect("a small number");
        let module = name(module);
        assert_eq!(host.call(&module, "version", 0), variant, "{module}");
        host.call(&module, "next", 0);
        if variant % 2 == 0 {
            assert_eq!(host.call(&module, "sometimes", 0), 10 + variant, "{module}");
        }
    }
}

#[track_caller]
fn assert_bounded(at_start: &Figures, looks: &[(usize, Figures)]) {
    let warm: Vec<&Figures> = looks
        .iter()
        .filter(|(reload, _)| *reload >= WARM)
        .map(|(_, figures)| figures)
        .collect();
    let (first, last) = (warm[0], warm[warm.len() - 1]);
    // Each module has its image and at most three old ones, each image its mappings and its file.
    let images = (MODULES + 1) * 4;
    let mappings_of_an_image = 6;
    for figures in &warm {
        assert_eq!(figures.open_files, at_start.open_files, "open files");
        assert!(
            figures.mappings <= at_start.mappings + images * mappings_of_an_image,
            "mappings"
        );
        assert!(
            figures.files_on_disk <= MODULES + 1 + images,
            "files on disk"
        );
    }
    let growth = last.resident_kib.saturating_sub(first.resident_kib);
    eprintln!(
        "from reload {WARM} to {RELOADS}: {growth} KiB of growth, {} bytes a reload",
        growth * 1024 / (RELOADS - WARM) as u64
    );
    assert!(growth <= 512, "resident memory grew by {growth} KiB");
}
