//! Talking to a running edge: HTTP/1 over the Unix socket in its data folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::supervisor::ADMIN_SOCKET;

/// How long an answer may take in all. The edge answers from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Largest answer in bytes: a summary of 10,000 zones is about 4 MB.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// What went wrong. None of these changed anything in the edge, except perhaps [`AdminError::Broken`].
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens.
    #[error(
        "no edge answers at {}: {source}. Is `seawall run` running with this data folder (--data-dir), and as this \
         user?", .socket.display()
    )]
    Absent {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// It did not answer in time.
    #[error("the edge did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Slow,
    /// The conversation broke off.
    #[error("the edge broke off: {0}")]
    Broken(String),
    /// It said no.
    #[error("the edge refused ({status}): {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        text: String,
    },
}

/// Asks the edge of `data_dir`, and waits for its answer.
///
/// # Errors
/// [`AdminError`]; every status but 2xx is [`AdminError::Refused`].
pub async fn ask(
    data_dir: &Path,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<Bytes, AdminError> {
    tokio::time::timeout(ANSWER_WITHIN, converse(data_dir, method, path, body))
        .await
        .map_err(|_| AdminError::Slow)?
}

/// The same for a command that does nothing else meanwhile.
///
/// # Errors
/// As [`ask`].
pub fn ask_blocking(
    data_dir: &Path,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<Bytes, AdminError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| AdminError::Broken(error.to_string()))?;
    runtime.block_on(ask(data_dir, method, path, body))
}

async fn converse(
    data_dir: &Path,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<Bytes, AdminError> {
    let broken = |error: hyper::Error| AdminError::Broken(error.to_string());
    let socket = data_dir.join(ADMIN_SOCKET);
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(source) => return Err(AdminError::Absent { socket, source }),
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let talking = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "seawall.internal")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| AdminError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let collected = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    talking.abort();
    let bytes = collected.map_err(|error| AdminError::Broken(error.to_string()))?.to_bytes();
    if status.is_success() { Ok(bytes) } else { Err(refused(status, &bytes)) }
}

/// The words of a refusal: the message of a JSON answer in the form of Cloudflare's API, or the text.
fn refused(status: StatusCode, body: &[u8]) -> AdminError {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let listed = json.pointer("/errors/0/message");
        listed
            .or_else(|| json.get("error"))
            .or_else(|| json.get("detail"))
            .and_then(serde_json::Value::as_str)
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned);
    AdminError::Refused { status: status.as_u16(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_in_the_words_of_the_edge() {
        let text = |body: &str| refused(StatusCode::BAD_REQUEST, body.as_bytes()).to_string();
        assert!(
            text(r#"{"success":false,"errors":[{"code":1,"message":"no such zone"}]}"#)
                .ends_with("no such zone")
        );
        assert!(text(r#"{"error":"empty filter"}"#).ends_with("empty filter"));
        assert!(text("plain words\n").ends_with("plain words"));
    }

    #[test]
    fn an_edge_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = ask_blocking(dir.path(), Method::GET, "/summary", None).unwrap_err();
        assert!(matches!(error, AdminError::Absent { .. }) && error.to_string().contains("edge.sock"));
    }
}
