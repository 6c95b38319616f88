//! Becoming a newer program without letting go of anything: state out before `exec`, state in after it.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use seawall_sys::recorder::{Recording, Runs};

use super::child::{Child, Part};
use super::control::Control;
use super::data_dir::DataDir;
use super::life::{Demo, Parts, Supervisor};
use super::resume::{self, ChildState, GroupState, ResumeError, State};
use super::role::{Generation, Role};
use super::sockets::{Group, Service, Sockets};
use crate::channel::{Channel, RESUME_FORMAT};
use crate::cli::RunArgs;
use crate::signals::Signals;

/// The thread that writes the log ends with this program; it is given this time to write what was said last.
const EVENTS_WRITTEN_WITHIN: Duration = Duration::from_millis(10);

/// Executes the program file. Returns only if that failed, with everything as before.
pub fn execute(supervisor: &Supervisor) -> io::Error {
    match try_execute(supervisor) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn try_execute(supervisor: &Supervisor) -> io::Result<Infallible> {
    let state = state_of(supervisor).text()?;
    let parts = &supervisor.parts;
    let mut keep: Vec<BorrowedFd<'_>> = vec![parts.lock.as_fd(), parts.admin.as_fd(), parts.control.as_fd()];
    keep.extend(parts.demo.iter().map(|demo| demo.listener.as_fd()));
    keep.extend(parts.sockets.groups().iter().flat_map(|g| &g.sockets).map(|socket| socket.as_fd()));
    keep.extend(supervisor.children.iter().map(|child| child.channel.as_fd()));
    keep.extend(supervisor.children.iter().filter_map(|child| child.recording.as_ref()).map(AsFd::as_fd));

    let program = c_string(parts.program.clone().into_os_string())?;
    let args: Vec<CString> = std::env::args_os().map(c_string).collect::<io::Result<_>>()?;
    let ours = [resume::VARIABLE, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
    let kept = std::env::vars_os().filter(|(name, _)| !ours.iter().any(|o| name == o));
    let with_state = kept.chain([(resume::VARIABLE.into(), state.into())]);
    let env: Vec<CString> = with_state
        .map(|(name, value)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            c_string(pair)
        })
        .collect::<io::Result<_>>()?;
    std::thread::sleep(EVENTS_WRITTEN_WITHIN);
    supervisor.timeline.flush(EVENTS_WRITTEN_WITHIN);
    seawall_sys::exec(&program, &args, &env, &keep)
}

fn c_string(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(io::Error::other)
}

fn state_of(supervisor: &Supervisor) -> State {
    let parts = &supervisor.parts;
    let now = supervisor.now();
    let mut leaving = supervisor.edge.leaving(now);
    leaving.extend(supervisor.demo.leaving(now));
    let remaining =
        |generation: Generation| leaving.iter().find(|(g, _)| *g == generation).map(|(_, ms)| *ms);
    State {
        format: RESUME_FORMAT,
        from: env!("CARGO_PKG_VERSION").to_owned(),
        program: parts.program.clone(),
        data_dir: parts.data_dir.clone(),
        lock: parts.lock.as_fd().as_raw_fd(),
        admin: parts.admin.as_raw_fd(),
        control: parts.control.as_fd().as_raw_fd(),
        demo: parts.demo.as_ref().map(|demo| demo.listener.as_raw_fd()),
        groups: parts
            .sockets
            .groups()
            .iter()
            .map(|group| GroupState {
                service: group.service.name().to_owned(),
                wanted: group.wanted,
                given: group.given,
                sockets: Sockets::numbers(group),
            })
            .collect(),
        plan: parts.sockets.plan().clone(),
        drain_ms: parts.drain_ms,
        children: supervisor
            .children
            .iter()
            .map(|child| ChildState {
                generation: child.generation,
                part: child.part.name().to_owned(),
                pid: child.pid.as_raw(),
                channel: child.channel.as_fd().as_raw_fd(),
                leaving_ms: remaining(child.generation),
                recording: child.recording.as_ref().map(|recording| recording.as_fd().as_raw_fd()),
                runs: (child.runs.current, child.runs.candidate),
            })
            .collect(),
        generation: supervisor.generation,
        restarts: supervisor.edge.restarts(),
        reload_again: supervisor.reload_again,
    }
}

/// Goes on where the program before this one was.
///
/// # Errors
/// [`ResumeError`]; the children notice that their channel is closed, finish and go.
pub fn resume(text: &str, args: &RunArgs, signals: Signals) -> Result<Supervisor, ResumeError> {
    let state = State::parse(text)?;
    let groups = state.groups.iter().map(claim_group).collect::<Result<Vec<_>, _>>()?;
    let demo = match state.demo {
        Some(fd) => Some(Demo { listener: seawall_sys::claim_tcp_listener(fd)? }),
        None => None,
    };
    let mut site_args = args.site.clone();
    site_args.data_dir = Some(state.data_dir.clone());
    if let Some(demo) = &demo {
        site_args.origin = Some(demo.url());
    } else if site_args.config.is_none() && site_args.origin.is_none() {
        site_args.config = Some(crate::config::DEFAULT_FILE.into());
    }
    let parts = Parts {
        program: state.program.clone(),
        site_args,
        data_dir: state.data_dir.clone(),
        wanted_dir: args.site.data_dir.clone(),
        lock: DataDir::resumed(seawall_sys::claim_file(state.lock)?),
        admin: seawall_sys::claim_unix_listener(state.admin)?,
        control: Control::new(seawall_sys::claim_unix_listener(state.control)?)?,
        signals,
        sockets: Sockets::from_groups(groups, state.plan.clone()),
        demo,
        drain_ms: state.drain_ms,
        welcome: None,
    };
    let mut supervisor = Supervisor::new(parts);
    supervisor.children = state.children.iter().map(claim_child).collect::<Result<_, _>>()?;
    supervisor.generation = state.generation;
    supervisor.reload_again = state.reload_again;
    let now = supervisor.now();
    supervisor.edge = role(&state, Part::Edge, now, state.restarts);
    if supervisor.parts.demo.is_some() {
        supervisor.demo = role(&state, Part::Demo, now, 0);
    }
    tracing::info!(
        from = state.from,
        version = env!("CARGO_PKG_VERSION"),
        "the supervisor is the new program now"
    );
    super::notify::ready("serving");
    Ok(supervisor)
}

fn claim_group(state: &GroupState) -> Result<Group, ResumeError> {
    let service =
        Service::named(&state.service).ok_or_else(|| ResumeError::Unknown(state.service.clone()))?;
    let sockets: Vec<Rc<TcpListener>> = state
        .sockets
        .iter()
        .map(|fd| seawall_sys::claim_tcp_listener(*fd).map(Rc::new))
        .collect::<Result<_, _>>()?;
    let bound = sockets.first().map_or(Ok(state.wanted), |socket| socket.local_addr())?;
    Ok(Group { service, wanted: state.wanted, bound, given: state.given, sockets })
}

fn claim_child(state: &ChildState) -> Result<Child, ResumeError> {
    Ok(Child {
        generation: state.generation,
        part: Part::named(&state.part).ok_or_else(|| ResumeError::Unknown(state.part.clone()))?,
        pid: Pid::from_raw(state.pid),
        channel: Channel::new(seawall_sys::claim_unix_stream(state.channel)?)?,
        program: None,
        // One that cannot be read costs knowing what was in hand, and is no reason to give up.
        recording: state.recording.and_then(|fd| Recording::claim(fd).ok()),
        runs: Runs { current: state.runs.0, candidate: state.runs.1 },
        started: Instant::now(),
    })
}

fn role(state: &State, part: Part, now: u64, restarts: u64) -> Role {
    let of_part = || state.children.iter().filter(|child| child.part == part.name());
    let serving = of_part().find(|child| child.leaving_ms.is_none()).map(|child| child.generation);
    let leaving: Vec<(Generation, u64)> =
        of_part().filter_map(|c| c.leaving_ms.map(|ms| (c.generation, ms))).collect();
    Role::resumed(u64::from(std::process::id()), now, serving, &leaving, restarts)
}
