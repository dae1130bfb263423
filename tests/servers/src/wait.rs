//! How tests wait. Every wait has a limit and says what it waited for, and a thread that serves a test
//! stops when the test ends, also by a panic.
//!
//! libtest has no limit of its own. So each test that waits for threads, processes or servers tells its
//! steps here, mostly through the fixtures it uses.

use std::cell::RefCell;
use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// No step of a test takes longer. On a machine that has far too much to do it grows with the load.
pub const LIMIT: Duration = Duration::from_mins(2);
/// What one condition or one process is given: it fails by a panic, before the whole process is ended.
const PATIENCE: Duration = Duration::from_secs(100);
/// So many threads that want to run, for each processor, are usual: the tests, their servers, and somebody else's work.
const USUAL_LOAD: f64 = 4.0;
/// Limits are stretched at most by this factor.
const MOST_STRETCHED: f64 = 10.0;
const BETWEEN: Duration = Duration::from_millis(5);

/// Sets a flag when it is dropped, also by a panic. A scope waits for its threads: one that looks at the
/// flag would otherwise keep a test that failed from ending.
#[derive(Debug)]
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps whoever comes until so many are there at once, and counts them: shows how many a client sends at
/// a time, on a machine of any speed.
#[derive(Debug)]
pub struct Gathering {
    wanted: usize,
    counts: Mutex<Counts>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    now: usize,
    most: usize,
}

impl Gathering {
    /// Waits for so many at a time, once.
    pub fn of(wanted: usize) -> Self {
        Self { wanted, counts: Mutex::default(), came: Condvar::new() }
    }

    /// Comes, stays until enough are there, and a moment longer in which one too many would come.
    pub fn visit(&self) {
        let mut counts = self.counts.lock().unwrap();
        counts.now += 1;
        counts.most = counts.most.max(counts.now);
        self.came.notify_all();
        let few = |counts: &mut Counts| counts.most < self.wanted;
        // In vain: the most is less than wanted then, which the test sees.
        let limit = Duration::from_secs(20);
        drop(self.came.wait_timeout_while(counts, limit, few).unwrap());
        thread::sleep(BETWEEN * 10);
        self.counts.lock().unwrap().now -= 1;
    }

    /// The most that were there at one moment.
    pub fn most(&self) -> usize {
        self.counts.lock().unwrap().most
    }
}

/// A limit of time as it is on this machine now: with twice the usual number of threads that want to run, each gets
/// half of the time.
fn stretched(limit: Duration) -> Duration {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().and_then(|load| load.parse().ok());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    limit.mul_f64(stretch(load.unwrap_or_default(), processors))
}

/// By how much limits are longer, where so many threads want to run on so many processors.
fn stretch(load: f64, processors: usize) -> f64 {
    let processors = u32::try_from(processors).map_or(f64::MAX, f64::from);
    (load / processors / USUAL_LOAD).clamp(1.0, MOST_STRETCHED)
}

/// Waits until something is so.
///
/// # Panics
/// If it is not so in time; the message names `what`.
pub fn until(what: &str, is_so: impl FnMut() -> bool) {
    until_within(PATIENCE, what, is_so);
}

fn until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    step(what);
    let started = Instant::now();
    while !is_so() {
        assert!(!is_over(started, patience), "waited {:?} in vain until {what}", started.elapsed());
        thread::sleep(BETWEEN);
    }
}

/// Runs a program without input to its end.
///
/// # Panics
/// If it does not end in time: it is killed, and the message has the command and what it printed.
pub fn output(command: &mut Command) -> Output {
    output_with_input(command, Stdio::null())
}

/// As [`output`], with an input.
///
/// # Panics
/// As [`output`].
pub fn output_with_input(command: &mut Command, input: Stdio) -> Output {
    let what = format!("{command:?}");
    let program = command.get_program().to_owned();
    command.stdin(input);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    output_of(child, &what)
}

