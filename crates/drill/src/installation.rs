//! A small installation: a data folder, a configuration file, the real program.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Method;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::admin::{self, Event};
use crate::fault::Fault;
use crate::load::lock;
use crate::proc;
use crate::scene::Pace;
use crate::site::Site;

/// How long an edge may take to serve on a busy machine.
const READY: Duration = Duration::from_secs(20);
/// Of standard error, kept; bytes.
const LOG_MAX: usize = 1 << 20;
/// Between two looks at something that is waited for.
pub const LOOK: Duration = Duration::from_millis(20);

/// A running `seawall run` in a folder of its own. Killed with everything it started when dropped.
#[derive(Debug)]
pub struct Installation {
    /// Where the edge listens.
    pub http: SocketAddr,
    /// Where its metrics and health are.
    pub metrics: SocketAddr,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
    /// The program it is started from.
    pub program: PathBuf,
    /// The program commands are run with: always the one under test.
    tool: PathBuf,
    pace: Pace,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    supervisor: Option<Child>,
    log: Arc<Mutex<String>>,
    dir: TempDir,
}

impl Installation {
    /// A folder with a configuration; nothing runs yet.
    pub fn prepare(program: &Path, site: &Site, pace: Pace) -> Result<Self, Fault> {
        let dir = TempDir::with_prefix("seawall-drill-").map_err(Fault::system("temporary folder"))?;
        // The ports stay the same over restarts, as they do in life.
        let [http, metrics] = [free_port()?, free_port()?];
        let installation = Self {
            http: SocketAddr::from(([127, 0, 0, 1], http)),
            metrics: SocketAddr::from(([127, 0, 0, 1], metrics)),
            data_dir: dir.path().join("data"),
            config: dir.path().join("seawall.toml"),
            program: program.to_owned(),
            tool: program.to_owned(),
            pace,
            environment: Vec::new(),
            arguments: Vec::new(),
            supervisor: None,
            log: Arc::default(),
            dir,
        };
        std::fs::create_dir_all(&installation.data_dir).map_err(Fault::file(&installation.data_dir))?;
        installation.write(site)?;
        Ok(installation)
    }

    /// The folder all of it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the configuration file anew, in one step.
    pub fn write(&self, site: &Site) -> Result<(), Fault> {
        self.write_text(&site.text(self.http.port(), self.metrics.port(), self.pace))
    }

    /// Writes any text as the configuration file.
    pub fn write_text(&self, text: &str) -> Result<(), Fault> {
        self.put("seawall.toml", text.as_bytes()).map(drop)
    }

    /// The configuration as the file would say it.
    #[must_use]
    pub fn text_of(&self, site: &Site) -> String {
        site.text(self.http.port(), self.metrics.port(), self.pace)
    }

