//! mdbook, which serves a book: somebody writes at a chapter and looks at what browsers show then. Its crate
//! that makes HTML is edited, too.

use std::fs;
use std::path::PathBuf;

use super::super::http::Http;
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, User, edit, take_back};
use super::super::websocket::WebSocket;

pub(super) fn program() -> Program {
    Program {
        name: "mdbook",
        origin: Origin::Registry {
            package: "mdbook",
            version: "0.5.4",
            // Its driver depends on that, so it is compiled with each edit of it.
            with: &[("mdbook-html", "0.5.4"), ("mdbook-driver", "0.5.4")],
            newer: &[],
        },
        // Without the index for searching, which nobody looks at.
        flags: &["--no-default-features", "--features", "watch,serve"],
        arguments: |site| {
            let (port, book) = (
                site.port.to_string(),
                site.data.join("book").display().to_string(),
            );
            [
                "serve",
                "-n",
                "127.0.0.1",
                "-p",
                &port,
                "--watcher",
                "native",
                &book,
            ]
            .map(str::to_owned)
            .to_vec()
        },
        environment: &[("MDBOOK_LOG", "info")],
        prepare: |site| {
            let book = site.data.join("book");
            fs::create_dir_all(book.join("src"))?;
            fs::write(book.join("book.toml"), "[book]\ntitle = \"A book\"\n")?;
            fs::write(
                book.join("src/SUMMARY.md"),
                "# Summary\n\n- [Beginning](beginning.md)\n- [Chapter](chapter.md)\n",
            )?;
            fs::write(book.join("src/beginning.md"), "# Beginning\n")?;
            fs::write(book.join("src/chapter.md"), "# Chapter\n")
        },
        ready: "Listening for changes",
        surroundings: Surroundings::Nothing,
        held: &["browser", "page"],
        connect: |site, who| {
            Ok(match who {
                "browser" => Box::new(Browser {
                    socket: WebSocket::open(site.port, RELOADS)?,
                    told: None,
                }),
                "page" | "load" => Box::new(Http::open(site.port)?),
                _ => Box::new(Writer {
                    port: site.port,
                    chapter: site.data.join("book/src/chapter.md"),
                }),
            })
        },
        goodbye: None,
        // While a book is built, a page may be missing.
        load: &[("GET /beginning.html", "^HTTP/1.1 (200|404) ")],
        edits,
    }
}

const RELOADS: &str = "/__livereload";

/// Answers with what a browser that was open is told first.
struct Browser {
    socket: WebSocket,
    told: Option<String>,
}

impl User for Browser {
    fn ask(&mut self, _: &str) -> Result<String, String> {
        if let Some(told) = &self.told {
            return Ok(told.clone());
        }
        let told = self.socket.text()?;
        Ok(self.told.insert(told).clone())
    }
}

/// Writes at the chapter, and answers with what a browser is told and then shows.
struct Writer {
    port: u16,
    chapter: PathBuf,
}

impl User for Writer {
    fn ask(&mut self, text: &str) -> Result<String, String> {
        let mut browser = WebSocket::open(self.port, RELOADS)?;
        let chapter = format!("# Chapter\n\n{text}\n\n| one | two |\n|-----|-----|\n| 1 | 2 |\n");
        fs::write(&self.chapter, chapter)
            .map_err(|error| format!("{}: {error}", self.chapter.display()))?;
        let told = browser.text()?;
        let page = Http::open(self.port)?.ask("GET /chapter.html")?;
        Ok(format!("{told}\n{page}"))
    }
}

const SERVE: &str = "src/cmd/serve.rs";
const NATIVE: &str = "src/cmd/watch/native.rs";
const TREE: &str = "mdbook-html/src/html/tree.rs";
const SERIALIZE: &str = "mdbook-html/src/html/serialize.rs";
const RENDERER: &str = "mdbook-html/src/html_handlebars/hbs_renderer.rs";

fn edits() -> Vec<Edit> {
    vec![
        edit("websocket_connection holds more over its awaits")
            .replace(
                SERVE,
                "    let mut rx = reload_tx.subscribe();\n",
                "    let mut rx = reload_tx.subscribe();\n    let mut waited = [1u64; 8];\n",
            )
            .replace(
                SERVE,
                "        let _ = user_ws_tx.send(m).await;\n",
                "        waited[0] += 1;
        let m = Message::text(format!(\"{} {}\", m.to_text().unwrap_or(\"?\"), waited.iter().sum::<u64>()));
        let _ = user_ws_tx.send(m).await;\n",
            )
            .names("websocket_connection")
            .look("writer", "one", "^reload\nHTTP/1.1 200 (?s:.*)<p>one</p>", "^reload 9\nHTTP/1.1 200 (?s:.*)<p>one</p>")
            .look("browser", "", "^reload$", "^reload 9$"),
        edit("the class of headings")
            .replace(
                TREE,
                "            a.insert_attr(\"class\", \"header\".into());",
                "            a.insert_attr(\"class\", \"heading\".into());",
            )
            .look("writer", "two", "<p>two</p>", "<p>two</p>")
            .look("page", "GET /chapter.html", "class=\"header\" href=\"#chapter\"|href=\"#chapter\" class=\"header\"", "class=\"heading\""),
        edit("a parameter more for the function that closes elements")
            .replace(SERIALIZE, "serialize_end(el, output);", "serialize_end(el, \" \", output);")
            .replace(SERIALIZE, "fn serialize_end(el: &Element, output", "fn serialize_end(el: &Element, space: &str, output")
            .replace(SERIALIZE, "    output.push_str(\"</\");\n    output.push_str(name);\n", "    output.push_str(\"</\");\n    output.push_str(name);\n    output.push_str(space);\n")
            .look("writer", "three", "<p>three</p>", "<p>three</p >"),
        edit("the class of tables")
            .replace(TREE, "\"table-wrapper\".into()", "\"table-frame\".into()")
            .look("writer", "four", "<p>four</p >(?s:.*)\"table-wrapper\"", "<p>four</p >(?s:.*)\"table-frame\""),
        edit("a type that is none")
            .replace(RENDERER, "        mut ctx: RenderChapterContext<'_>,", "        mut ctx: RenderChapterContent<'_>,")
            .promise(Promise::Broken)
            .look("writer", "five", "<p>five</p >(?s:.*)\"table-frame\"", "<p>five</p >(?s:.*)\"table-frame\""),
        take_back("the type is taken back"),
        take_back("the class of tables is taken back"),
        take_back("the parameter is taken back"),
        edit("the titles of pages")
            .replace(RENDERER, "ch.name.clone() + \" - \" + book_title", "format!(\"{} of {book_title}\", ch.name)")
            .look("writer", "six", "<title>Chapter - A book</title>(?s:.*)<p>six</p>", "<title>Chapter of A book</title>(?s:.*)<p>six</p>"),
        edit("the closure that tells browsers, which the loop of the watcher holds")
            .replace(SERVE, "Message::text(\"reload\")", "Message::text(\"refresh\")")
            .look("writer", "seven", "^reload 9\n", "^refresh 9\n"),
        edit("the loop of the watcher, which goes on")
            .replace(
                NATIVE,
                "        sleep(Duration::from_millis(50));\n",
                "        sleep(Duration::from_millis(60));\n",
            )
            .promise(Promise::Waits)
            .names("rebuild_on_change")
            .look("writer", "eight", "<p>eight</p>", "<p>eight</p>"),
        take_back("that is taken back"),
    ]
}
