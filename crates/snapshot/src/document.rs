//! `docs/configuration.md`, from the table of keys.

use std::fmt::Write as _;

use seawall_model::LIMITS;

use crate::schema::{Default, Key, tables, variable};

const HEAD: &str = r#"# Configuration

<!-- Written by `UPDATE_DOCS=1 cargo nextest run -p seawall-snapshot` from crates/snapshot/src/schema: edit there. -->

Seawall reads one file, `seawall.toml`. Every key has a default, so the smallest useful file is:

```toml
[[zone]]
name = "example.com"

[[zone.pool]]
name = "app"
origins = [{ url = "http://127.0.0.1:3000" }]
```

`seawall check seawall.toml` names every problem at once, with its line and what to do, and exits with 3 if there is an
error. An unknown key is an error. A zone with an error is left out, or keeps its last good version on a reload; the other
zones are served. An error outside the zones changes nothing on a reload and keeps the edge from starting.

## How values are written

- **Sizes** are strings such as `"64KiB"`, `"256MiB"`, `"2GiB"` (also `kB`, `MB`, `GB`, `TB`, `TiB`), or whole numbers of bytes.
- **Durations** are strings such as `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`, or whole numbers of seconds.
- **Lists of strings** may be one string without brackets.
- **Relative paths** start from the folder of the file.
- **Patterns** know one special character: `*` stands for any run of characters.
- Keys of a certificate are never in this file: it names the files they are in.

## Environment

`data_dir` and everything under `[edge]` but certificates can be overridden by the environment variable named beside the key.
Lists are separated by commas, and relative paths start from the working directory. Other variables that begin with
`SEAWALL_EDGE_` are warned about.

"#;

/// The text of `docs/configuration.md`.
#[must_use]
pub fn document() -> String {
    let mut out = HEAD.to_owned();
    for (table, prefix) in tables() {
        let title = if table.header.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("`{}`", table.header)
        };
        let _ = write!(out, "## {title}\n\n{}\n\n", table.doc);
        if table.keys.is_empty() {
            continue;
        }
        out.push_str("| key | value | default | what it does |\n|---|---|---|---|\n");
        for key in table.keys {
            row(&mut out, key, prefix.as_deref());
        }
        out.push('\n');
    }
    out.push_str("## Limits\n\nMore than these is an error; more than four fifths of a limit of 100 or more is a warning.\n\n");
    out.push_str("| limit | value | of | why |\n|---|---:|---|---|\n");
    for limit in LIMITS {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            limit.name,
            grouped(limit.value),
            limit.unit,
            limit.reason
        );
    }
    out
}

fn row(out: &mut String, key: &Key, prefix: Option<&str>) {
    let default = match key.default {
        Default::Is(value) => format!("`{value}`"),
        Default::Words(words) => words.to_owned(),
        Default::Required => "*required*".to_owned(),
    };
    let _ = write!(out, "| `{}` | {} | {default} | {}", key.name, key.kind.describe(), key.doc);
    if let Some(prefix) = prefix.filter(|_| key.kind.fits_environment()) {
        let _ = write!(out, " `{}`", variable(prefix, key.name));
    }
    out.push_str(" |\n");
}

/// A number with its thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
