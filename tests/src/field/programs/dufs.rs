//! dufs: browsers that read, search and upload, with connections that stay open.

use std::fs;

use super::super::http::{Http, Upload};
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, edit, take_back};

pub(super) fn program() -> Program {
    Program {
        name: "dufs",
        origin: Origin::Registry {
            package: "dufs",
            version: "0.47.0",
            with: &[],
            newer: &[],
        },
        // Without its TLS, half of what there is to compile.
        flags: &["--no-default-features"],
        arguments: |site| {
            let (port, data) = (site.port.to_string(), site.data.display().to_string());
            ["--allow-all", "--bind", "127.0.0.1", "--port", &port, &data]
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
        ready: "Listening on",
        surroundings: Surroundings::Nothing,
        held: &["busy", "idle", "early upload", "upload"],
        connect: |site, who| {
            Ok(match who {
                "upload" | "early upload" | "new upload" => Box::new(Upload::begin(
                    site.port,
                    &format!("/{}.up", who.replace(' ', "-")),
                )?),
                _ => Box::new(Http::open(site.port)?),
            })
        },
        goodbye: None,
        load: &[
            ("GET /a.txt", "^HTTP/1.1 200 OK\n(?s:.*)\n\na$"),
            ("GET /sub/deep.txt", "^HTTP/1.1 200 OK\n(?s:.*)\n\ndeep$"),
            (
                "GET /absent",
                "^HTTP/1.1 404 (?s:.*)\n\n(Not Found|Nothing here)$",
            ),
            ("GET /sub/?simple", "\n\ndeep.txt\n$"),
        ],
        edits,
    }
}

const SERVER: &str = "src/server.rs";

fn edits() -> Vec<Edit> {
    vec![
        edit("text of an error")
            .replace(SERVER, "body_full(\"Not Found\")", "body_full(\"Nothing here\")")
            .look("new", "GET /absent", "\n\nNot Found$", "\n\nNothing here$")
            .look("busy", "GET /absent", "\n\nNot Found$", "\n\nNothing here$"),
        edit("a closure sorts the other way round")
            .replace(
                SERVER,
                "        } else {
            paths.sort_by(|v1, v2| v1.sort_by_name(v2))",
                "        } else {
            paths.sort_by(|v1, v2| v2.sort_by_name(v1))",
            )
            .look("new", "GET /?simple", "\n\nsub/\na.txt\nb.txt\n", "\nb.txt\na.txt\nsub/\n$")
            .look("busy", "GET /?simple", "\n\nsub/\na.txt\nb.txt\n", "\nb.txt\na.txt\nsub/\n$"),
        edit("the answer of the health check")
            .replace(SERVER, r#"{"status":"OK"}"#, r#"{"status":"FINE"}"#)
            .look("busy", "GET /__dufs__/health", r#""OK"}$"#, r#""FINE"}$"#)
            .look("new", "GET /__dufs__/health", r#""OK"}$"#, r#""FINE"}$"#),
        edit("Server::call holds a table over its await")
            .replace(
                SERVER,
                "        let mut res = match self.clone().handle(req).await {",
                "        let mut table = [1u64; 8];
        table[3] = uri.path().len() as u64;
        let mut res = match self.clone().handle(req).await {",
            )
            .replace(
                SERVER,
                "        if enable_cors {\n            add_cors",
                "        res.headers_mut().insert(\"x-table\", HeaderValue::from(table.iter().sum::<u64>()));
        if enable_cors {\n            add_cors",
            )
            .names("handle_stream")
            .names("Server::call")
            .look("new", "GET /a.txt", CONTENT_A, "^HTTP(?s:.*)x-table: 13\n(?s:.*)\na$")
            .look("busy", "GET /a.txt", CONTENT_A, "^HTTP(?s:.*)x-table: 13\n(?s:.*)\na$")
            .look("early upload", "REST", "^HTTP/1.1 201 ", "^HTTP/1.1 201 (?s:.*)x-table: "),
        edit("handle_send_file holds the times of its steps over its awaits")
            .replace(
                SERVER,
                "        let mut use_range = true;\n",
                "        let mut use_range = true;\n        let mut steps = vec![path.to_path_buf()];\n",
            )
            .replace(
                SERVER,
                "            HeaderValue::from_str(&get_content_type(path).await?)?,
        );

        let filename",
                "            HeaderValue::from_str(&get_content_type(path).await?)?,
        );
        steps.push(PathBuf::new());
        res.headers_mut().insert(\"x-steps\", HeaderValue::from(steps.len()));

        let filename",
            )
            .names("handle_stream")
            .names("handle_send_file")
            .names("Server::call")
            .look("new", "GET /a.txt", CONTENT_A, STEPS_A)
            .look("busy", "GET /a.txt", CONTENT_A, STEPS_A),
        edit("a word that is none")
            .replace(SERVER, "fn status_forbid(res", "fn status_forbid(rse")
            .promise(Promise::Broken)
            .look("new", "GET /b.txt", "\n\nbb$", "\n\nbb$"),
        take_back("the word is taken back"),
        take_back("the times are taken back"),
        edit("handle_upload holds more over its awaits, with one under way")
            .replace(
                SERVER,
                "        let stream = IncomingStream::new(req.into_body());

        let body_with_io_error",
                "        let mut before = [size; 16];
        let stream = IncomingStream::new(req.into_body());

        let body_with_io_error",
            )
            .replace(
                SERVER,
                "        *res.status_mut() = status;

        Ok(())
    }

    async fn handle_delete",
                "        before[0] = 7;
        res.headers_mut().insert(\"x-before\", HeaderValue::from(before[0]));
        *res.status_mut() = status;

        Ok(())
    }

    async fn handle_delete",
            )
            .names("handle_upload")
            .names("handle_stream")
            .names("Server::call")
            .look("upload", "REST", "^HTTP/1.1 201 ", "^HTTP/1.1 201 (?s:.*)x-before: 7\n")
            .look("new upload", "REST", "^HTTP/1.1 201 ", "^HTTP/1.1 201 (?s:.*)x-before: 7\n")
            .look("new", "GET /upload.up", "\n\nfirst half, second half$", "\n\nfirst half, second half$"),
        edit("what a client of WebDAV is told")
            .replace(
                SERVER,
                "<D:displayname>{displayname}</D:displayname>
<D:getcontentlength>",
                "<D:displayname>the file {displayname}</D:displayname>
<D:getcontentlength>",
            )
            .look("busy", "PROPFIND /a.txt", ">a.txt</D:displayname>", ">the file a.txt</D:displayname>")
            .look("new", "PROPFIND /a.txt", ">a.txt</D:displayname>", ">the file a.txt</D:displayname>"),
        edit("sha256_file reads by other pieces, which it holds")
            .replace(SERVER, "let mut buffer = [0u8; 8192];", "let mut buffer = [0u8; 700];")
            .replace(SERVER, "    Ok(hex::encode(result))", "    Ok(format!(\"sha256 {}\", hex::encode(result)))")
            .names("handle_stream")
            .names("sha256_file")
            .names("Server::call")
            .look("new", "GET /a.txt?hash", HASH_A, "\n\nsha256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb$")
            .look("idle", "GET /a.txt?hash", HASH_A, "\n\nsha256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb$"),
        edit("search with a closure that captures more")
            .replace(
                SERVER,
                "                move |x| get_file_name(x.path()).to_lowercase().contains(&search),",
                "                {
                    let (not, least) = (\"zzz\".to_owned(), 5usize);
                    move |x: &DirEntry| {
                        let name = get_file_name(x.path()).to_lowercase();
                        name.contains(&search) && name.len() > least && name != not
                    }
                },",
            )
            .names("handle_stream")
            .names("Server::call")
            .names("handle_search_dir")
            .look("new", "GET /?q=.txt&simple", "\nb.txt\n(?s:.*)sub/deep.txt\n|sub/deep.txt\n(?s:.*)\nb.txt\n", "\n\nsub/deep.txt\n$")
            .look("busy", "GET /?q=.txt&simple", "\nb.txt\n(?s:.*)sub/deep.txt\n|sub/deep.txt\n(?s:.*)\nb.txt\n", "\n\nsub/deep.txt\n$"),
        edit("a field more in the server, which lives")
            .replace(SERVER, "    assets_prefix: String,\n    html:", "    assets_prefix: String,\n    extra: u64,\n    html:")
            .replace(SERVER, "            assets_prefix,\n            html,", "            assets_prefix,\n            extra: 1,\n            html,")
            .promise(Promise::Refused("LS0001"))
            .names("Server")
            .look("busy", "GET /b.txt", "\n\nbb$", "\n\nbb$"),
        take_back("the field is taken back"),
        edit("handle_stream, which every connection is in, holds more")
            .replace(
                "src/main.rs",
                "    match Builder::new(TokioExecutor::new())
        .title_case_headers(true)",
                "    let seen = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = seen.clone();
    let hyper_service = service_fn(move |request: Request<Incoming>| {
        count.fetch_add(1, Ordering::SeqCst);
        hyper::service::Service::call(&hyper_service, request)
    });
    match Builder::new(TokioExecutor::new())
        .title_case_headers(seen.load(Ordering::SeqCst) == 1)",
            )
            .names("handle_stream")
            .look("new", "GET /b.txt", "\n\nbb$", "\n\nbb$")
            .look("busy", "GET /b.txt", "\n\nbb$", "\n\nbb$")
            .look("idle", "GET /b.txt", "\n\nbb$", "\n\nbb$"),
        take_back("that is taken back"),
    ]
}

const CONTENT_A: &str = "^HTTP/1.1 200 OK\n(?s:.*)\n\na$";
const STEPS_A: &str = "^HTTP(?s:.*)x-steps: 2\n(?s:.*)\na$";
const HASH_A: &str = "\n\nca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb$";
