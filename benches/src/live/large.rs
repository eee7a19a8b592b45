//! What makes the large project large: generated modules, and dependencies that are really used.

use std::fmt::Write as _;

/// How many lines the generated library has, at least.
const LINES: usize = 30_000;

pub const APP_DEPENDENCIES: &str = r#"anyhow = "1"
axum = "0.8"
chrono = { version = "0.4", features = ["serde"] }
clap = { version = "4", features = ["derive"] }
reqwest = { version = "0.12", default-features = false, features = ["json", "cookies", "multipart"] }
serde = { version = "1", features = ["derive"] }
serde_json = "1"
tokio = { version = "1", features = ["full"] }
tower-http = { version = "0.6", features = ["trace", "fs", "compression-gzip", "cors"] }
tracing = "0.1"
tracing-subscriber = { version = "0.3", features = ["env-filter", "json"] }
uuid = { version = "1", features = ["v4", "serde"] }
"#;

pub const LOGIC_DEPENDENCIES: &str = r#"indexmap = "2"
itertools = "0.14"
rayon = "1"
regex = "1"
serde = { version = "1", features = ["derive"] }
serde_json = "1"
toml = "0.9"
"#;

/// The part of the binary that uses the dependencies: a server that nobody asks.
pub const WORLD: &str = r#"use axum::{Json, Router, extract::Path, routing::get};
use serde::{Deserialize, Serialize};
use tower_http::trace::TraceLayer;

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    id: uuid::Uuid,
    at: chrono::DateTime<chrono::Utc>,
    value: u64,
}

async fn answer(Path(value): Path<u64>) -> Json<Answer> {
    tracing::info!(value, "asked");
    Json(Answer { id: uuid::Uuid::new_v4(), at: chrono::Utc::now(), value })
}

async fn ask(base: &str) -> anyhow::Result<Answer> {
    Ok(reqwest::get(format!("{base}/answer/1")).await?.json().await?)
}

async fn serve() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/answer/{value}", get(answer)).layer(TraceLayer::new_for_http());
    tokio::spawn(async move { ask(&base).await });
    axum::serve(listener, router).await?;
    Ok(())
}

pub fn start() {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve())
    });
}
"#;

/// The files of the generated library.
pub fn modules() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut lines = 0;
    let mut root = String::new();
    let mut works = String::new();
    while lines < LINES {
        let number = files.len();
        // Every tenth has what makes the compiler work hardest.
        let (derives, as_text) = if number % 10 == 0 {
            (
                ", serde::Serialize, serde::Deserialize",
                "serde_json::to_string(&shop.items.values().collect::<Vec<_>>()).unwrap_or_default()",
            )
        } else {
            ("", "format!(\"{shop:?}\")")
        };
        let text = MODULE
            .replace("@N@", &number.to_string())
            .replace("@SERDE@", derives)
            .replace("@TEXT@", as_text);
        lines += text.lines().count();
        let _ = writeln!(root, "pub mod m{number};");
        let _ = writeln!(works, "        m{number}::work,");
        files.push((format!("generated/m{number}.rs"), text));
    }
    let count = files.len();
    let _ = write!(
        root,
        "\n/// 0, which the compiler does not know.\npub fn nothing() -> u64 {{\n    \
         let works: [fn(u64) -> u64; {count}] = [\n{works}    ];\n    \
         if std::hint::black_box(false) {{ works.iter().map(|work| work(3)).sum() }} else {{ 0 }}\n}}\n"
    );
    files.push(("generated.rs".to_owned(), root));
    files
}

/// One module: what code of applications is made of, about 100 lines.
const MODULE: &str = include_str!("module.rs.txt");
