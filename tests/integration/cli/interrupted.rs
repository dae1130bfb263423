//! Ctrl-C, TERM and a terminal that goes away: what the run says, and how it ends. The destination is an SFTP server
//! that accepts a connection and never speaks, so that each run is known to be in the middle of its work.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use seawall_test_servers::wait::{self, Killed};

use super::{User, example};

/// A run that waits for a silent server.
struct Waiting {
    child: Killed,
    /// The connection: dropped, it would end the run.
    _connection: std::net::TcpStream,
}

impl Waiting {
    /// Starts this command and waits until it has connected.
    fn start(user: &User, arguments: &[&str], adapt: impl FnOnce(Command) -> Command) -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut command = user.command(arguments);
        command.env("SEAWALL_REPOSITORY", format!("sftp://nobody@127.0.0.1:{port}/repository"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = Killed(adapt(command).spawn().unwrap());
        wait::step("seawall connects");
        let (connection, _) = silent.accept().unwrap();
        Self { child, _connection: connection }
    }

    fn send(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.0.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// How it ended, and what it said.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        wait::step("seawall ends after a signal");
        self.child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = wait::end_of(&mut self.child.0, "seawall after a signal");
        (status, said)
    }
}

#[test]
fn an_interrupted_run_says_what_is_kept() {
    let user = User::new();
    let source = example();
    let backup = ["backup", source.to_str().unwrap()];
    for (arguments, signal, begins, says) in [
        (&backup[..], Signal::INT, "interrupted: ", "what was stored is kept"),
        (&backup[..], Signal::TERM, "asked to end: ", "the same command goes on from there"),
        (&backup[..], Signal::HUP, "the terminal is gone", "tmux"),
        (
            &["restore", "latest", "--target", "new"],
            Signal::INT,
            "interrupted: ",
            "the restore is not finished",
        ),
        (&["check"], Signal::INT, "interrupted: ", "nothing was changed"),
    ] {
        let run = Waiting::start(&user, arguments, |command| command);
        run.send(signal);
        let (status, said) = run.end();
        assert!(said.starts_with(begins) && said.contains(says), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(status.signal(), Some(signal.as_raw()), "{arguments:?}");
    }
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let user = User::new();
    let run = Waiting::start(&user, &["check"], |command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$0\" check"]).arg(command.get_program());
        shell.env_clear().current_dir(user.home());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        shell
    });
    run.send(Signal::HUP);
    run.send(Signal::TERM);
    let (status, said) = run.end();
    assert!(said.starts_with("asked to end: "), "{said}");
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_speak() {
    let user = User::new();
    let (_reader, writer) = full_pipe();
    let mut run = Waiting::start(&user, &["check"], |mut command| {
        command.stderr(writer);
        command
    });
    // Two signals that come at once are one: so until it ends.
    let mut status = None;
    wait::until("a run that cannot speak ends", || {
        run.send(Signal::INT);
        status = run.child.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().signal(), Some(Signal::INT.as_raw()));
}

/// A pipe that nobody reads and that takes no more.
fn full_pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[b' '; 4096]).is_ok() {}
    while writer.write(b" ").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer.into())
}