    /// Puts a file beside the configuration, in one step.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Fault> {
        let path = self.dir.path().join(name);
        let beside = self.dir.path().join(format!(".{name}.new"));
        std::fs::write(&beside, bytes).map_err(Fault::file(&beside))?;
        std::fs::rename(&beside, &path).map_err(Fault::file(&path))?;
        Ok(path)
    }

    /// Puts a copy of the program under test into the folder, in one step, and starts from there from now on. Each copy is
    /// another file, as a newly installed version is.
    pub fn install_copy(&mut self) -> Result<PathBuf, Fault> {
        let path = self.dir.path().join("seawall");
        let beside = self.dir.path().join(".seawall.new");
        std::fs::copy(&self.tool, &beside).map_err(Fault::file(&beside))?;
        std::fs::rename(&beside, &path).map_err(Fault::file(&path))?;
        self.program.clone_from(&path);
        Ok(path)
    }

    /// Puts a script in the place of the program.
    pub fn install_script(&self, text: &str) -> Result<(), Fault> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.put("seawall", text.as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(Fault::file(&path))
    }

    /// Faults for the processes started from now on, by a file named in their environment.
    pub fn sabotage(&mut self, sabotage: &Value) -> Result<(), Fault> {
        let path = self.put("sabotage.json", sabotage.to_string().as_bytes())?;
        self.environment.retain(|(name, _)| name != "SEAWALL_DRILL");
        self.environment.push(("SEAWALL_DRILL".to_owned(), path.to_string_lossy().into_owned()));
        Ok(())
    }

    /// Further arguments of `seawall run`, from now on.
    pub fn arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Starts the program and waits until it serves.
    pub async fn start(&mut self) -> Result<(), Fault> {
        self.launch(&[])?;
        self.wait_until_serving(READY).await
    }

    /// Starts the program, waiting for nothing. `wrapper` is a command to start it with (`unshare -n`).
    pub fn launch(&mut self, wrapper: &[&str]) -> Result<(), Fault> {
        self.kill();
        let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("run").arg("--config").arg(&self.config).args(&self.arguments);
        // What the person has set for an edge of their own is not meant for this one.
        for (name, _) in std::env::vars_os() {
            // Finding the lines of a panic takes a debug build longer than any module may take.
            if name.to_string_lossy().starts_with("SEAWALL_") || name == "RUST_BACKTRACE" {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Fault::system("cannot start the program"))?;
        if let Some(stderr) = child.stderr.take() {
            let log = self.log.clone();
            std::thread::spawn(move || collect(stderr, &log));
        }
        self.supervisor = Some(child);
        Ok(())
    }

    /// Waits until `/readyz` says so and a connection is taken.
    pub async fn wait_until_serving(&mut self, limit: Duration) -> Result<(), Fault> {
        let began = Instant::now();
        loop {
            if let Some(how) = self.ended() {
                return Err(Fault::Ended { how: how.to_string(), log: self.last_words() });
            }
            if let Ok((200, _)) = admin::ask(&self.data_dir, Method::GET, "/readyz", None).await {
                return Ok(());
            }
            if began.elapsed() > limit {
                return Err(Fault::NotServing {
                    after_ms: began.elapsed().as_millis() as u64,
                    log: self.last_words(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How the supervisor ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Process id of the supervisor.
    #[must_use]
    pub fn supervisor(&self) -> Option<u32> {
        self.supervisor.as_ref().map(Child::id)
    }

    /// Process id of the edge that was started last.
    #[must_use]
    pub fn edge(&self) -> Option<u32> {
        proc::edge_of(self.supervisor()?)
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.supervisor() {
            proc::signal(pid, signal);
        }
    }

    /// Ends everything at once, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            proc::kill_tree(child.id());
            let _ = child.wait();
        }
    }

    /// Everything on standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }

    /// Runs another command of the program to its end: exit code, standard output, standard error.
    pub async fn command(&self, arguments: &[&str]) -> Result<(i32, String, String), Fault> {
        let mut command = tokio::process::Command::new(&self.tool);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // Which installation is meant; what is checked is the file that is named.
        if arguments.first() != Some(&"check") {
            command.env("SEAWALL_CONFIG", &self.config).env("SEAWALL_DATA_DIR", &self.data_dir);
        }
        let output = command.output().await.map_err(Fault::system("cannot start a command"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }

    /// Asks the edge's admin socket.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let body = body.map(Value::to_string);
        let (status, text) = admin::ask(&self.data_dir, method, path, body.as_deref()).await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// A scrape of its metrics; empty while it says nothing.
    pub async fn scrape(&self) -> Vec<(String, f64)> {
        match admin::ask(&self.data_dir, Method::GET, "/metrics", None).await {
            Ok((200, text)) => admin::metrics(&text),
            _ => Vec::new(),
        }
    }

    /// Its timeline so far.
    #[must_use]
    pub fn timeline(&self) -> Vec<Event> {
        admin::timeline(&self.data_dir)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.kill();
        // The folder goes with `dir`, once nothing writes to it any more.
    }
}

fn collect(stream: impl std::io::Read, log: &Mutex<String>) {
    use std::io::BufRead;
    for line in std::io::BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let mut log = lock(log);
        if log.len() < LOG_MAX {
            log.push_str(&String::from_utf8_lossy(&line));
            log.push('\n');
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Fault> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Fault::system("no free port"))
}