/// Runs a program without input that must succeed; returns what it printed.
///
/// # Panics
/// As [`output`], and if it fails: the message has what it printed.
pub fn success(command: &mut Command) -> Vec<u8> {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Waits for the end of a process whose output is nobody's.
///
/// # Panics
/// If it does not end in time: it is killed, and the message names `what`.
pub fn end_of(child: &mut Child, what: &str) -> ExitStatus {
    end_within(PATIENCE, child, what)
}

fn end_within(patience: Duration, child: &mut Child, what: &str) -> ExitStatus {
    step(what);
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if is_over(started, patience) {
            // It may end at this moment.
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} has not ended in {:?}", started.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn is_over(started: Instant, patience: Duration) -> bool {
    let waited = started.elapsed();
    waited >= patience && waited >= stretched(patience)
}

/// What a process that was started with pipes prints until it ends.
///
/// # Panics
/// As [`output`].
pub fn output_of(child: Child, what: &str) -> Output {
    output_within(PATIENCE, child, what)
}

fn output_within(patience: Duration, child: Child, what: &str) -> Output {
    step(what);
    let started = Instant::now();
    let mut child = Killed(child);
    let stdout = child.0.stdout.take().map(collect);
    let stderr = child.0.stderr.take().map(collect);
    let status = loop {
        if let Some(status) = child.0.try_wait().unwrap() {
            break Some(status);
        }
        if is_over(started, patience) {
            break None;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let has_ended = status.is_some();
    // Of one that has to be killed, what it said is told.
    drop(child);
    let grace = Duration::from_secs(10);
    let all = |pipe: Option<Collected>| {
        let rest = stretched(patience).saturating_sub(started.elapsed()).max(grace);
        pipe.map_or_else(Vec::new, |pipe| pipe.until_closed(rest, what))
    };
    let (stdout, stderr) = (all(stdout), all(stderr));
    assert!(
        has_ended,
        "{what} has not ended in {:?}; it printed: {}{}",
        started.elapsed(),
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    Output { status: status.unwrap(), stdout, stderr }
}

/// What a pipe brings, read by a thread of its own.
struct Collected(mpsc::Receiver<Vec<u8>>);

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        let _ = pipe.read_to_end(&mut bytes);
        // Nobody may wait for it any more.
        let _ = sender.send(bytes);
    });
    Collected(receiver)
}

impl Collected {
    fn until_closed(&self, patience: Duration, what: &str) -> Vec<u8> {
        self.0.recv_timeout(patience).unwrap_or_else(|_| {
            panic!("{what} has ended, and what it started keeps its output open")
        })
    }
}

/// Says what the test of this thread does next. If it says nothing more, and does not end, for
/// [`LIMIT`], the process ends with the names of the test and of this step.
///
/// With `SEAWALL_LONG` (`tests/long.sh`) steps are larger, and so is the limit. Threads that libtest did
/// not start are not watched: the test that waits for them is.
pub fn step(what: &str) {
    thread_local! {
        static WATCH: RefCell<Option<mpsc::Sender<String>>> = const { RefCell::new(None) };
    }
    let thread = thread::current();
    // libtest names threads after tests; benches run in the main thread.
    let Some(test) = thread.name().filter(|name| *name != "main") else {
        return;
    };
    let factor = if std::env::var_os("SEAWALL_LONG").is_some() { 30 } else { 1 };
    WATCH.with_borrow_mut(|watch| {
        let watch = watch.get_or_insert_with(|| begin_watch(test.to_owned(), LIMIT * factor));
        // It ends with the process only.
        let _ = watch.send(what.to_owned());
    });
}

/// The watch ends when the sender is dropped: with the thread of the test.
fn begin_watch(test: String, limit: Duration) -> mpsc::Sender<String> {
    let (sender, steps) = mpsc::channel();
    thread::spawn(move || {
        if let Some(step) = last_step(&steps, limit) {
            let line = format!("test {test} hangs: {limit:?} without a step since: {step}\n");
            // Past the test harness, which shows the output of a test when it is over.
            let _ = std::io::stderr().write_all(line.as_bytes());
            std::process::abort();
        }
    });
    sender
}

/// The step after which nothing came for so long; none if the test ended.
fn last_step(steps: &mpsc::Receiver<String>, limit: Duration) -> Option<String> {
    let mut last = "its start".to_owned();
    let mut since = Instant::now();
    loop {
        let rest = stretched(limit).saturating_sub(since.elapsed());
        match steps.recv_timeout(rest) {
            Ok(step) => (last, since) = (step, Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return None,
            // The machine may have become busier since.
            Err(RecvTimeoutError::Timeout) if !is_over(since, limit) => {}
            Err(RecvTimeoutError::Timeout) => return Some(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(work: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn a_thread_that_looks_at_a_flag_ends_with_a_test_that_panics() {
        let stop = AtomicBool::new(false);
        let text = panics(|| {
            thread::scope(|scope| {
                let _stopped = SetAtEnd(&stop);
                scope.spawn(|| {
                    while !stop.load(Ordering::Acquire) {
                        thread::yield_now();
                    }
                });
                panic!("{}", "the test failed");
            });
        });
        assert!(text.contains("the test failed"), "{text}");
    }

    #[test]
    fn limits_grow_with_the_load() {
        for (load, processors, expected) in
            [(0.0, 1, 1.0), (8.0, 2, 1.0), (16.0, 2, 2.0), (18.0, 8, 1.0), (1000.0, 2, 10.0)]
        {
            let got = stretch(load, processors);
            assert!((got - expected).abs() < 1e-9, "{load}: {got}");
        }
        assert!(stretched(LIMIT) >= LIMIT);
    }

    #[test]
    fn a_condition_that_never_comes_is_named() {
        let mut looks = 0;
        let text = panics(|| {
            until_within(Duration::from_millis(20), "the moon is blue", || {
                looks += 1;
                false
            });
        });
        assert!(text.contains("until the moon is blue"), "{text}");
        assert!(looks > 1, "{looks}");
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; exec sleep 1000"]);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        let text = panics(|| {
            output_within(Duration::from_millis(300), child, "a long sleep");
        });
        assert!(text.contains("a long sleep has not ended in "), "{text}");
        assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_named() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let text = panics(|| {
            end_within(Duration::from_millis(50), &mut child, "a long sleep");
        });
        assert!(text.contains("a long sleep has not ended in "), "{text}");
        assert!(child.try_wait().unwrap().is_some());
        let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        assert_eq!(end_of(&mut child, "an exit").code(), Some(3));
    }

    #[test]
    fn a_process_that_fails_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo words; echo errors >&2; exit 3"]);
        let text = panics(|| drop(success(&mut command)));
        assert!(text.contains("words") && text.contains("errors"), "{text}");
        assert_eq!(success(Command::new("echo").arg("x")), b"x\n");
    }

    #[test]
    fn a_process_reads_the_input_that_it_is_given() {
        let (reader, writer) = std::io::pipe().unwrap();
        (&writer).write_all(b"input").unwrap();
        drop(writer);
        let output = output_with_input(&mut Command::new("cat"), Stdio::from(reader));
        assert_eq!(output.stdout, b"input");
    }

    #[test]
    fn what_a_process_prints_is_whole() {
        let mut command = Command::new("sh");
        let output = output(command.args(["-c", "head -c 300000 /dev/zero; echo no >&2; exit 3"]));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.len(), &output.stderr[..]), (300_000, &b"no\n"[..]));
    }

    #[test]
    fn a_test_without_a_step_is_told_by_its_last_one() {
        let (sender, steps) = mpsc::channel();
        sender.send("first".to_owned()).unwrap();
        sender.send("second".to_owned()).unwrap();
        let limit = Duration::from_millis(20);
        assert_eq!(last_step(&steps, limit).as_deref(), Some("second"));
        drop(sender);
        assert_eq!(last_step(&steps, limit), None);
    }
}
