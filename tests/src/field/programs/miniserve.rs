//! miniserve, optimised: browsers that look at lists of files and ask for sizes.

use std::fs;

use super::super::http::{Browser, Http};
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, edit, take_back};

pub(super) fn program() -> Program {
    Program {
        name: "miniserve",
        origin: Origin::Registry {
            package: "miniserve",
            version: "0.35.0",
            with: &[],
            newer: &[],
        },
        flags: &["--release", "--no-default-features"],
        arguments: |site| {
            let (port, data) = (site.port.to_string(), site.data.display().to_string());
            [
                "-i",
                "127.0.0.1",
                "-p",
                &port,
                "--directory-size",
                "--size-display",
                "exact",
                &data,
            ]
            .map(str::to_owned)
            .to_vec()
        },
        environment: &[],
        prepare: |site| {
            fs::create_dir(site.data.join("sub"))?;
            fs::write(site.data.join("sub/deep.txt"), "deep")?;
            fs::write(site.data.join("b.txt"), "bb")?;
            fs::write(site.data.join("a.txt"), "a")
        },
        ready: "Available at",
        surroundings: Surroundings::Nothing,
        // It closes connections that are silent for five seconds: only the load keeps one open.
        held: &["busy", "idle"],
        connect: |site, who| {
            Ok(match who {
                "busy" | "idle" => Box::new(Browser::open(site.port)?),
                _ => Box::new(Http::open(site.port)?),
            })
        },
        goodbye: None,
        load: &[
            ("GET /a.txt", "^HTTP/1.1 200 OK\n(?s:.*)\n\na$"),
            ("GET /sub/deep.txt", "^HTTP/1.1 200 OK\n(?s:.*)\n\ndeep$"),
            ("GET /sub/?raw=true", "^HTTP/1.1 200 OK\n(?s:.*)deep.txt"),
        ],
        edits,
    }
}

const MAIN: &str = "src/main.rs";
const LISTING: &str = "src/listing.rs";
const ERRORS: &str = "src/errors.rs";
const SIZES: &str = "src/file_op.rs";
const HEALTH: &str = "GET /__miniserve_internal/healthcheck";
const SIZE: &str = "POST /__miniserve_internal/api {\"DirSize\":\"/\"}";
const AB: &str = "a.txt(?s:.*)b.txt";
const BA: &str = "b.txt(?s:.*)>a.txt";

fn edits() -> Vec<Edit> {
    vec![
        edit("the answer of the health check")
            .replace(MAIN, "HttpResponse::Ok().body(\"OK\")", "HttpResponse::Ok().body(\"FINE\")")
            .look("busy", HEALTH, "\n\nOK$", "\n\nFINE$")
            .look("new", HEALTH, "\n\nOK$", "\n\nFINE$"),
        edit("a closure sorts the other way round")
            .replace(
                LISTING,
                "alphanumeric_sort::compare_str(e1.name.to_lowercase(), e2.name.to_lowercase())",
                "alphanumeric_sort::compare_str(e2.name.to_lowercase(), e1.name.to_lowercase())",
            )
            .look("busy", "GET /?raw=true", AB, BA)
            .look("new", "GET /?raw=true", AB, BA),
        edit("a word on the page of files")
            .replace("src/renderer.rs", "                        th.date { \"Last modification\" }", "                        th.date { \"Changed\" }")
            .look("busy", "GET /?raw=true", ">Last modification<", ">Changed<")
            .look("new", "GET /?raw=true", ">Last modification<", ">Changed<"),
        edit("recursive_dir_size holds more over its awaits")
            .replace(SIZES, "    let mut total_size = 0;\n", "    let mut total_size = 0;\n    let mut sizes = vec![1000u64];\n")
            .replace(SIZES, "                    total_size += metadata.len();\n", "                    total_size += metadata.len();\n                    sizes.push(total_size);\n")
            .replace(SIZES, "    Ok(total_size)\n", "    Ok(total_size + sizes[0])\n")
            .names("recursive_dir_size")
            .names("api")
            .look("busy", SIZE, "\n\n7 B$", "\n\n1007 B$")
            .look("new", SIZE, "\n\n7 B$", "\n\n1007 B$"),
        edit("a word that is none")
            .replace(ERRORS, "pub fn log_error_chain(description", "pub fn log_error_chain(descriptoin")
            .promise(Promise::Broken)
            .look("idle", HEALTH, "\n\nFINE$", "\n\nFINE$"),
        take_back("the word is taken back"),
        take_back("what sizes hold is taken back"),
        edit("error_page_middleware, which every request is in, holds more over its await")
            .replace(
                ERRORS,
                "    let res = next.call(req).await?.map_into_boxed_body();\n",
                "    let length = [req.path().len(); 12];
    let mut res = next.call(req).await?.map_into_boxed_body();
    res.headers_mut().insert(header::AGE, header::HeaderValue::from(length.iter().sum::<usize>()));\n",
            )
            .names("error_page_middleware")
            .names("main")
            .promise(Promise::Waits)
            .look("new", HEALTH, "\n\nFINE$", "(?s:^HTTP.*)\nage: [0-9]+\n(?s:.*)\n\nFINE$")
            .look("busy", HEALTH, "\n\nFINE$", "(?s:^HTTP.*)\nage: [0-9]+\n(?s:.*)\n\nFINE$"),
        take_back("that is taken back"),
        edit("a field more in the settings, which live")
            .replace("src/config.rs", "    pub verbose: bool,\n\n    /// Path to be", "    pub verbose: bool,\n    pub extra: u64,\n\n    /// Path to be")
            .replace("src/config.rs", "            verbose: args.verbose,\n", "            verbose: args.verbose,\n            extra: 1,\n")
            .promise(Promise::Refused("LS0001"))
            .names("MiniserveConfig")
            .look("busy", HEALTH, "\n\nFINE$", "\n\nFINE$"),
        take_back("the field is taken back"),
        edit("a handler that routes hold takes the request as well")
            .replace(MAIN, "async fn healthcheck() -> impl", "async fn healthcheck(req: HttpRequest) -> impl")
            .replace(MAIN, "HttpResponse::Ok().body(\"FINE\")", "HttpResponse::Ok().body(req.path().len().to_string())")
            .promise(Promise::Waits)
            .names("healthcheck")
            .look("busy", HEALTH, "\n\nFINE$", "\n\n33$")
            .look("new", HEALTH, "\n\nFINE$", "\n\n33$"),
        take_back("that is taken back"),
    ]
}
