//! `supervisor.sock`: one command a connection, one line of answer. Private to the user by its file mode.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::data_dir::CONTROL_SOCKET;
use super::role::START_MS;
use crate::exit::Exit;

/// How long a connection may take to say what it wants. The supervisor waits for it, and does nothing else meanwhile.
const COMMAND_WITHIN: Duration = Duration::from_millis(200);
/// Longest line in bytes.
const LINE_MAX: u64 = 1024;
/// How long `seawall upgrade` waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(START_MS + 10_000);

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Question {
    stream: UnixStream,
    /// What was asked.
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Replace the edge by the program on disk.
    Upgrade,
    /// Who runs.
    Status,
    /// Something else.
    Unknown(String),
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
}

impl Control {
    /// Takes a bound listener.
    ///
    /// # Errors
    /// What the kernel says about nonblocking mode.
    pub fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// The next question, if somebody asks one.
    pub fn question(&self) -> Option<Question> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(COMMAND_WITHIN)).ok()?;
        stream.set_write_timeout(Some(COMMAND_WITHIN)).ok()?;
        let mut line = String::new();
        BufReader::new((&stream).take(LINE_MAX)).read_line(&mut line).ok()?;
        let command = match line.trim() {
            "upgrade" => Command::Upgrade,
            "status" => Command::Status,
            other => Command::Unknown(other.to_owned()),
        };
        Some(Question { stream, command })
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Question {
    /// Answers. `ok` and `no` are what the client's exit code follows.
    pub fn answer(mut self, good: bool, text: &str) {
        let text = text.replace('\n', " ");
        let _ = writeln!(self.stream, "{} {text}", if good { "ok" } else { "no" }); // a client that left does not mind
    }
}

/// `seawall upgrade`: asks the supervisor of a data folder, and waits for the outcome.
pub fn upgrade(data_dir: &Path) -> Exit {
    match ask(data_dir, "upgrade") {
        Ok((true, text)) => {
            println!("{text}");
            Exit::Ok
        }
        Ok((false, text)) => {
            eprintln!("seawall: not upgraded: {text}");
            Exit::Refused
        }
        Err(error) => {
            eprintln!(
                "seawall: no answer from a supervisor in {}: {error}. Is `seawall run` running with this data folder \
                 (--data-dir), and as this user?",
                data_dir.display()
            );
            Exit::Failure
        }
    }
}

fn ask(data_dir: &Path, command: &str) -> io::Result<(bool, String)> {
    let mut stream = UnixStream::connect(data_dir.join(CONTROL_SOCKET))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    writeln!(stream, "{command}")?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_MAX)).read_line(&mut line)?;
    match line.trim().split_once(' ') {
        Some(("ok", text)) => Ok((true, text.to_owned())),
        Some(("no", text)) => Ok((false, text.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the supervisor closed the connection")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::data_dir::bind_private;
    use super::*;

    #[test]
    fn a_question_gets_the_answer_and_silence_does_not_hold_up_the_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::new(bind_private(&dir.path().join(CONTROL_SOCKET)).unwrap()).unwrap();
        assert!(control.question().is_none());
        let silent = UnixStream::connect(dir.path().join(CONTROL_SOCKET)).unwrap();
        assert!(control.question().is_none());
        drop(silent);
        let path = dir.path().to_owned();
        let client = std::thread::spawn(move || ask(&path, "upgrade"));
        let question = loop {
            if let Some(question) = control.question() {
                break question;
            }
            std::thread::yield_now();
        };
        assert_eq!(question.command, Command::Upgrade);
        question.answer(false, "because\nof reasons");
        assert_eq!(client.join().unwrap().unwrap(), (false, "because of reasons".to_owned()));
    }
}
