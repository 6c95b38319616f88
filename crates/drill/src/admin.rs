//! What an edge says of itself: its admin socket and its timeline.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

/// Largest answer read, bytes.
const ANSWER_MAX: usize = 16 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `<data_dir>/edge.sock`: status and body.
pub async fn ask(
    data_dir: &Path,
    method: Method,
    path: &str,
    body: Option<&str>,
) -> Result<(u16, String), String> {
    let asked = async {
        let stream = UnixStream::connect(data_dir.join("edge.sock")).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "edge")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default().to_owned())))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        connection.abort();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer in 5 s".to_owned()))
}

/// One event of the timeline.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// When, unix milliseconds.
    pub unix_ms: u64,
    /// Which process.
    pub role: String,
    /// Its kind, as in the table of the telemetry crate.
    pub kind: String,
    /// The snapshot it is about.
    pub snapshot: Option<u64>,
    /// The zone.
    pub zone: Option<String>,
    /// The module.
    pub module: Option<String>,
    /// The unit.
    pub unit: Option<String>,
    /// Who or what brought it about.
    pub cause: String,
    /// For people.
    pub text: String,
}

/// The timeline as it stands in the data folder, oldest first. A line that cannot be read is passed over.
#[must_use]
pub fn timeline(data_dir: &Path) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let Ok(entries) = std::fs::read_dir(data_dir) else { return events };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("timeline.jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        events.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
    }
    events.sort_by_key(|event| event.unix_ms);
    events
}

/// Series of a scrape in OpenMetrics text: name with labels, and value.
#[must_use]
pub fn metrics(text: &str) -> Vec<(String, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// The sum of all series of a metric whose labels contain `label`; `None` if there is no such series.
#[must_use]
pub fn sum(metrics: &[(String, f64)], name: &str, label: &str) -> Option<f64> {
    let of_name = |series: &str| {
        series
            .strip_prefix(name)
            .is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(label))
    };
    let mut found = metrics.iter().filter(|(series, _)| of_name(series)).map(|(_, value)| *value).peekable();
    found.peek()?;
    Some(found.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_by_name_and_label() {
        let text = "# TYPE a counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_more 9\nb 1.5\n# EOF\n";
        let all = metrics(text);
        assert_eq!(sum(&all, "a_total", ""), Some(5.0));
        assert_eq!(sum(&all, "a_total", "x=\"2\""), Some(3.0));
        assert_eq!(sum(&all, "b", ""), Some(1.5));
        assert_eq!(sum(&all, "c", ""), None);
    }
}
