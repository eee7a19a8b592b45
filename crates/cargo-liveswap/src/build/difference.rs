//! What cargo built that a running program cannot become.

use std::collections::BTreeSet;
use std::path::Path;

use super::program::Graph;
use crate::stage::manifest::Inputs;
use crate::stage::record::{Kind, Record};

/// Why a program of the old graph has to be started anew to become one of the new, if so.
/// `is_same`: whether a library that was built anew contains what the program was linked with.
pub fn of_graphs(old: &Graph, new: &Graph, is_same: &dyn Fn(&Record) -> bool) -> Option<String> {
    let live = new.live.iter().find_map(|(record, _)| {
        let before = old
            .live
            .iter()
            .map(|(before, _)| before)
            .find(|before| is_same_crate(before, record))?;
        of_live(before, record)
    });
    live.or_else(|| of_places(old, new)).or_else(|| {
        new.foreign
            .values()
            .find_map(|record| of_foreign(record, old, new, is_same))
    })
}

/// Why a crate that went and one that came are one crate to the user, if they are: the compiler gives its
/// statics other names, so they would begin anew beside those that the program has.
fn of_places(old: &Graph, new: &Graph) -> Option<String> {
    let stays = |record: &Record, graph: &Graph| match record.kind {
        Kind::Live => {
            let mut live = graph.live.iter();
            live.any(|(other, _)| is_same_crate(other, record))
        }
        _ => graph.foreign.contains_key(&record.key()),
    };
    let gone: Vec<&Record> = records(old).filter(|it| !stays(it, new)).collect();
    let mut came = records(new).filter(|it| !stays(it, old));
    came.find_map(|now| {
        let before = gone
            .iter()
            .find(|it| it.package == now.package && it.crate_name == now.crate_name)?;
        let name = &now.crate_name;
        if before.kind != now.kind {
            Some(format!("`{name}` comes from somewhere else"))
        } else if before.kind != Kind::Live {
            None
        } else if before.manifest_dir != now.manifest_dir {
            Some(format!("`{name}` moved to another folder"))
        } else {
            Some(format!(
                "the crate types of `{name}` changed ({})",
                changes(&before.crate_types, &now.crate_types)
            ))
        }
    })
}

fn records(graph: &Graph) -> impl Iterator<Item = &Record> {
    let live = graph.live.iter().map(|(record, _)| record);
    live.chain(graph.foreign.values())
}

fn is_same_crate(one: &Record, other: &Record) -> bool {
    one.manifest_dir == other.manifest_dir
        && one.crate_name == other.crate_name
        && one.crate_types == other.crate_types
}

fn of_live(old: &Record, new: &Record) -> Option<String> {
    let name = &new.crate_name;
    if old.features != new.features {
        return Some(format!(
            "the features of `{name}` changed ({})",
            changes(&old.features, &new.features)
        ));
    }
    if old.code_options != new.code_options {
        return Some(format!(
            "the compiler options of `{name}` changed ({})",
            changes(&old.code_options, &new.code_options)
        ));
    }
    (old.unit != new.unit).then(|| format!("the profile of `{name}` changed"))
}

/// `+ what is new, - what is gone`
fn changes(old: &[String], new: &[String]) -> String {
    let old: BTreeSet<&String> = old.iter().collect();
    let new: BTreeSet<&String> = new.iter().collect();
    let gone = old.difference(&new).map(|item| format!("- {item}"));
    let added = new.difference(&old).map(|item| format!("+ {item}"));
    let all: Vec<String> = gone.chain(added).collect();
    if all.is_empty() {
        "their order".to_owned()
    } else {
        all.join(", ")
    }
}

