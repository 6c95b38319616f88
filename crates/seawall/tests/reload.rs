//! The configuration changes while requests are served.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Crowd, Origin, Seawall, Seen, binary, eventually, get};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Site {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Site {
    fn new(listen: &str, origin: &Origin) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Self { path: dir.path().join("seawall.toml"), dir };
        site.write(&Self::text(listen, origin));
        site
    }

    fn text(listen: &str, origin: &Origin) -> String {
        let zone = "[[zone]]\nname = \"test\"\nhosts = [\"*\"]\n";
        format!(
            "[edge]\nhttp = [{listen}]\n[edge.rollout]\nhold = \"100ms\"\nrequests = 10\n{zone}pool = [{{ name = \"app\", origins = [{{ url = \"{}\" }}] }}]\n",
            origin.url()
        )
    }

    fn write(&self, text: &str) {
        let beside = self.dir.path().join("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &self.path).unwrap();
    }

    fn run(&self) -> Seawall {
        Seawall::run(binary(), &["--config", self.path.to_str().unwrap()])
    }
}

fn answers(running: &Seawall, text: &str) {
    eventually(text, || get(running.http, "/") == Seen::Answer(200, text.to_owned()));
}

#[test]
fn a_changed_file_is_noticed_and_a_bad_one_changes_nothing() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let site = Site::new("\"127.0.0.1:0\"", &one);
    let running = site.run();
    let edge = running.edge();
    let crowd = Crowd::gather(running.http, 4);
    answers(&running, "one");

    site.write(&Site::text("\"127.0.0.1:0\"", &two));
    answers(&running, "two");

    site.write("[[zone]\nthis is wrong");
    running.signal(Signal::SIGHUP);
    running.wait_for_log("the new configuration is invalid");
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "two".to_owned()));
    eventually("a bad load in the metrics", || running.metrics().contains("seawall_config_last_load_ok 0"));

    site.write(&Site::text("\"127.0.0.1:0\"", &one));
    running.signal(Signal::SIGHUP);
    answers(&running, "one");
    eventually("a good load in the metrics", || running.metrics().contains("seawall_config_last_load_ok 1"));
    assert_eq!(running.edge(), edge, "all by the same process");
    assert_eq!(crowd.go_home(), []);
}

#[test]
fn an_edge_that_dies_while_the_file_is_broken_comes_back_with_the_last_good_one() {
    let one = Origin::named("one");
    let site = Site::new("\"127.0.0.1:0\"", &one);
    let running = site.run();
    let edge = running.edge();
    site.write("[[zone]\nthis is wrong");
    kill(edge, Signal::SIGKILL).unwrap();
    eventually("another edge", || running.edge() != edge);
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
    let metrics = running.metrics();
    for line in ["seawall_config_last_load_ok 0", "seawall_edge_restarts_total 1"] {
        assert!(metrics.lines().any(|l| l == line), "{line}:\n{metrics}");
    }
}

#[test]
fn an_address_that_cannot_be_bound_counts_as_a_failed_load() {
    let one = Origin::named("one");
    let site = Site::new("\"127.0.0.1:0\"", &one);
    let running = site.run();
    site.write(&Site::text("\"127.0.0.1:0\", \"192.0.2.1:8080\"", &one));
    running.signal(Signal::SIGHUP);
    running.wait_for_log("192.0.2.1:8080 is not an address of this machine");
    eventually("a bad load in the metrics", || running.metrics().contains("seawall_config_last_load_ok 0"));
    assert_eq!(get(running.http, "/"), Seen::Answer(200, "one".to_owned()));
}

#[test]
fn other_listen_addresses_are_bound_and_no_request_fails_on_those_that_stay() {
    let one = Origin::named("one");
    let site = Site::new("\"127.0.0.1:0\"", &one);
    let running = site.run();
    let edge = running.edge();
    let crowd = Crowd::gather(running.http, 4);
    crowd.wait_for(20);

    site.write(&Site::text("\"127.0.0.1:0\", \"127.0.0.2:0\"", &one));
    running.signal(Signal::SIGHUP);
    running.wait_for_log("now listening");
    let log = running.log();
    let line = log.lines().find(|line| line.contains("now listening")).unwrap();
    let added = line.split_whitespace().find(|word| word.starts_with("127.0.0.2:")).unwrap().parse().unwrap();
    assert_eq!(get(added, "/"), Seen::Answer(200, "one".to_owned()));
    assert_ne!(running.edge(), edge);

    site.write(&Site::text("\"127.0.0.1:0\"", &one));
    running.signal(Signal::SIGHUP);
    eventually("the added address being closed", || matches!(get(added, "/"), Seen::Refused(_)));
    crowd.wait_for(20);
    assert_eq!(crowd.go_home(), []);
}

#[test]
fn another_data_folder_in_the_file_is_warned_about_and_not_moved_to() {
    let one = Origin::named("one");
    for command in ["run", "edge"] {
        let site = Site::new("\"127.0.0.1:0\"", &one);
        let of = |folder: &str| {
            let text = Site::text("\"127.0.0.1:0\"", &one);
            format!(
                "data_dir = \"{folder}\"\n{}",
                text.replace("[edge]", "[edge]\nhttps = \"off\"\nmetrics = \"off\"")
            )
        };
        site.write(&of("first"));
        let log = site.dir.path().join("stderr");
        let mut running = Command::new(binary())
            .args([command, "--config", site.path.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let logged = |text: &str| eventually(text, || std::fs::read_to_string(&log).unwrap().contains(text));
        logged("serving");
        site.write(&of("second"));
        kill(Pid::from_raw(i32::try_from(running.id()).unwrap()), Signal::SIGHUP).unwrap();
        logged("another data_dir takes effect");
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(!site.dir.path().join("second").exists());
    }
}
