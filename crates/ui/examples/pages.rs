//! Writes every error page to a folder, to look at: `cargo run -p seawall-ui --example pages DIR`.

use seawall_ui::errors::{ENTRIES, ErrorFacts, Format, error_page};

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    std::fs::create_dir_all(&folder)?;
    for entry in ENTRIES {
        let facts = ErrorFacts {
            code: entry.code,
            ray: "9a1b2c3d4e5f6071-DEV",
            host: "shop.example.com",
            client_ip: "203.0.113.7",
            node: "DEV",
            now: 1_795_294_211_000,
            detail: if entry.code == 522 { "No answer to the connection within 5 s." } else { "" },
            retry_after_secs: None,
        };
        std::fs::write(format!("{folder}/{}.html", entry.code), error_page(&facts, Format::Html).body)?;
    }
    Ok(())
}