fn of_foreign(
    record: &Record,
    old: &Graph,
    new: &Graph,
    is_same: &dyn Fn(&Record) -> bool,
) -> Option<String> {
    if let Some(before) = old.foreign.get(&record.key()) {
        if before.run == record.run || is_same(record) {
            return None;
        }
        let name = &record.package;
        return Some(match record.kind {
            Kind::Foreign => format!("the dependency `{name}` was built anew"),
            _ => format!(
                "`{name}` is in a dynamic library (`dylib`), whose code does not change while the program runs"
            ),
        });
    }
    // Another version beside the one that stays is an addition.
    let replaced = old.foreign.values().find(|before| {
        before.package == record.package
            && before.crate_name == record.crate_name
            && !new.foreign.contains_key(&before.key())
    })?;
    Some(if replaced.version == record.version {
        format!(
            "the features or the profile of the dependency `{}` changed",
            record.package
        )
    } else {
        format!(
            "the dependency `{}` changed from version {} to {}",
            record.package, replaced.version, record.version
        )
    })
}

/// Why a program that is linked with the old inputs cannot become one that is linked with the new.
pub fn of_inputs(old: &Inputs, new: &Inputs, target_dir: &Path) -> Option<String> {
    // The crates that come with the compiler.
    let of_compiler = |inputs: &Inputs| -> BTreeSet<_> {
        inputs
            .archives
            .iter()
            .filter(|path| !path.path().starts_with(target_dir))
            .cloned()
            .collect()
    };
    if of_compiler(old) != of_compiler(new) {
        return Some("the standard library changed".to_owned());
    }
    let known: BTreeSet<_> = old.libraries.iter().collect();
    if let Some(added) = new.libraries.iter().find(|name| !known.contains(name)) {
        return Some(format!(
            "the program needs another native library: {}",
            added.0.to_string_lossy()
        ));
    }
    let changed = new.made.iter().find(|made| !old.made.contains(made))?;
    let name = changed.0.path().file_name().unwrap_or_default();
    Some(format!(
        "the native library {} changed",
        name.to_string_lossy()
    ))
}

#[cfg(test)]
mod tests {
    use std::slice;
    use std::time::SystemTime;

    use super::*;

    fn record(name: &str, version: &str, stem: &str, kind: Kind) -> Record {
        Record {
            kind,
            unit: name.to_owned(),
            stem: stem.to_owned(),
            crate_name: name.to_owned(),
            crate_types: vec!["lib".to_owned()],
            package: name.to_owned(),
            version: version.to_owned(),
            manifest_dir: name.into(),
            out_dir: "/t".into(),
            opt_level: "0".to_owned(),
            incremental: true,
            features: Vec::new(),
            code_options: Vec::new(),
            externs: Vec::new(),
            build_out_dir: None,
            run: "1".to_owned(),
            command: None,
        }
    }

    fn never(_: &Record) -> bool {
        false
    }

    fn graph(live: &[Record], foreign: &[Record]) -> Graph {
        Graph {
            live: live
                .iter()
                .map(|record| (record.clone(), SystemTime::UNIX_EPOCH))
                .collect(),
            foreign: foreign
                .iter()
                .map(|record| (record.key(), record.clone()))
                .collect(),
            ..Graph::default()
        }
    }

    #[test]
    fn a_new_dependency_is_no_reason() {
        let app = record("app", "1", "app-1", Kind::Live);
        let app_later = record("app", "1", "app-2", Kind::Live);
        let old = graph(
            &[app],
            &[record("serde", "1.0.1", "serde-1", Kind::Foreign)],
        );
        let mut new = graph(
            &[app_later],
            &[
                record("serde", "1.0.1", "serde-1", Kind::Foreign),
                record("serde", "2.0.0", "serde-2", Kind::Foreign),
                record("itoa", "1.0.0", "itoa-1", Kind::Foreign),
            ],
        );
        assert_eq!(of_graphs(&old, &new, &never), None);
        new.foreign.retain(|key, _| !key.starts_with("serde-1"));
        assert_eq!(
            of_graphs(&old, &new, &never).unwrap(),
            "the dependency `serde` changed from version 1.0.1 to 2.0.0"
        );
    }

    #[test]
    fn a_dependency_that_was_built_anew_and_contains_the_same_was_another_for_ever() {
        let record = |run: &str, kind| Record {
            run: run.to_owned(),
            ..record("a", "1", "a-1", kind)
        };
        let graphs = |kind| {
            (
                graph(&[], &[record("1", kind)]),
                graph(&[], &[record("2", kind)]),
            )
        };
        let (old, new) = graphs(Kind::Foreign);
        assert_eq!(of_graphs(&old, &new, &|_| true), None);
        assert_eq!(
            of_graphs(&old, &new, &never).unwrap(),
            "the dependency `a` was built anew"
        );
        let (old, new) = graphs(Kind::Helper);
        assert_eq!(of_graphs(&old, &new, &|_| true), None);
        let reason = of_graphs(&old, &new, &never).unwrap();
        assert!(
            reason.starts_with("`a` is in a dynamic library"),
            "{reason}"
        );
    }

    #[test]
    fn features_and_options_are_reasons() {
        let old = record("app", "1", "app-1", Kind::Live);
        let mut new = old.clone();
        new.features.push("fast".to_owned());
        assert_eq!(
            of_graphs(
                &graph(slice::from_ref(&old), &[]),
                &graph(&[new], &[]),
                &never
            )
            .unwrap(),
            "the features of `app` changed (+ fast)"
        );
        let mut new = old.clone();
        new.code_options.push("-C opt-level=1".to_owned());
        assert!(
            of_graphs(&graph(&[old], &[]), &graph(&[new], &[]), &never)
                .unwrap()
                .contains("+ -C opt-level=1")
        );
    }

    #[test]
    fn a_crate_that_moved_or_changed_its_types_is_not_a_new_one() {
        let old = record("c", "1", "c-1", Kind::Live);
        let reason = |old: &Record, new: &Record| {
            let graph = |record: &Record| match record.kind {
                Kind::Live => graph(slice::from_ref(record), &[]),
                _ => graph(&[], slice::from_ref(record)),
            };
            of_graphs(&graph(old), &graph(new), &never)
        };
        let mut moved = record("c", "1", "c-2", Kind::Live);
        moved.manifest_dir = "crates/c".into();
        assert_eq!(reason(&old, &moved).unwrap(), "`c` moved to another folder");
        let mut other_types = record("c", "1", "c-2", Kind::Live);
        other_types.crate_types = vec!["rlib".to_owned()];
        assert_eq!(
            reason(&old, &other_types).unwrap(),
            "the crate types of `c` changed (- lib, + rlib)"
        );
        let of_others = record("c", "1", "c-2", Kind::Foreign);
        for (old, new) in [(&old, &of_others), (&of_others, &old)] {
            assert_eq!(reason(old, new).unwrap(), "`c` comes from somewhere else");
        }
        // A second version beside the one that stays is new, and so is a library beside a program of
        // its name.
        let both = graph(&[old.clone(), moved, other_types], &[of_others]);
        assert_eq!(of_graphs(&graph(&[old], &[]), &both, &never), None);
    }

    #[test]
    fn native_libraries_are_reasons() {
        let old = Inputs {
            libraries: vec!["-lc".into()],
            archives: vec!["/std/libstd-1.rlib".into(), "/t/liba-1.rlib".into()],
            ..Inputs::default()
        };
        let mut new = old.clone();
        new.archives.push("/t/libb-1.rlib".into());
        new.libraries.push("-lc".into());
        assert_eq!(of_inputs(&old, &new, Path::new("/t")), None);
        new.libraries.push("-lz".into());
        assert!(
            of_inputs(&old, &new, Path::new("/t"))
                .unwrap()
                .contains("-lz")
        );
        new.archives[0] = "/std/libstd-2.rlib".into();
        assert_eq!(
            of_inputs(&old, &new, Path::new("/t")).unwrap(),
            "the standard library changed"
        );
    }
}
